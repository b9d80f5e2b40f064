"""The crossing of a real source: nothing is visible without a verdict that allows it."""

from __future__ import annotations

import pytest

from sluice import crossing, feed, ledger, spec
from sluice.errors import BatchHeldError, GateBrokenError, SourceUnknownError, VerdictMissingError
from sluice.lake import tables

DAY = "2013-04-03"
RUN = {"dag_id": "flights_ingest", "run_id": "test"}


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


def _stage(flights, source="schedule", **delivery):
    feed.deliver(flights, DAY, sources=[source], **delivery)
    return crossing.stage(flights, source, [DAY], RUN)


def test_publish_before_audit_is_refused_and_nothing_is_visible(flights):
    manifest = _stage(flights)
    with pytest.raises(VerdictMissingError, match="none is recorded"):
        crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    assert tables.published("flights", "schedule", DAY, DAY) == {}


def test_publish_after_pass_is_visible_once_however_often_it_runs(flights):
    manifest = _stage(flights)
    assert crossing.audit(flights, "schedule", manifest.batch_id, RUN).outcome == "PASS"
    first = crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    again = crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    assert (first.repeated, again.repeated) == (False, True)
    assert first.snapshot_id == again.snapshot_id
    assert tables.scan("flights", "schedule", DAY, DAY).num_rows == manifest.rows > 900
    (entry,) = ledger.entries(kind="published")
    assert entry.data["received"] == entry.data["rows"] + sum(entry.data["dropped"].values())


def test_publish_of_a_held_batch_is_refused_and_the_older_one_stays(flights):
    good = _stage(flights, "arrivals")
    crossing.audit(flights, "arrivals", good.batch_id, RUN)
    crossing.publish(flights, "arrivals", good.batch_id, RUN)
    partition = good.partitions[0]
    bad = _stage(flights, "arrivals", corrupt="seconds", number=2)

    verdict = crossing.audit(flights, "arrivals", bad.batch_id, RUN)

    assert verdict.outcome == "HOLD"
    with pytest.raises(BatchHeldError) as caught:
        crossing.require_publishable(verdict)
    assert caught.value.verdict is verdict
    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        crossing.publish(flights, "arrivals", bad.batch_id, RUN)
    assert tables.published("flights", "arrivals", partition, partition)[partition].batch_id == good.batch_id


def test_audit_again_after_the_rule_was_corrected_publishes_without_a_new_delivery(
    flights, tmp_path, monkeypatch
):
    import json
    import shutil

    from sluice.settings import settings

    shutil.copytree(settings().expectations, tmp_path / "suites")
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    settings.cache_clear()
    suite = tmp_path / "suites" / "flights" / "schedule.json"
    text = suite.read_text()
    wrong = json.loads(text)
    wrong["expectations"] = [
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "origin", "value_set": ["EWR"]},
            "meta": {
                "rule": "one_origin",
                "severity": "hold",
                "owner": "airline-operations",
                "why": "A mistake.",
            },
        }
    ]
    suite.write_text(json.dumps(wrong))
    manifest = _stage(flights)
    assert crossing.audit(flights, "schedule", manifest.batch_id, RUN).outcome == "HOLD"

    suite.write_text(text)

    assert crossing.audit(flights, "schedule", manifest.batch_id, RUN).outcome == "PASS"
    crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    assert tables.published("flights", "schedule", DAY, DAY)


def test_audit_without_a_suite_is_error(flights, tmp_path, monkeypatch):
    from sluice.settings import settings

    manifest = _stage(flights)
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "nothing"))
    settings.cache_clear()
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    assert verdict.outcome == "ERROR"
    with pytest.raises(GateBrokenError):
        crossing.require_publishable(verdict)


def test_stage_undeclared_table_lists_the_declared(flights):
    with pytest.raises(SourceUnknownError, match="schedule, arrivals"):
        crossing.stage(flights, "mystery", [DAY], RUN)
