"""What another dbt project would change of a day that readers see is found before anything that it makes is published."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from sluice import crossing, holds
from sluice.cli import main
from sluice.core.errors import TransformFailedError
from sluice.core.runs import Run
from sluice.gates.code_change import RULE
from sluice.lake import batches, inputs, tables
from sluice.transform import code_change

RUN = Run(run_id="test")
DAY, NEXT = "2013-04-02", "2013-04-03"
WHY = {"by": "you@example.com", "why": "It is meant.", "until": "2013-12-31"}


@pytest.fixture
def published(landed):
    """Features of the first day, as readers see them: their gate is not what is tested here."""
    tables.publish(crossing.stage(landed, "features", [DAY], RUN), verdict_id="unjudged")
    return landed


def judged(flights, run_day=NEXT):
    manifest = crossing.stage(flights, "features", [run_day], RUN)
    return manifest, crossing.audit(flights, "features", manifest.batch_id, RUN)


def result(verdict):
    return next((one for one in verdict.rules if one.rule == RULE), None)


@pytest.mark.slow
def test_change_is_shown_held_and_accepted_once_by_a_release(published, changed):
    assert result(judged(published)[1]) is None, "the same code"
    changed(
        "ftr_flights__departure",
        "departures.distance_miles,",
        "departures.distance_miles * 2 as distance_miles,",
    )

    shown = CliRunner().invoke(main, ["diff", "flights", "features"])
    assert shown.exit_code == 1, shown.output
    (before,) = tables.published("flights", "features", DAY, DAY).values()
    manifest, verdict = judged(published)
    (made,) = inputs.of(manifest, inputs.Code)
    found = result(verdict)
    assert verdict.outcome == "HOLD"
    assert found.holds
    assert made.change.day == DAY
    assert made.change.diff["columns"] == {"distance_miles": before.rows}
    assert (
        f"of {DAY}, made again from the same inputs, {before.rows} changed of {before.rows} rows"
        in found.observed
    )
    assert f"distance_miles in {before.rows} (by " in found.observed
    assert found.observed in shown.output

    # Nothing else would notice where the new models make no rows at all.
    none = batches.stage(
        "flights",
        "features",
        batches.read(manifest, NEXT).slice(0, 0),
        partitions=[NEXT],
        received=0,
        dropped={},
        inputs=manifest.inputs,
        run=RUN,
        sort_by=published.derived["features"].key,
    )
    assert result(crossing.audit(published, "features", none.batch_id, RUN)).holds
    manifest, _ = judged(published)
    holds.release(published, "features", NEXT, **WHY, run=RUN)
    assert tables.published("flights", "features", NEXT, NEXT)
    again, verdict = judged(published)
    assert inputs.of(again, inputs.Code)[0].change is None, "readers see rows of this code"
    assert result(verdict) is None


@pytest.mark.slow
def test_project_whose_unit_tests_fail_builds_nothing(landed, changed):
    changed(
        "int_flights__departures_left_out",
        "where scheduled_departure_at <= as_of_at",
        "where true",
        unit_tests=True,
    )
    wrong = "1 of dbt's unit tests failed. departures_before_the_prediction_are_left_out: actual differs from expected"
    with pytest.raises(TransformFailedError, match=wrong):
        crossing.stage(landed, "features", [DAY], RUN)
    checked = CliRunner().invoke(main, ["check", "flights"])
    assert f"PROBLEM  dbt unit tests of flights: {wrong}" in checked.output


@pytest.mark.slow
def test_day_that_cannot_be_built_again_is_a_warning(published, changed, monkeypatch):
    changed(
        "ftr_flights__departure",
        "departures.distance_miles,",
        "departures.distance_miles + 0 as distance_miles,",
    )
    last = tables.last_publication("flights", "features")
    missing = [
        {**one, "batches": {DAY: "20130101T000000000000-aaaaaa"}} if one["kind"] == "snapshot" else one
        for one in last.inputs
    ]
    monkeypatch.setattr(
        tables, "last_publication", lambda *_: last.model_copy(update={"inputs": tuple(missing)})
    )
    _, verdict = judged(published)
    found = result(verdict)
    assert (found.passed, found.holds) == (False, False)
    assert f"{DAY} cannot be made again with today's code: " in found.observed


@pytest.mark.slow
def test_table_that_only_the_new_models_read_is_read_as_it_is_published(published, monkeypatch):
    last = tables.last_publication("flights", "features")
    fewer = tuple(one for one in last.inputs if (one["kind"], one.get("table")) != ("snapshot", "weather"))
    assert len(fewer) == len(last.inputs) - 1
    monkeypatch.setattr(tables, "last_publication", lambda *_: last.model_copy(update={"inputs": fewer}))
    change = code_change.compare(published, "features")
    assert change.problem == ""
    assert (change.rows, change.diff["changed"]) == (last.rows, 0)
