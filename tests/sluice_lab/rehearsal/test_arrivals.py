"""What scenarios make of a day's arrivals stays a day that could have been."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from sluice_lab.rehearsal import arrivals

# Carrier, planned departure and arrival (HHMM), minutes late; None is cancelled. One crosses midnight.
PLANNED = [
    ("AA", 600, 730, -5),
    ("AA", 900, 1030, 0),
    ("AA", 1200, 1330, 40),
    ("AA", 2300, 2350, 14),
    ("AA", 1500, 1630, None),
    ("UA", 700, 830, 20),
    ("UA", 1800, 1930, 3),
    ("UA", 2000, 2130, -10),
]
LATE = "select carrier, count(*) filter (arr_delay >= 15) as late, count(arr_delay) as flew from made group by 1 order by 1"


def moved(clock: int, minutes: int) -> int:
    at = (clock // 100 * 60 + clock % 100 + minutes) % 1440
    return at // 60 * 100 + at % 60 or 2400


@pytest.fixture
def rows() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "flight_date": "2013-07-01",
                "carrier": carrier,
                "flight": number,
                "origin": "JFK",
                "dest": "BOS",
                "dep_time": None if late is None else moved(leaves, late),
                "dep_delay": late,
                "arr_time": None if late is None else moved(lands, late),
                "arr_delay": late,
            }
            for number, (carrier, leaves, lands, late) in enumerate(PLANNED)
        ]
    )


def made(rows: pa.Table, query: str, *then: str) -> list[list[tuple]]:
    with duckdb.connect() as con:
        con.register("rows", rows)
        con.register("made", con.sql(query).to_arrow_table())
        assert con.sql("from made").columns == rows.column_names
        return [con.sql(one).fetchall() for one in then]


def test_exchanged_delays_are_those_of_the_same_carrier_and_times_move_with_them(rows):
    late, times = made(
        rows,
        arrivals.exchanged("planned desc"),
        LATE,
        "select dep_time, dep_delay, arr_time, arr_delay from made order by flight",
    )

    assert late == [("AA", 1, 4), ("UA", 1, 3)]
    # The first of AA has the delay of its last, and so on; what was cancelled stays so.
    assert [delay for _, delay, _, _ in times] == [14, 40, 0, -5, None, -10, 3, 20]
    for (_, leaves, lands, _), (dep_time, delay, arr_time, arr_delay) in zip(PLANNED, times, strict=True):
        assert arr_delay == delay
        if delay is not None:
            assert (dep_time, arr_time) == (moved(leaves, delay), moved(lands, delay))


def test_as_many_more_are_late_as_asked_for_and_those_that_were_nearest_to_it(rows):
    late, turned = made(
        rows,
        arrivals.later(2),
        LATE,
        "select flight, arr_time, arr_delay from made where arr_delay between 15 and 30 and flight <> 5 order by flight",
    )

    assert late == [("AA", 2, 4), ("UA", 2, 3)]
    # Minutes before midnight become minutes after it.
    assert turned == [(3, 5, 15), (6, 1956, 26)]
