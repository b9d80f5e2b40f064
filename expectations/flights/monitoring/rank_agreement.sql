-- The model orders the flights of a day much as the carriers' own late rates do (Spearman's correlation of the two ranks): scores that
-- came to the wrong flights agree with nothing.
with ranked as (
    select
        -- Of equal values each has their mean rank.
        rank() over (order by p.score) + (count(*) over (partition by p.score) - 1) / 2 as by_score,
        rank() over (order by f.carrier_late_rate_28d)
            + (count(*) over (partition by f.carrier_late_rate_28d) - 1) / 2 as by_rate
    from predictions as p
    inner join features as f using (ds, flight_id)
    where
        ds = getvariable('day')
        and not p.is_baseline
        and f.carrier_late_rate_28d is not null
)

select
    corr(by_score, by_rate) as value,
    0.1 as low,
    null as high,
    count(*) as n
from ranked
having count(*) >= 200
