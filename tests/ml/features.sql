-- A feature table of real flights, as of the morning of each day, for tests of `ml` alone. The pipeline's own features
-- are built and tested in dbt; these only have to be real enough that a model can learn from them.
with flights as (
    select
        make_date(year, month, day) as ds,
        carrier, flight, origin, dest, distance,
        sched_dep_time // 100 * 60 + sched_dep_time % 100 as departure_minute,
        arr_delay >= 15 as is_late
    from read_csv($flights, nullstr = 'NA')
    where list_contains($origins, origin)
    qualify row_number() over (partition by ds, carrier, flight, origin, dest order by sched_dep_time) = 1
),

days as (
    select ds, carrier, origin, dest, count(is_late) as known, count_if(is_late) as late
    from flights
    group by all
),

carriers as (
    select ds, carrier, sum(late) over past / sum(known) over past as late_rate
    from (select ds, carrier, sum(late) as late, sum(known) as known from days group by all)
    window past as (partition by carrier order by ds range between interval 28 day preceding and interval 1 day preceding)
),

routes as (
    select
        ds, carrier, origin, dest,
        sum(known) over past as flights_count,
        sum(late) over past / sum(known) over past as late_rate
    from days
    window past as (
        partition by carrier, origin, dest
        order by ds range between interval 28 day preceding and interval 1 day preceding
    )
),

origins as (
    select
        ds, origin,
        sum(late) over week / sum(known) over week as late_rate_7d,
        sum(late) over yesterday / sum(known) over yesterday as late_rate_1d
    from (select ds, origin, sum(late) as late, sum(known) as known from days group by all)
    window
        week as (partition by origin order by ds range between interval 7 day preceding and interval 1 day preceding),
        yesterday as (partition by origin order by ds range between interval 1 day preceding and interval 1 day preceding)
),

weather as (
    select
        origin,
        make_date(year, month, day) as ds,
        arg_max(wind_speed, hour) as wind_speed,
        arg_max(wind_gust, hour) as wind_gust,
        arg_max(visib, hour) as visibility,
        arg_max(pressure, hour) as pressure,
        sum(precip) as precipitation
    from read_csv($weather, nullstr = 'NA')
    where hour between 0 and 3
    group by all
)

select
    concat_ws('|', ds, carrier, flight, origin, dest) as flight_id,
    ds, carrier, origin, dest, is_late,
    departure_minute::integer as departure_minute,
    isodow(ds)::integer as day_of_week,
    distance::bigint as distance,
    carriers.late_rate as carrier_late_rate,
    routes.flights_count::bigint as route_flights_count,
    routes.late_rate as route_late_rate,
    origins.late_rate_7d as origin_late_rate_7d,
    origins.late_rate_1d as origin_late_rate_1d,
    weather.wind_speed, weather.wind_gust, weather.visibility, weather.pressure, weather.precipitation
from flights
left join carriers using (ds, carrier)
left join routes using (ds, carrier, origin, dest)
left join origins using (ds, origin)
left join weather using (ds, origin)
where ds between $first::date and $last::date
order by ds, flight_id
