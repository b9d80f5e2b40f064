-- A flight is known again by its carrier, number and origin; the destination of a number changes now and then.
with history as (
    {{ late_history(ref('int_flights__days'), ref('stg_flights__arrivals'), by=['carrier', 'flight', 'origin']) }}
),

flown as (
    select
        days.ds,
        arrivals.carrier,
        arrivals.flight,
        arrivals.origin,
        arrivals.tailnum,
        row_number() over (
            partition by days.ds, arrivals.carrier, arrivals.flight, arrivals.origin
            order by arrivals.ds desc, arrivals.dest, arrivals.tailnum
        ) as place
    from {{ ref('int_flights__days') }} as days
    inner join {{ ref('stg_flights__arrivals') }} as arrivals
        on arrivals.ds >= days.history_on and arrivals.ds < days.ds
    where not arrivals.is_cancelled and arrivals.tailnum is not null
)

select history.ds, history.carrier, history.flight, history.origin, history.late_rate, flown.tailnum as last_tailnum
from history
left join flown
    on flown.ds = history.ds
    and flown.carrier = history.carrier
    and flown.flight = history.flight
    and flown.origin = history.origin
    and flown.place = 1
