{# dbt's own, for contracts: Spark calls some of the types of a contract otherwise. #}
{% macro spark__get_empty_schema_sql(columns) -%}
    {%- set types = {'varchar': 'string', 'timestamptz': 'timestamp'} -%}
    {%- set named = {} -%}
    {%- for key, column in columns.items() -%}
        {%- do named.update({key: dict(column, data_type=types.get(column['data_type'] | lower, column['data_type']))}) -%}
    {%- endfor -%}
    {{ default__get_empty_schema_sql(named) }}
{%- endmacro %}

{# dbt's own would alter the table, which Spark does for Delta alone: `sluice.transform.spark` looks for nulls when it reads the rows. #}
{% macro spark__persist_constraints(relation, model) %}{% endmacro %}
