-- Only the day before counts: it is what was delivered last, and older weather says nothing about today's.
with observations as (
    select
        days.ds,
        weather.origin,
        weather.observed_at,
        weather.temperature_f,
        weather.wind_speed_mph,
        weather.wind_gust_mph,
        weather.precipitation_hundredths,
        weather.pressure_millibar,
        weather.visibility_miles
    from {{ ref('int_flights__days') }} as days
    inner join {{ ref('stg_flights__weather') }} as weather
        on weather.ds = days.ds - 1 and weather.observed_at < days.as_of_at
),

latest as (
    select ds, origin, max(observed_at) as observed_at
    from observations
    group by ds, origin
),

recent as (
    select
        latest.ds,
        latest.origin,
        cast(sum(observations.precipitation_hundredths) as double) / 100 as precipitation_inches_6h
    from latest
    inner join observations
        on observations.ds = latest.ds
        and observations.origin = latest.origin
        and observations.observed_at > latest.observed_at - interval 6 hours
    group by latest.ds, latest.origin
)

select
    observations.ds,
    observations.origin,
    observations.observed_at,
    observations.temperature_f,
    observations.wind_speed_mph,
    observations.wind_gust_mph,
    observations.pressure_millibar,
    observations.visibility_miles,
    recent.precipitation_inches_6h
from observations
inner join latest
    on latest.ds = observations.ds
    and latest.origin = observations.origin
    and latest.observed_at = observations.observed_at
inner join recent on recent.ds = observations.ds and recent.origin = observations.origin
