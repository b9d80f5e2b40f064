with source as (
    select * from {{ source('flights', 'weather') }}
)

select
    ds,
    {{ join_key('origin') }} as origin,
    observed_at,
    temp as temperature_f,
    wind_speed as wind_speed_mph,
    wind_gust as wind_gust_mph,
    -- Hundredths of an inch, whole numbers: a sum of them does not depend on the order of the rows.
    cast(round(precip * 100) as bigint) as precipitation_hundredths,
    pressure as pressure_millibar,
    visib as visibility_miles
from source
