"""Which days are due by declaration: nothing before the beginning, an empty day is there, a weekly source has its week."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice.schedule import expected


@pytest.fixture
def flights(home) -> spec.Pipeline:
    home.mkdir()
    return spec.load("flights")


def _show(table: str, *days: str, empty: tuple[str, ...] = ()) -> None:
    rows = pa.table(
        {"id": range(len(days)), "ds": pa.array([date.fromisoformat(day) for day in days], pa.date32())}
    )
    manifest = batches.stage(
        "flights", table, rows, partitions=[*days, *empty], received=rows.num_rows, dropped={}, inputs=[],
        run=Run(run_id="test"), sort_by=["id"],
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v", empty=empty)


def test_days_before_the_first_that_was_published_are_not_due(flights):
    assert expected.missing(flights, "arrivals", "2013-03-01", "2013-04-05") == []
    _show("arrivals", "2013-04-02", "2013-04-04")
    assert expected.missing(flights, "arrivals", "2013-03-01", "2013-04-05") == ["2013-04-03", "2013-04-05"]
    assert expected.missing(flights, "arrivals", "2013-04-04", "2013-04-04") == []
    _show("features", "2013-04-02", "2013-04-04")
    assert expected.missing(flights, "features", "2013-03-01", "2013-04-04") == ["2013-04-03"]


def test_live_pipeline_begins_with_the_data_of_its_first_run_whatever_was_loaded_before(flights):
    live = flights.model_copy(update={"clock": "wall", "starts": date(2013, 4, 3)})
    assert expected.missing(live, "arrivals", "2013-03-01", "2013-04-03") == ["2013-04-02", "2013-04-03"]
    _show("arrivals", "2013-03-01", "2013-04-03")
    assert expected.missing(live, "arrivals", "2013-03-01", "2013-04-03") == ["2013-04-02"]
    assert expected.missing(live, "schedule", "2013-03-01", "2013-04-03") == ["2013-04-03"]


def test_day_that_was_published_without_rows_is_there(flights):
    _show("arrivals", "2013-04-02", "2013-04-04", empty=("2013-04-03",))
    assert expected.missing(flights, "arrivals", "2013-04-02", "2013-04-04") == []


@pytest.mark.parametrize(
    ("published", "last", "gaps"),
    [
        (["2013-04-01", "2013-04-08"], "2013-04-14", []),
        (["2013-04-01", "2013-04-08"], "2013-04-15", ["2013-04-15"]),
        (["2013-04-01", "2013-04-08"], "2013-04-08", []),
        (["2013-04-01", "2013-04-15"], "2013-04-15", ["2013-04-08"]),
        (["2013-04-01", "2013-04-12"], "2013-04-14", []),
        (["2013-04-01", "2013-04-12"], "2013-04-08", ["2013-04-08"]),
        (["2013-04-01", "2013-04-17"], "2013-04-18", ["2013-04-08"]),
        (["2013-04-01", "2013-04-03"], "2013-04-09", []),
        ([], "2013-04-09", []),
    ],
)
def test_weekly_source_lacks_a_day_where_a_whole_week_has_none(flights, published, last, gaps):
    if published:
        _show("planes", *published)
    assert expected.missing(flights, "planes", "2013-03-25", last) == gaps


def test_weekly_source_lacks_the_days_that_are_asked_for_and_no_others(flights):
    _show("planes", "2013-04-01")
    assert expected.missing(flights, "planes", "2013-04-09", "2013-04-22") == ["2013-04-15", "2013-04-22"]
    assert expected.missing(flights, "planes", "2013-04-15", "2013-04-15") == ["2013-04-15"]
    assert expected.missing(flights, "planes", "2013-04-16", "2013-04-21") == []


def test_weekly_source_of_a_live_pipeline_lacks_nothing_before_its_first_run(live_flights, at):
    at("2013-04-20 07:00")
    _show("planes", "2013-03-01")
    assert expected.missing(live_flights, "planes", "2013-03-01", "2013-04-12") == [
        "2013-04-05",
        "2013-04-12",
    ]


def test_older_snapshot_lacks_what_came_later(flights):
    _show("arrivals", "2013-04-02", "2013-04-04")
    before = tables.snapshot_id("flights", "arrivals")
    _show("arrivals", "2013-04-03")
    span = ("2013-04-02", "2013-04-04")
    assert expected.missing(flights, "arrivals", *span, snapshot_id=before) == ["2013-04-03"]
    assert expected.missing(flights, "arrivals", *span) == []
    read_before = tables.published("flights", "arrivals", snapshot_id=before)
    assert expected.missing(flights, "arrivals", *span, shown=read_before) == ["2013-04-03"]


def test_a_register_is_not_missing_before_its_deadline(live_flights, at):
    at("2013-04-01 07:00")
    _show("airlines", "2013-04-01")
    at("2013-04-08 05:59")
    assert expected.missing(live_flights, "airlines", "2013-03-11", "2013-04-08") == []
    at("2013-04-15 05:59")
    assert expected.missing(live_flights, "airlines", "2013-03-11", "2013-04-15") == ["2013-04-08"]
    at("2013-04-15 06:00")
    assert expected.missing(live_flights, "airlines", "2013-03-11", "2013-04-15") == [
        "2013-04-08",
        "2013-04-15",
    ]
