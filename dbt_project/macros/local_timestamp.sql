{# A day and an HHMM clock reading as a local timestamp without a zone. 2400 is the midnight that ends the day. #}
{% macro local_timestamp(day, hhmm) -%}
    {{ plus_minutes('cast(' ~ day ~ ' as timestamp)', '(' ~ whole(hhmm, 100) ~ ') * 60 + ' ~ hhmm ~ ' % 100') }}
{%- endmacro %}
