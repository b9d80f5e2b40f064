{#
    A key as all sources of a pipeline spell it: upper case, no blanks around it, one blank for any run of them inside.
    Producers differ in these and mean the same. Every key that a join uses goes through here once, in staging.
#}
{% macro join_key(column) -%}
    nullif(upper(trim({{ one_blank(column) }})), '')
{%- endmacro %}
