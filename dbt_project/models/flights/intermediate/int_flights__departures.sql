with schedule as (
    select * from {{ ref('stg_flights__schedule') }}
),

days as (
    select * from {{ ref('int_flights__days') }}
),

airports as (
    select * from {{ ref('stg_flights__airports') }}
),

airlines as (
    select * from {{ ref('stg_flights__airlines') }}
),

placed as (
    select
        schedule.*,
        days.as_of_at,
        airlines.carrier_name,
        origins.timezone as origin_timezone,
        destinations.timezone as dest_timezone,
        {{ instant('schedule.departure_local', 'origins.timezone') }} as scheduled_departure_at,
        {{ instant('schedule.arrival_local', 'destinations.timezone') }} as arrival_same_day_at
    from schedule
    inner join days on days.ds = schedule.ds
    left join airlines on airlines.ds = days.airlines_ds and airlines.carrier = schedule.carrier
    left join airports as origins on origins.ds = days.airports_ds and origins.faa = schedule.origin
    left join airports as destinations on destinations.ds = days.airports_ds and destinations.faa = schedule.dest
),

timed as (
    select
        *,
        -- A timetable gives clock readings only: an arrival before the departure is one of the next day.
        case
            when arrival_same_day_at < scheduled_departure_at then arrival_same_day_at + interval 24 hours
            else arrival_same_day_at
        end as scheduled_arrival_at
    from placed
)

select
    flight_id,
    ds,
    carrier,
    flight,
    origin,
    dest,
    carrier_name,
    origin_timezone,
    dest_timezone,
    scheduled_departure_at,
    as_of_at,
    {{ minutes_between('cast(ds as timestamp)', 'departure_local') }} as departure_minute_of_day,
    {{ day_of_week('ds') }} as departure_day_of_week,
    distance_miles,
    cast({{ minutes_between('scheduled_departure_at', 'scheduled_arrival_at') }} as double) as planned_minutes,
    count(*) over (partition by ds, origin, date_trunc('hour', departure_local)) as origin_hour_departures_count
from timed
