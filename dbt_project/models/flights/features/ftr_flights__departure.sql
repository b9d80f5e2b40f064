with departures as (
    select * from {{ ref('int_flights__departures') }}
),

left_out as (
    select * from {{ ref('int_flights__departures_left_out') }}
),

carrier_history as (
    select * from {{ ref('int_flights__carrier_history') }}
),

route_history as (
    select * from {{ ref('int_flights__route_history') }}
),

flight_history as (
    select * from {{ ref('int_flights__flight_history') }}
),

origin_history as (
    select * from {{ ref('int_flights__origin_history') }}
),

aircraft as (
    select * from {{ ref('int_flights__expected_aircraft') }}
),

weather as (
    select * from {{ ref('int_flights__weather') }}
)

select
    departures.flight_id,
    departures.ds,
    departures.carrier,
    departures.flight,
    departures.origin,
    departures.dest,
    departures.scheduled_departure_at,
    departures.as_of_at,
    departures.departure_minute_of_day,
    departures.departure_day_of_week,
    departures.distance_miles,
    departures.planned_minutes,
    departures.origin_hour_departures_count,
    coalesce(carrier_history.flights_count, 0) as carrier_flights_count_28d,
    carrier_history.late_rate as carrier_late_rate_28d,
    coalesce(route_history.flights_count, 0) as route_flights_count_28d,
    route_history.late_rate as route_late_rate_28d,
    route_history.delay_minutes as route_delay_minutes_28d,
    flight_history.late_rate as flight_late_rate_28d,
    origin_history.late_rate_7d as origin_late_rate_7d,
    origin_history.late_rate_1d as origin_late_rate_1d,
    aircraft.manufacturer as aircraft_manufacturer,
    aircraft.late_rate as aircraft_late_rate_28d,
    aircraft.age_years as aircraft_age_years,
    aircraft.seats_count as aircraft_seats_count,
    weather.wind_speed_mph,
    weather.wind_gust_mph,
    weather.visibility_miles,
    weather.temperature_f,
    weather.pressure_millibar,
    weather.precipitation_inches_6h
from departures
{{ anti_join() }} left_out on left_out.flight_id = departures.flight_id
left join carrier_history on carrier_history.ds = departures.ds and carrier_history.carrier = departures.carrier
left join route_history
    on route_history.ds = departures.ds
    and route_history.origin = departures.origin
    and route_history.dest = departures.dest
left join flight_history
    on flight_history.ds = departures.ds
    and flight_history.carrier = departures.carrier
    and flight_history.flight = departures.flight
    and flight_history.origin = departures.origin
left join origin_history on origin_history.ds = departures.ds and origin_history.origin = departures.origin
left join aircraft
    on aircraft.ds = departures.ds
    and aircraft.carrier = departures.carrier
    and aircraft.flight = departures.flight
    and aircraft.origin = departures.origin
left join weather on weather.ds = departures.ds and weather.origin = departures.origin
