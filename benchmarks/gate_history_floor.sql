-- The rules of expectations/flights/arrivals.json that compare with earlier days, by hand, for a batch of one day:
-- the batch is read once a column for how often its values occur, once for group shares and once for repeated rows.
-- Over the views `batch` and `history`, which has the 56 days before it.
create temp table counts as
with seen as (from history union all by name from batch)
select ds, 'carrier' as name, carrier as label, null::bigint as number, count(*) as n from seen group by ds, carrier
union all select ds, 'origin', origin, null, count(*) from seen group by ds, origin
union all select ds, 'dest', dest, null, count(*) from seen group by ds, dest
union all select ds, 'tailnum', tailnum, null, count(*) from seen group by ds, tailnum
union all select ds, 'dep_time', null, dep_time, count(*) from seen group by ds, dep_time
union all select ds, 'dep_delay', null, dep_delay, count(*) from seen group by ds, dep_delay
union all select ds, 'arr_time', null, arr_time, count(*) from seen group by ds, arr_time
union all select ds, 'arr_delay', null, arr_delay, count(*) from seen group by ds, arr_delay
union all select ds, 'air_time', null, air_time, count(*) from seen group by ds, air_time;

create temp table groups as
select ds, carrier, count(*) as n, count(*) filter (arr_delay >= 15) as late, count(*) filter (arr_delay >= 120) as very_late
from (select ds, carrier, arr_delay from history union all select ds, carrier, arr_delay from batch)
where arr_delay is not null and carrier is not null
group by ds, carrier;

create temp table repeated as
with earlier as (
  select ds, hash(carrier, flight, origin, dest, tailnum, dep_time, dep_delay, arr_time, arr_delay, air_time) as h, count(*) as n
  from history where ds >= date '2013-04-01' - 28 group by all
),
mine as (
  select h, count(*) as n
  from (select hash(carrier, flight, origin, dest, tailnum, dep_time, dep_delay, arr_time, arr_delay, air_time) as h from batch)
  where h in (select h from earlier) group by h
)
select max(n) as n from (select ds, sum(least(m.n, e.n)) as n from mine as m join earlier as e using (h) group by ds);

