{#
    What DuckDB and Spark write in different ways, each once: models call these and are the same on both.
    On Spark a clock reading without a zone is a `timestamp` of a session in UTC; so is an instant, and the models tell them apart.
#}

{# One row a day from `first` to `last`, both included; the only such expression of its select. #}
{% macro each_day(first, last) %}{{ adapter.dispatch('each_day')(first, last) }}{% endmacro %}
{% macro default__each_day(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}
{% macro spark__each_day(first, last) -%}
    explode(sequence({{ first }}, {{ last }}, interval 1 day))
{%- endmacro %}

{# The instant at which a clock in `zone` reads `local`; null where the zone is. #}
{% macro instant(local, zone) %}{{ adapter.dispatch('instant')(local, zone) }}{% endmacro %}
{% macro default__instant(local, zone) -%}
    ({{ local }}) at time zone {{ zone }}
{%- endmacro %}
{% macro spark__instant(local, zone) -%}
    {#- Of the hour that a clock reads twice DuckDB means the second, and Spark the first. -#}
    {%- set first = 'to_utc_timestamp(' ~ local ~ ', ' ~ zone ~ ')' -%}
    case
        when from_utc_timestamp({{ first }} + interval 1 hour, {{ zone }}) = {{ local }} then {{ first }} + interval 1 hour
        else {{ first }}
    end
{%- endmacro %}

{# A timestamp and a whole number of minutes, which may be a column. #}
{% macro plus_minutes(moment, minutes) %}{{ adapter.dispatch('plus_minutes')(moment, minutes) }}{% endmacro %}
{% macro default__plus_minutes(moment, minutes) -%}
    ({{ moment }} + to_minutes({{ minutes }}))
{%- endmacro %}
{% macro spark__plus_minutes(moment, minutes) -%}
    timestampadd(minute, {{ minutes }}, {{ moment }})
{%- endmacro %}

{# Minutes from one timestamp to another, of timestamps of whole minutes. #}
{% macro minutes_between(first, last) %}{{ adapter.dispatch('minutes_between')(first, last) }}{% endmacro %}
{% macro default__minutes_between(first, last) -%}
    date_diff('minute', {{ first }}, {{ last }})
{%- endmacro %}
{% macro spark__minutes_between(first, last) -%}
    timestampdiff(minute, {{ first }}, {{ last }})
{%- endmacro %}

{# 1 is Monday, 7 is Sunday. #}
{% macro day_of_week(day) %}{{ adapter.dispatch('day_of_week')(day) }}{% endmacro %}
{% macro default__day_of_week(day) -%}
    isodow({{ day }})
{%- endmacro %}
{% macro spark__day_of_week(day) -%}
    cast(extract(dayofweek_iso from {{ day }}) as bigint)
{%- endmacro %}

{# The whole part of a quotient of whole numbers. #}
{% macro whole(number, by) %}{{ adapter.dispatch('whole')(number, by) }}{% endmacro %}
{% macro default__whole(number, by) -%}
    {{ number }} // {{ by }}
{%- endmacro %}
{% macro spark__whole(number, by) -%}
    {{ number }} div {{ by }}
{%- endmacro %}

{# A text with one blank for any run of them, whatever kind they are of. #}
{% macro one_blank(text) %}{{ adapter.dispatch('one_blank')(text) }}{% endmacro %}
{% macro default__one_blank(text) -%}
    regexp_replace({{ text }}, '[\s\p{Z}]+', ' ', 'g')
{%- endmacro %}
{% macro spark__one_blank(text) -%}
    {#- To Java `\s` is one character more, which is the vertical tab. -#}
    regexp_replace({{ text }}, r'[\t\n\f\r\p{Z}]+', ' ')
{%- endmacro %}

{# Rows of what is before without a partner in what follows. #}
{% macro anti_join() %}{{ adapter.dispatch('anti_join')() }}{% endmacro %}
{% macro default__anti_join() -%}
    anti join
{%- endmacro %}
{% macro spark__anti_join() -%}
    left anti join
{%- endmacro %}
