with source as (
    select * from {{ source('flights', 'schedule') }}
),

params as (
    select * from {{ source('sluice', 'params') }}
)

select
    concat_ws('|', source.ds, source.carrier, source.flight, source.origin, source.dest) as flight_id,
    source.ds,
    source.carrier,
    source.flight,
    source.origin,
    source.dest,
    {{ local_timestamp('source.ds', 'source.sched_dep_time') }} as departure_local,
    {{ local_timestamp('source.ds', 'source.sched_arr_time') }} as arrival_local,
    source.distance as distance_miles
from source
inner join params on source.ds between params.start_on and params.end_on