with today as (select max(ds) as day from counts),
texts as (
  select ds, name, upper(trim(coalesce(label, cast(number as varchar)))) as value, sum(n) as n from counts
  where coalesce(label, cast(number as varchar)) is not null group by all
),
sizes as (select ds, sum(n) as rows from counts where name = 'origin' group by ds),
ranked as (
  select ds, name, abs(number) as size, sum(n) over w as upto, sum(n) over (partition by ds, name) as total
  from counts where number is not null and name in ('dep_delay', 'arr_delay', 'air_time')
  window w as (partition by ds, name order by abs(number))
),
daily as (
  select ds, 'rows' as kind, 'rows' as name, cast(rows as double) as value from sizes
  union all
  select ds, 'mean', name, sum(number * n) / nullif(sum(n) filter (number is not null), 0)
  from counts where name in ('dep_delay', 'arr_delay', 'air_time') group by ds, name
  union all
  select ds, 'nulls', name, coalesce(sum(n) filter (label is null and number is null), 0) / sum(n)
  from counts where name in ('tailnum', 'dep_time', 'dep_delay', 'arr_time', 'arr_delay', 'air_time') group by ds, name
  union all
  select ds, 'size', name, (min(size) filter (upto >= (total + 1) // 2) + min(size) filter (upto >= total // 2 + 1)) / 2
  from ranked group by ds, name
),
pairs as (
  select d.kind, d.name, d.value, e.value as was, d.ds - e.ds as back, (d.ds - e.ds) % 7 = 0 as same_weekday,
    median(e.value) over (partition by d.kind, d.name, isodow(e.ds)) as weekday_level
  from daily as d join today on d.ds = today.day join daily as e on e.kind = d.kind and e.name = d.name and e.ds < d.ds
),
levels as (
  select *, median(was) filter (back <= 28) over (partition by kind, name) as level_28,
    median(was) over (partition by kind, name) as level_56
  from pairs
),
bands as (
  select kind, name, any_value(value) as value, any_value(level_28) as level_28, any_value(level_56) as level_56,
    1.4826 * median(abs(was - level_28)) filter (back <= 28) as spread_28, 1.4826 * median(abs(was - level_56)) as spread_56,
    median(was) filter (same_weekday) as weekday, 1.4826 * median(abs(was - weekday_level)) as weekday_spread
  from levels group by kind, name
),
bins as (
  select ds, name, case when name = 'dep_delay' then list_position(list_sort([number, -10.5, -5.5, -2.5, -0.5, 4.5, 14.5, 29.5, 59.5]), number)
    when name = 'arr_delay' then list_position(list_sort([number, -25.5, -15.5, -10.5, -5.5, -0.5, 4.5, 14.5, 29.5, 59.5]), number)
    when name = 'air_time' then list_position(list_sort([number, 44.5, 74.5, 104.5, 124.5, 144.5, 179.5, 239.5, 319.5]), number)
    end as bin, n
  from counts where number is not null and name in ('dep_delay', 'arr_delay', 'air_time')
),
parts as (
  select ds, name, cast(bin as varchar) as bin, n from bins
  union all select ds, name, value, n from texts where name in ('carrier', 'origin', 'dest')
),
shares as (
  select name, bin, coalesce(sum(n) filter (ds = day), 0) / sum(sum(n) filter (ds = day)) over (partition by name) as p,
    coalesce(sum(n) filter (ds < day), 0) / sum(sum(n) filter (ds < day)) over (partition by name) as q
  from parts, today where ds >= day - 28 group by name, bin
),
diverged as (
  select name, sum(if(p > 0, p * log2(2 * p / (p + q)), 0) + if(q > 0, q * log2(2 * q / (p + q)), 0)) / 2 as divergence
  from shares group by name
),
values_of_days as (
  select t.name, t.value, sum(t.n / s.rows) filter (t.ds = day) as share,
    coalesce(max(t.n / s.rows) filter (t.ds < day and t.ds >= day - 28), 0) as before,
    max(t.ds) filter (t.ds < day) as last_seen
  from texts as t join sizes as s using (ds), today group by t.name, t.value having share is not null
),
news as (
  select name, coalesce(sum(share) filter (last_seen is null or last_seen < day - 28), 0) as in_28,
    coalesce(sum(share) filter (last_seen is null), 0) as in_56
  from values_of_days, today group by name
),
carriers as (
  select upper(trim(carrier)) as carrier, ds, sum(n) as n, sum(late) as late, sum(very_late) as very_late from groups group by all
),
above as (
  select c.ds, carrier, c.n / t.n as part, c.late / c.n - (t.late - c.late) / nullif(t.n - c.n, 0) as late,
    c.very_late / c.n - (t.very_late - c.very_late) / nullif(t.n - c.n, 0) as very_late
  from carriers as c join (select ds, sum(n) as n, sum(late) as late, sum(very_late) as very_late from carriers group by ds) as t using (ds)
),
alone as (
  select carrier, any_value(part) filter (ds = day) as part, any_value(late) filter (ds = day) as late,
    any_value(very_late) filter (ds = day) as very_late, median(late) filter (ds < day) as usual,
    median(very_late) filter (ds < day) as very_usual, count(late) filter (ds < day) as days
  from above, today group by carrier having part is not null and days >= 14
)
select
  (select count(*) from bands where kind = 'rows' and abs(value - weekday) > greatest(4 * weekday_spread, $slack * weekday)) as rows_fit_the_weekday,
  (select count(*) from bands where kind = 'mean' and name <> 'air_time' and abs(value - level_56) > greatest(8 * spread_56, 45)) as delays_mean_unusual,
  (select count(*) from bands where kind = 'mean' and name = 'air_time' and abs(value - level_56) > greatest(6 * spread_56, 40)) as air_time_mean_fits,
  (select count(*) from bands where kind = 'nulls' and value > level_28 + greatest(4 * spread_28, 0.65)) as gaps_fit,
  (select count(*) from bands where kind = 'nulls' and value > level_28 + greatest(4 * spread_28, 0.25)) as gaps_unusual,
  (select count(*) from bands where kind = 'size' and level_28 > 0 and (value > level_28 * 15 or value * 15 < level_28)) as minutes_have_their_magnitude,
  (select count(*) from diverged where name in ('dep_delay', 'arr_delay') and divergence > 0.45) as delays_have_the_usual_mix,
  (select count(*) from diverged where name not in ('dep_delay', 'arr_delay') and divergence > 0.07) as flights_have_the_usual_mix,
  (select count(*) from diverged where name in ('carrier', 'origin') and divergence > 0.02) as carriers_and_origins_have_their_shares,
  (select count(*) from news where name in ('carrier', 'origin', 'dest') and in_28 > 0.05) as places_are_known,
  (select count(*) from news where name = 'tailnum' and in_56 > 0.1) as aircraft_are_known,
  (select count(*) from values_of_days where name not in ('carrier', 'origin') and share - before > 0.1) as no_value_spikes,
  (select coalesce(max(n), 0) / (select rows from sizes, today where ds = day) > 0.5 from repeated) as differs_from_earlier_days,
  (select count(*) from alone where (very_late - very_usual) * part not between -0.055 and 0.055) as carrier_not_very_late_alone,
  (select count(*) from alone where (late - usual) * part not between -0.06 and 0.09) as carrier_not_late_alone
