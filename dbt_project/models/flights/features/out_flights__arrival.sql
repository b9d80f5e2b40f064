with arrivals as (
    select * from {{ ref('stg_flights__arrivals') }}
),

params as (
    select * from {{ source('sluice', 'params') }}
)

select
    arrivals.flight_id,
    arrivals.ds,
    arrivals.arrival_delay_minutes,
    arrivals.is_cancelled,
    arrivals.is_diverted,
    arrivals.is_late
from arrivals
inner join params on arrivals.ds between params.start_on and params.end_on
