-- The day's own tail numbers are not known in the morning: the aircraft that flew the same flight last stands for them.
with flights as (
    select * from {{ ref('int_flights__flight_history') }}
    where last_tailnum is not null
),

days as (
    select * from {{ ref('int_flights__days') }}
),

planes as (
    select * from {{ ref('stg_flights__planes') }}
),

aircraft_history as (
    select * from {{ ref('int_flights__aircraft_history') }}
)

select
    flights.ds,
    flights.carrier,
    flights.flight,
    flights.origin,
    flights.last_tailnum as tailnum,
    planes.tailnum as registered_tailnum,
    planes.manufacturer,
    cast(year(flights.ds) - planes.built_year as double) as age_years,
    cast(planes.seats_count as double) as seats_count,
    aircraft_history.late_rate
from flights
inner join days on days.ds = flights.ds
left join planes on planes.ds = days.planes_ds and planes.tailnum = flights.last_tailnum
left join aircraft_history on aircraft_history.ds = flights.ds and aircraft_history.tailnum = flights.last_tailnum
