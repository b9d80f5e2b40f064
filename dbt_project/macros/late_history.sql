{#
    What was known, on the morning of each day to build, of the flights of the days before it: of the `days` days before,
    or of those that a history looks back on (`history_days` of the pipeline), if not given.
    `days_to_build`: one row a day, `ds` and `history_on`, the first day of its history.
    `arrivals`: one row a flight that was planned, with `is_late` and its delay.
    `by`: columns that identify a history. Counts are of flights that arrived: cancelled and diverted ones have no delay.
    Sums are of integers, so that the order of rows, and with it the size of a run, cannot change a digit.
#}
{% macro late_history(days_to_build, arrivals, by, days=none) %}
select
    days.ds,
    {% for column in by -%}
    arrivals.{{ column }},
    {% endfor -%}
    count(arrivals.is_late) as flights_count,
    count(*) filter (where arrivals.is_late) / nullif(count(arrivals.is_late), 0) as late_rate,
    cast(sum(arrivals.arrival_delay_minutes) as double) / nullif(count(arrivals.is_late), 0) as delay_minutes
from {{ days_to_build }} as days
inner join {{ arrivals }} as arrivals
    on arrivals.ds >= {{ 'days.history_on' if days is none else 'days.ds - ' ~ days }} and arrivals.ds < days.ds
group by days.ds{% for column in by %}, arrivals.{{ column }}{% endfor %}
{% endmacro %}
