-- The register version of a day is the last one published on or before it: a later one was not known yet.
with params as (
    select * from {{ source('sluice', 'params') }}
),

days as (
    select {{ each_day('start_on', 'end_on') }} as ds, timezone, history_days, prediction_hour
    from params
){% for register in ['planes', 'airports', 'airlines'] %},

{{ register }} as (
    select days.ds, max(versions.ds) as version_ds
    from days
    inner join (select distinct ds from {{ ref('stg_flights__' ~ register) }}) as versions on versions.ds <= days.ds
    group by days.ds
){% endfor %}

select
    days.ds,
    days.ds - days.history_days as history_on,
    {{ instant(plus_minutes('cast(days.ds as timestamp)', 'days.prediction_hour * 60'), 'days.timezone') }} as as_of_at,
    planes.version_ds as planes_ds,
    airports.version_ds as airports_ds,
    airlines.version_ds as airlines_ds
from days
left join planes on planes.ds = days.ds
left join airports on airports.ds = days.ds
left join airlines on airlines.ds = days.ds
