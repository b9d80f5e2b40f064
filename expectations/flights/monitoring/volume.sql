-- There are about as many predictions as on the days before (the median of up to seven).
with counted as (
    select
        ds,
        count(*) as predictions_count
    from predictions
    group by ds
)

select
    max(predictions_count) filter (where ds = getvariable('day'))
    / median(predictions_count) filter (where ds < getvariable('day')) as value,
    0.5 as low,
    1.5 as high,
    max(predictions_count) filter (where ds = getvariable('day')) as n
from counted
having count(*) filter (where ds < getvariable('day')) >= 3
