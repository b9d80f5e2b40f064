with source as (
    select * from {{ source('flights', 'arrivals') }}
),

keyed as (
    select
        ds,
        {{ join_key('carrier') }} as carrier,
        flight,
        {{ join_key('origin') }} as origin,
        {{ join_key('dest') }} as dest,
        {{ join_key('tailnum') }} as tailnum,
        dep_time,
        arr_delay
    from source
)

select
    concat_ws('|', ds, carrier, flight, origin, dest) as flight_id,
    ds,
    carrier,
    flight,
    origin,
    dest,
    tailnum,
    arr_delay as arrival_delay_minutes,
    dep_time is null as is_cancelled,
    dep_time is not null and arr_delay is null as is_diverted,
    arr_delay >= {{ var('flights_late_minutes') }} as is_late
from keyed
