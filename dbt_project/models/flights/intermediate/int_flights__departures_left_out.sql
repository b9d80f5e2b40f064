-- A flight that is planned to leave before the day is scored cannot be predicted: it is left out, and counted.
select flight_id, ds, 'departs_before_prediction' as reason
from {{ ref('int_flights__departures') }}
where scheduled_departure_at <= as_of_at
