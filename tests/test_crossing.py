"""The crossing of a real source: nothing is visible without a verdict that allows it."""

from __future__ import annotations

import pytest

from sluice import crossing, ledger, waivers
from sluice.core.errors import (
    BatchHeldError,
    BatchSupersededError,
    GateBrokenError,
    RowsLostError,
    SourceUnknownError,
    VerdictMissingError,
)
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import quarantine, tables
from sluice_lab import feed

DAY = "2013-04-03"
RUN = Run(dag_id="flights_ingest", run_id="test")


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

    from sluice.core.settings import settings

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
    from sluice.core.settings import settings

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


# Rows that are set aside.


@pytest.fixture
def deliver(flights):
    """Function: stage the schedule of the day with `changes` made to some of its rows, as one delivery after another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sluice.lake import batches

    feed.deliver(flights, DAY, sources=["schedule"])
    whole = crossing.stage(flights, "schedule", [DAY], RUN)
    clean = pq.read_table(whole.files[DAY])

    def stage(*changes: dict) -> batches.Manifest:
        rows = clean.to_pylist()
        for index, change in enumerate(changes):
            rows[index] |= change
        return batches.stage(
            "flights",
            "schedule",
            pa.Table.from_pylist(rows, schema=clean.schema),
            partitions=[DAY],
            received=len(rows) + 2,
            dropped={"exact_duplicate": 2},
            inputs=[],
            run=RUN,
            sort_by=flights.sources["schedule"].key,
        )

    return stage


def _cross(flights, manifest):
    """Audit and publish, as the tasks do."""
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    crossing.require_publishable(verdict)
    return verdict, crossing.publish(flights, "schedule", verdict.publish_batch_id, RUN)


def _statuses() -> list[tuple[str, str]]:
    kept = quarantine.rows("flights", "schedule", DAY, DAY).to_pylist()
    return sorted((row["rule"], row["status"]) for row in kept)


UNKNOWN, OFF_THE_CLOCK = {"carrier": "ZZ"}, {"sched_dep_time": 1275}


def test_bad_rows_are_set_aside_and_the_good_ones_publish(flights, deliver):
    manifest = deliver(UNKNOWN, OFF_THE_CLOCK, UNKNOWN | OFF_THE_CLOCK)

    verdict, publication = _cross(flights, manifest)

    assert (verdict.outcome, verdict.batch_id) == ("WARN", manifest.batch_id)
    assert verdict.quarantined == {"known_carrier": 2, "clock_is_hhmm": 1}, "each row once, by its first rule"
    shown = tables.scan("flights", "schedule", DAY, DAY)
    assert shown.num_rows == manifest.rows - 3
    assert "ZZ" not in shown["carrier"].to_pylist()
    assert _statuses() == [("clock_is_hhmm", "open"), ("known_carrier", "open"), ("known_carrier", "open")]
    (entry,) = ledger.entries(kind="published")
    assert entry.data["split_of"] == manifest.batch_id
    assert entry.data["received"] == shown.num_rows + 3 + 2
    newest = tables.history("flights", "schedule")[0]
    assert newest["snapshot_id"] == publication.snapshot_id
    assert newest["sluice.quarantined"] == '{"clock_is_hhmm": 1, "known_carrier": 2}'


def test_full_batch_cannot_be_published_in_place_of_its_good_rows(flights, deliver):
    manifest = deliver(UNKNOWN)
    crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    with pytest.raises(VerdictMissingError, match="in its place"):
        crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    assert tables.published("flights", "schedule", DAY, DAY) == {}


def test_more_bad_rows_than_the_limit_hold_the_batch(flights, deliver):
    manifest = deliver(*[UNKNOWN] * 20)
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    assert verdict.outcome == "HOLD"
    assert (
        "Rule known_carrier failed for too many rows to set them aside: 20 of 992 rows fail"
        in verdict.reasons[0]
    )
    assert (verdict.quarantined, verdict.publish_batch_id) == ({}, manifest.batch_id)
    with pytest.raises(BatchHeldError):
        crossing.require_publishable(verdict)


def test_audit_and_publish_again_change_nothing(flights, deliver):
    manifest = deliver(UNKNOWN)
    first, _ = _cross(flights, manifest)
    snapshots = [tables.snapshot_id("flights", name) for name in ("schedule", "schedule__quarantine")]

    again, publication = _cross(flights, manifest)
    # Also where the split is what is named: it is the full batch that is judged.
    crossing.audit(flights, "schedule", first.publish_batch_id, RUN)
    crossing.publish(flights, "schedule", first.publish_batch_id, RUN)

    assert publication.repeated
    assert again.publish_batch_id == first.publish_batch_id
    assert [tables.snapshot_id("flights", name) for name in ("schedule", "schedule__quarantine")] == snapshots
    assert len(ledger.entries(kind="published")) == 1


def test_corrected_delivery_repairs_its_rows(flights, deliver):
    _cross(flights, deliver(UNKNOWN, OFF_THE_CLOCK))
    corrected = deliver()
    verdict, _ = _cross(flights, corrected)
    assert (verdict.outcome, verdict.publish_batch_id) == ("PASS", corrected.batch_id)
    assert _statuses() == [("clock_is_hhmm", "repaired"), ("known_carrier", "repaired")]
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == corrected.rows
    assert tables.history("flights", "schedule")[0]["sluice.quarantined"] == "{}"


@pytest.fixture
def rule(tmp_path, monkeypatch):
    """Function: change the condition of a rule of the schedule, in a copy that is read from now on."""
    import json
    import shutil

    from sluice.core.settings import settings

    shutil.copytree(settings().expectations, tmp_path / "suites")
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    settings.cache_clear()
    path = tmp_path / "suites" / "flights" / "schedule.json"

    def change(name: str, condition: str) -> None:
        suite = json.loads(path.read_text())
        (one,) = [one for one in suite["expectations"] if one["meta"]["rule"] == name]
        one |= {"type": "expect_rows_to_satisfy_condition", "kwargs": {"condition": condition}}
        path.write_text(json.dumps(suite))

    return change


def test_rule_that_was_corrected_gives_the_rows_back_and_takes_them_again(flights, deliver, rule):
    manifest = deliver(UNKNOWN, OFF_THE_CLOCK)
    _cross(flights, manifest)

    rule("known_carrier", "carrier <> 'YY'")
    verdict, publication = _cross(flights, manifest)

    assert verdict.quarantined == {"clock_is_hhmm": 1}
    assert not publication.repeated
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == manifest.rows - 1
    assert _statuses() == [("clock_is_hhmm", "open"), ("known_carrier", "repaired")]

    rule("clock_is_hhmm", "sched_dep_time <= 2400")
    verdict, _ = _cross(flights, manifest)

    assert (verdict.outcome, verdict.quarantined) == ("PASS", {})
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == manifest.rows
    assert {status for _, status in _statuses()} == {"repaired"}

    rule("known_carrier", "carrier <> 'ZZ'")
    _cross(flights, manifest)

    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == manifest.rows - 1
    assert sorted(status for _, status in _statuses()) == ["open", "repaired", "repaired"]


def test_good_rows_of_an_older_delivery_do_not_replace_a_newer_one(flights, deliver):
    old, new = deliver(UNKNOWN), deliver()
    _cross(flights, new)
    with pytest.raises(BatchSupersededError):
        _cross(flights, old)
    assert _statuses() == []
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].batch_id == new.batch_id


def test_publish_of_a_batch_that_lost_a_row_names_the_numbers(flights, deliver):
    """The split's own files and manifest agree, and yet a row is missing: only the full batch knows."""
    import pyarrow.parquet as pq

    from sluice.lake import batches

    manifest = deliver(UNKNOWN)
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    made = batches.load("flights", "schedule", verdict.publish_batch_id)
    short = batches.parquet(pq.read_table(made.files[DAY]).slice(1))
    forged = made.model_copy(
        update={
            "received": made.received - 1,
            "rows": made.rows - 1,
            "rows_by_partition": {DAY: made.rows - 1},
            "content_hash": batches.content_hash({DAY: short}),
        }
    )
    batches.write(forged, {DAY: short})
    with pytest.raises(RowsLostError, match=f"{made.received} received, but {made.received - 1} found"):
        crossing.publish(flights, "schedule", made.batch_id, RUN)
    assert tables.published("flights", "schedule", DAY, DAY) == {}
    assert _statuses() == []


