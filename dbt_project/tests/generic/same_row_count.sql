{# Fan-out guard: a join must neither multiply nor lose rows. `plus`: a model that holds the rows left out on purpose. #}
{% test same_row_count(model, as_model, plus=none) %}
with counted as (
    select
        (select count(*) from {{ model }}){% if plus %} + (select count(*) from {{ plus }}){% endif %} as actual,
        (select count(*) from {{ as_model }}) as expected
)
select actual, expected from counted where actual <> expected
{% endtest %}
