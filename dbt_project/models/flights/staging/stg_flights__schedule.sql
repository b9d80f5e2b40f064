with source as (
    select * from {{ source('flights', 'schedule') }}
),

params as (
    select * from {{ source('sluice', 'params') }}
),

keyed as (
    select
        source.ds,
        {{ join_key('source.carrier') }} as carrier,
        source.flight,
        {{ join_key('source.origin') }} as origin,
        {{ join_key('source.dest') }} as dest,
        source.sched_dep_time,
        source.sched_arr_time,
        source.distance
    from source
    inner join params on source.ds between params.start_on and params.end_on
)

select
    concat_ws('|', ds, carrier, flight, origin, dest) as flight_id,
    ds,
    carrier,
    flight,
    origin,
    dest,
    {{ local_timestamp('ds', 'sched_dep_time') }} as departure_local,
    {{ local_timestamp('ds', 'sched_arr_time') }} as arrival_local,
    distance as distance_miles
from keyed
