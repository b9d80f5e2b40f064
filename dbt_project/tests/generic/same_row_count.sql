{#
    Fan-out guard: a join must neither multiply nor lose rows. `plus`: a model that holds the rows left out on purpose;
    `of_rows`: the rows of `as_model` that the join begins with.
#}
{% test same_row_count(model, as_model, plus=none, of_rows='true') %}
with counted as (
    select
        (select count(*) from {{ model }}){% if plus %} + (select count(*) from {{ plus }}){% endif %} as actual,
        (select count(*) from {{ as_model }} where {{ of_rows }}) as expected
)
select actual, expected from counted where actual <> expected
{% endtest %}
