-- Of the tenth of the flights with the highest scores, some have the highest scores of the day before, too: a head of the list that has
-- nothing in common with yesterday's is looked at before somebody works by it.
with scored as (
    select
        ds,
        concat_ws('|', split_part(flight_id, '|', 2), split_part(flight_id, '|', 3), split_part(flight_id, '|', 5)) as flight,
        max(score) as score
    from predictions
    where ds >= getvariable('day') - 1 and not is_baseline
    group by all
),

placed as (
    select
        ds,
        flight,
        score,
        percent_rank() over (partition by ds order by score desc) < 0.1 as is_top
    from scored
),

both_days as (
    select
        today.score,
        today.is_top,
        before.is_top as was_top
    from placed as today
    inner join placed as before using (flight)
    where today.ds = getvariable('day') and before.ds = getvariable('day') - 1
)

select
    count(*) filter (where is_top and was_top) / count(*) filter (where is_top) as value,
    0.15 as low,
    null as high,
    count(*) as n
from both_days
-- Of equal scores none is higher than another.
having count(*) filter (where is_top) >= 20 and count(distinct score) > 1
