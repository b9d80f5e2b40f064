select *
from ({{ late_history(by=['tailnum'], days=var('flights_history_days')) }})
where tailnum is not null
