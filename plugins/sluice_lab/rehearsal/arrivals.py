"""What else could have become of a day's flights: DuckDB queries over `rows`, the arrivals of one day, for `World.deliver(edits=...)`.

Each row stays possible in itself: times move with the delays, and what was cancelled or diverted stays so.
"""

from __future__ import annotations

# Minutes of the day, and back; midnight is 2400.
_MINUTES = "({name} // 100 * 60 + {name} % 100 + later + 2880) % 1440"
_LATER = f"case when {_MINUTES} = 0 then 2400 else {_MINUTES} // 60 * 100 + {_MINUTES} % 60 end as {{name}}"


def exchanged(order: str) -> str:
    """Each carrier's flights change their delays: the first by plan has that of the first by `order`, and so on.

    As many are late, of each carrier too.

    Args:
        order: SQL to order by; may use `planned`, the planned departure in minutes of the day.
    """
    return f"""
        with known as (
            select *, dep_time // 100 * 60 + dep_time % 100 - dep_delay as planned from rows
        ), placed as (
            select *,
                row_number() over (partition by carrier, dep_delay is null order by planned, flight, dest) as place,
                row_number() over (partition by carrier, dep_delay is null order by {order}) as other
            from known
        ), turned as (
            select one.*, two.dep_delay - one.dep_delay as later
            from placed one left join placed two
                on one.carrier = two.carrier and one.place = two.other and one.dep_delay is not null and two.dep_delay is not null
        )
        select * exclude (planned, place, other, later) replace (
            {_LATER.format(name="dep_time")}, dep_delay + later as dep_delay,
            {_LATER.format(name="arr_time")}, arr_delay + later as arr_delay
        )
        from turned
        order by flight_date, carrier, flight, origin, dest
    """  # noqa: S608 - its parts are written here and in scenarios


def later(times: float, limit: int = 15) -> str:
    """Of each carrier `times` as many arrive `limit` minutes late or more: those that were nearest to it, as far above it now as they were below."""
    return f"""
        with ranked as (
            select *,
                row_number() over (partition by carrier, arr_delay is null order by arr_delay desc, flight, dest) as place,
                count(*) filter (arr_delay >= {limit}) over (partition by carrier, arr_delay is null) as late
            from rows
        ), turned as (
            select *, case when arr_delay < {limit} and place <= late * {times} then {2 * limit - 1} - 2 * arr_delay else 0 end as later from ranked
        )
        select * exclude (place, late, later) replace (
            {_LATER.format(name="arr_time")}, arr_delay + later as arr_delay
        )
        from turned
        order by flight_date, carrier, flight, origin, dest
    """  # noqa: S608 - as above
