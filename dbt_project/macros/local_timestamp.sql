{# A day and an HHMM clock reading as a local timestamp without a zone. 2400 is the midnight that ends the day. #}
{% macro local_timestamp(day, hhmm) -%}
    (({{ day }})::timestamp + to_minutes(({{ hhmm }} // 100) * 60 + {{ hhmm }} % 100))
{%- endmacro %}
