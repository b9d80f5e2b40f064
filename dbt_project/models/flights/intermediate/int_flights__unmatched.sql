-- Rows whose partner a join did not find. They keep their place in the features, with nulls; here they can be counted
-- and looked at, so that no join loses anything in silence.
with departures as (
    select * from {{ ref('int_flights__departures') }}
),

aircraft as (
    select * from {{ ref('int_flights__expected_aircraft') }}
),

-- The aircraft of flights that are planned on the day: others are no input of any row.
expected as (
    select aircraft.ds, aircraft.tailnum, aircraft.registered_tailnum
    from departures
    inner join aircraft
        on aircraft.ds = departures.ds
        and aircraft.carrier = departures.carrier
        and aircraft.flight = departures.flight
        and aircraft.origin = departures.origin
),

unmatched as (
    select ds, 'airlines' as join_name, carrier as join_key from departures where carrier_name is null
    union all
    select ds, 'airports' as join_name, dest as join_key from departures where dest_timezone is null
    union all
    select ds, 'planes' as join_name, tailnum as join_key from expected where registered_tailnum is null
    union all
    select departures.ds, 'weather' as join_name, departures.origin as join_key
    from departures
    {{ anti_join() }} {{ ref('int_flights__weather') }} as weather
        on weather.ds = departures.ds and weather.origin = departures.origin
)

select ds, join_name, join_key, count(*) as rows_count
from unmatched
group by ds, join_name, join_key
