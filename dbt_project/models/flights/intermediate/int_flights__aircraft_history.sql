select *
from ({{ late_history(ref('int_flights__days'), ref('stg_flights__arrivals'), by=['tailnum'], days=var('flights_history_days')) }})
where tailnum is not null
