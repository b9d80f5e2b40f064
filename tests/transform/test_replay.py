"""A window that looks at the day itself is found by building the day again without what came later."""

from __future__ import annotations

import shutil

import pyarrow.compute as pc
import pytest

from sluice import crossing
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.lake import batches, tables
from sluice.transform import project, replay

BEFORE, DAY, RUN_DAY = "2013-02-07", "2013-02-08", "2013-02-09"
RUN = Run(dag_id="test", run_id="test")
# The days before a flight, and the day itself.
RIGHT, WRONG = "arrivals.ds < days.ds", "arrivals.ds <= days.ds"


@pytest.fixture
def published(flights, warm, raw):
    """Function: publish all sources, or one with other rows."""

    def publish(only: dict | None = None) -> None:
        for name, rows in (only or raw).items():
            days = sorted({day.isoformat() for day in rows["ds"].to_pylist()})
            manifest = batches.stage(
                "flights",
                name,
                rows,
                partitions=days,
                received=rows.num_rows,
                dropped={},
                inputs=[],
                run=RUN,
                sort_by=flights.sources[name].key,
            )
            tables.publish(manifest, verdict_id="unjudged")

    publish()
    return publish


def build(flights) -> None:
    """Publish the features of both days in one go, as a backfill does: all that came later is there."""
    tables.publish(crossing.stage(flights, "features", [BEFORE, DAY], RUN), verdict_id="unjudged")


def test_features_that_look_back_only_pass(flights, published):
    build(flights)
    found = replay.check(flights, RUN_DAY)
    assert found.state == "PASS", found.sentence
    assert list(found.numbers["days"]) == [DAY]


def test_window_that_has_the_day_itself_is_found_and_its_columns_are_named(
    flights, published, tmp_path, monkeypatch
):
    copy = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, copy, ignore=shutil.ignore_patterns("target", "logs"))
    (macro,) = (copy / "macros").rglob("late_history.sql")
    text = macro.read_text()
    assert text.count(RIGHT) == 1
    macro.write_text(text.replace(RIGHT, WRONG))
    monkeypatch.setenv("SLUICE_DBT_PROJECT", str(copy))
    settings.cache_clear()
    # A model of a user's own, for which nobody wrote a unit test.
    monkeypatch.setattr(project, "require_unit_tests", lambda _: None)
    build(flights)

    found = replay.check(flights, RUN_DAY)

    assert found.state == "FAIL", found.sentence
    leaking = set(found.numbers["days"][DAY]["by_later"])
    assert {"carrier_late_rate_28d", "route_late_rate_28d", "origin_late_rate_1d"} <= leaking
    assert not leaking & {"carrier", "distance_miles", "wind_speed_mph"}
    assert "carrier_late_rate_28d" in found.sentence


def test_correction_since_is_no_leak_and_is_said(flights, published, raw):
    build(flights)
    late = pc.if_else(pc.equal(raw["arrivals"]["carrier"], "B6"), 600, raw["arrivals"]["arr_delay"])
    arrivals = raw["arrivals"]
    published({"arrivals": arrivals.set_column(arrivals.column_names.index("arr_delay"), "arr_delay", late)})
    found = replay.check(flights, RUN_DAY)
    assert found.state == "PASS", found.sentence
    assert "As published they are otherwise" in found.sentence


def test_nothing_to_replay_is_an_error_and_not_a_pass(flights, warm):
    found = replay.check(flights, RUN_DAY)
    assert (found.state, "shows nothing" in found.sentence) == ("ERROR", True)