def _release(flights, manifest, verdict, until="2099-12-31"):
    return waivers.grant(
        flights,
        "schedule",
        DAY,
        content_hash=manifest.content_hash,
        batch_id=manifest.batch_id,
        verdict_id=verdict.verdict_id,
        rules=[rule.rule for rule in verdict.failed],
        by="ada",
        why="a new carrier",
        until=until,
    )


def test_held_batch_publishes_on_a_persons_word_without_its_bad_rows(flights, deliver):
    manifest = deliver(*[UNKNOWN] * 20, OFF_THE_CLOCK)
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        crossing.publish(flights, "schedule", verdict.publish_batch_id, RUN)
    waiver = _release(flights, manifest, verdict)

    verdict, _ = _cross(flights, manifest)

    assert (verdict.outcome, verdict.waiver) == ("HOLD", waiver.seq)
    assert verdict.quarantined == {"clock_is_hhmm": 1}, (
        "the word is about the rule that holds, not about the others"
    )
    assert tables.published("flights", "schedule", DAY, DAY)[DAY].rows == manifest.rows - 1
    (entry,) = ledger.entries(kind="published")
    assert entry.data["waiver"] == waiver.seq
    assert tables.history("flights", "schedule")[0]["sluice.waiver"] == str(waiver.seq)
    # Judged again, it is held again; published again, it is not.
    _cross(flights, manifest)
    assert [one.kind for one in ledger.entries(subject="schedule", limit=2)] == ["published", "held"]


def test_waiver_that_ended_publishes_nothing(flights, deliver):
    from datetime import date

    from sluice.declare import pipeline_clock

    manifest = deliver(*[UNKNOWN] * 20)
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    _release(flights, manifest, verdict, until=DAY)
    released = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    pipeline_clock.advance(flights, date(2013, 4, 4))

    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        crossing.publish(flights, "schedule", released.publish_batch_id, RUN)
    with pytest.raises(BatchHeldError):
        crossing.require_publishable(crossing.audit(flights, "schedule", manifest.batch_id, RUN))
    assert tables.published("flights", "schedule", DAY, DAY) == {}


def test_gate_that_broke_is_not_published_on_anybodys_word(flights, deliver, tmp_path, monkeypatch):
    from sluice.core.settings import settings

    manifest = deliver(*[UNKNOWN] * 20)
    _release(flights, manifest, crossing.audit(flights, "schedule", manifest.batch_id, RUN))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "nothing"))
    settings.cache_clear()
    verdict = crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    with pytest.raises(GateBrokenError):
        crossing.require_publishable(verdict)
    with pytest.raises(VerdictMissingError, match="the newest is ERROR"):
        crossing.publish(flights, "schedule", manifest.batch_id, RUN)
