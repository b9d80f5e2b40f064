{#
    Fails if a join found its partner for less than `at_least` of the rows: `column_name` is null where it found none.
    `of_days_in`: a model; days that it does not have are not counted.
#}
{% test match_rate(model, column_name, at_least, of_days_in=none) %}
select count({{ column_name }}) as matched, count(*) as total
from {{ model }}
{% if of_days_in %}where ds in (select ds from {{ of_days_in }}){% endif %}
having count({{ column_name }}) < {{ at_least }} * count(*)
{% endtest %}
