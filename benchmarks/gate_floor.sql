-- The rules of expectations/flights/arrivals.json that look at the batch alone, as failing rows (of a rule about a whole day: failing days).
with batch as (from read_parquet($path, hive_partitioning = false)),
days as (
  select
    ds, count(*) as flights,
    least(
      count(*) filter (upper(trim(origin)) = 'EWR'), count(*) filter (upper(trim(origin)) = 'JFK'),
      count(*) filter (upper(trim(origin)) = 'LGA')
    ) as fewest,
    count(*) filter (flight_date is distinct from ds) as other_day,
    count(*) filter (upper(trim(carrier)) not in ('9E', 'AA', 'AS', 'B6', 'DL', 'EV', 'F9', 'FL', 'HA', 'MQ', 'OO', 'UA', 'US',
                                     'VX', 'WN', 'YV')) as strange_carrier,
    count(*) filter (upper(trim(origin)) not in ('EWR', 'JFK', 'LGA')) as strange_origin,
    count(*) filter (length(trim(dest)) <> 3) as no_code,
    count(*) filter (dep_time not between 1 and 2400 or dep_time % 100 > 59
                     or arr_time not between 1 and 2400 or arr_time % 100 > 59) as no_clock,
    count(*) filter (dep_delay not between -60 and 1440) as late_dep, count(dep_delay) as known_dep,
    count(*) filter (arr_delay not between -120 and 1440) as late_arr, count(arr_delay) as known_arr,
    count(*) filter (air_time not between 10 and 900) as odd_air, count(air_time) as known_air,
    count(*) filter (dep_delay not between -60 and 1440 or arr_delay not between -120 and 1440) as beyond,
    count(*) filter ((dep_time is null) <> (dep_delay is null) or (arr_delay is null) <> (air_time is null)
                     or (dep_time is null and arr_time is not null) or (arr_time is null and arr_delay is not null)
                     or (tailnum is null and dep_time is not null)) as gaps,
    count(*) filter (dep_time is null) / count(*) as cancelled,
    count(*) filter (dep_time is not null and arr_delay is null) / count(*) as lost,
    corr(arr_delay, dep_delay) as correlation
  from batch
  group by ds
),
repeated as (
  select coalesce(sum(times), 0) as rows
  from (select count(*) as times from batch group by flight_date, upper(trim(carrier)), flight, upper(trim(origin)),
          upper(trim(dest)) having times > 1)
),
parts as (
  select ds, 'carrier' as kind, count(*) as part_flights, count(*) filter (dep_time is null) as part_gone from batch group by ds, carrier
  union all
  select ds, 'origin', count(*), count(*) filter (dep_time is null) from batch group by ds, origin
  union all
  select ds, 'dest', count(*), count(*) filter (dep_time is null) from batch group by ds, dest
),
late as (
  select count(*) as origins
  from (select 1 from batch group by ds, origin having count(dep_delay) >= 50 and count(*) filter (dep_delay <= 10) < 0.12 * count(dep_delay))
),
punctual as (
  select ds, count(arr_delay) as known, count(*) filter (arr_delay <= 15) as in_time from batch group by ds, carrier
),
late_alone as (
  select count(*) as carriers from (
    select known, in_time, sum(known) over (partition by ds) - known as others, sum(in_time) over (partition by ds) - in_time as others_in_time
    from punctual
  )
  where known >= 20 and others >= 20 and others_in_time / others - in_time / known > 0.6
),
alone as (
  select kind, count(*) as parts from parts join days using (ds)
  where part_flights >= 10 and part_gone >= 0.8 * part_flights
    and cancelled * flights - part_gone < 0.12 * (flights - part_flights)
  group by kind
)
select
  sum(flights) as rows,
  count(*) filter (flights not between 600 * $scale and 1200 * $scale) as flights_a_day,
  count(*) filter (fewest < 120 * $scale) as every_origin_reports,
  (select rows from repeated) as one_row_a_flight,
  sum(other_day) as day_is_the_partition,
  sum(strange_carrier) as known_carrier,
  sum(strange_origin) as known_origin,
  sum(no_code) as dest_is_a_code,
  sum(no_clock) as clock_is_hhmm,
  sum(late_dep) filter (late_dep / known_dep > 0.01) as departure_delay_in_minutes,
  sum(late_arr) filter (late_arr / known_arr > 0.01) as arrival_delay_in_minutes,
  sum(odd_air) filter (odd_air / known_air > 0.01) as air_time_in_minutes,
  sum(beyond) as delay_beyond_a_day,
  sum(gaps) as gaps_agree,
  count(*) filter (cancelled > 0.75) as departures_known,
  count(*) filter (cancelled > 0.3) as many_cancelled,
  coalesce((select parts from alone where kind = 'carrier'), 0) as carrier_not_cancelled_alone,
  coalesce((select parts from alone where kind = 'origin'), 0) as origin_not_cancelled_alone,
  coalesce((select parts from alone where kind = 'dest'), 0) as dest_not_cancelled_alone,
  (select origins from late) as some_leave_on_time,
  (select carriers from late_alone) as no_carrier_alone_is_late,
  count(*) filter (lost > 0.15) as arrivals_known,
  count(*) filter (coalesce(correlation, 0) < 0.5) as delays_agree
from days
