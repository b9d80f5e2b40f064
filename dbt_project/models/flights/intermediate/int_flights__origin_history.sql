with week as (
    {{ late_history(ref('int_flights__days'), ref('stg_flights__arrivals'), by=['origin'], days=7) }}
),

yesterday as (
    {{ late_history(ref('int_flights__days'), ref('stg_flights__arrivals'), by=['origin'], days=1) }}
)

select week.ds, week.origin, week.late_rate as late_rate_7d, yesterday.late_rate as late_rate_1d
from week
left join yesterday on yesterday.ds = week.ds and yesterday.origin = week.origin
