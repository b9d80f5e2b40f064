-- The register version of a day is the last one published on or before it: a later one was not known yet.
with params as (
    select * from {{ source('sluice', 'params') }}
),

days as (
    select unnest(generate_series(start_on, end_on, interval 1 day))::date as ds, timezone, history_days, prediction_hour
    from params
)

select
    days.ds,
    days.ds - days.history_days as history_on,
    (days.ds::timestamp + to_hours(days.prediction_hour)) at time zone days.timezone as as_of_at,
    (select max(planes.ds) from {{ ref('stg_flights__planes') }} as planes where planes.ds <= days.ds) as planes_ds,
    (select max(airports.ds) from {{ ref('stg_flights__airports') }} as airports where airports.ds <= days.ds)
        as airports_ds,
    (select max(airlines.ds) from {{ ref('stg_flights__airlines') }} as airlines where airlines.ds <= days.ds)
        as airlines_ds
from days
