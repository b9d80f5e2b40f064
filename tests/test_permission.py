"""What allows a publication: verdicts and waivers as the ledger has them, over batches that no gate has to judge."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from sluice import crossing, holds, ledger, waivers
from sluice.core.errors import BatchHeldError, GateBrokenError, ReleaseRefusedError, VerdictMissingError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.gates.verdict import Verdict
from sluice.lake import batches, tables
from sluice.ledger import records
from sluice.ledger.kinds import KINDS

DAY, NEXT, AFTER = "2013-04-02", "2013-04-03", "2013-04-04"
RUN = Run(dag_id="flights_transform", run_id="test")
WORD = {"by": "Ada", "why": "Confirmed.", "until": "2013-04-05"}


@pytest.fixture
def flights(home) -> spec.Pipeline:
    pipeline = spec.load("flights")
    pipeline_clock.advance(pipeline, date.fromisoformat(NEXT))
    return pipeline


def stage(*days: str, rows: int = 1, value: int = 1) -> batches.Manifest:
    """Stage a batch of outcomes."""
    listed = [date.fromisoformat(day) for day in days for _ in range(rows)]
    data = pa.table({"id": pa.array([value] * len(listed), pa.int64()), "ds": pa.array(listed, pa.date32())})
    given = {"received": len(listed), "dropped": {}, "inputs": [], "run": RUN, "sort_by": ["id"]}
    return batches.stage("flights", "outcomes", data, partitions=days, **given)


def say(kind: str, /, partition: str = DAY, **data) -> ledger.Entry:
    return ledger.append(KINDS[kind](**data), pipeline="flights", subject="outcomes", partition=partition)


def judge(batch: batches.Manifest, outcome: str = "PASS", partition: str = DAY, **data) -> ledger.Entry:
    kind = "verdict" if outcome in ("PASS", "WARN") else "held"
    about = {"verdict_id": "v", "outcome": outcome, "reasons": ["A rule failed."], **data}
    return say(kind, partition, batch_id=batch.batch_id, **about)


def publish(flights, batch: batches.Manifest) -> tables.Publication:
    return crossing.publish(flights, "outcomes", batch.batch_id, RUN)


def shown(day: str = DAY) -> str | None:
    found = tables.published("flights", "outcomes", day, day).get(day)
    return found.batch_id if found else None


def published() -> list[ledger.Entry]:
    return ledger.entries(kind="published", subject="outcomes")


@pytest.mark.parametrize("outcome", ["PASS", "WARN"])
def test_batch_that_passed_is_published_and_recorded_once(flights, outcome):
    batch = stage(DAY)
    judge(batch, outcome)
    assert not publish(flights, batch).repeated
    assert publish(flights, batch).repeated
    (entry,) = published()
    assert (entry.data["batch_id"], entry.data["verdict_id"], "waiver" in entry.data) == (
        batch.batch_id,
        "v",
        False,
    )
    assert shown() == batch.batch_id


def test_batch_without_a_verdict_of_its_own_is_refused_and_the_message_says_what_there_is(flights):
    batch, other = stage(DAY), stage(DAY)
    judge(other)
    with pytest.raises(VerdictMissingError, match="none is recorded") as caught:
        publish(flights, batch)
    assert f"outcomes {DAY}" in caught.value.where
    assert "audit_outcomes" in caught.value.todo
    judge(batch, "HOLD")
    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        publish(flights, batch)
    assert (shown(), published()) == (None, [])


def test_newest_verdict_counts_whichever_way_it_went(flights):
    batch = stage(DAY)
    judge(batch, "HOLD")
    judge(batch)
    publish(flights, batch)
    judge(batch, "HOLD", verdict_id="w")
    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        publish(flights, batch)


def test_held_batch_is_published_on_a_valid_waiver_of_its_content(flights):
    batch = stage(DAY)
    judge(batch, "HOLD")
    given = {"batch_id": batch.batch_id, "verdict_id": "v", "rules": []}
    waivers.grant(flights, "outcomes", DAY, content_hash="another", **given, **WORD)
    with pytest.raises(VerdictMissingError, match="the newest is HOLD"):
        publish(flights, batch)
    granted = waivers.grant(flights, "outcomes", DAY, content_hash=batch.content_hash, **given, **WORD)
    publish(flights, batch), publish(flights, batch)
    assert [entry.data["waiver"] for entry in published()] == [granted.seq]
    pipeline_clock.advance(flights, date(2013, 4, 6))
    with pytest.raises(VerdictMissingError):
        publish(flights, batch)


def test_gate_that_broke_after_a_waiver_was_given_publishes_nothing(flights):
    batch = stage(DAY)
    judge(batch, "HOLD")
    given = {"content_hash": batch.content_hash, "batch_id": batch.batch_id, "verdict_id": "v", "rules": []}
    waivers.grant(flights, "outcomes", DAY, **given, **WORD)
    judge(batch, "ERROR", verdict_id="w")
    with pytest.raises(VerdictMissingError, match="the newest is ERROR"):
        publish(flights, batch)
    assert shown() is None


def test_batch_that_was_held_and_released_after_its_publication_is_recorded_anew(flights):
    """The word that readers' data rests on now is in the ledger, although nothing was committed again."""
    batch = stage(DAY)
    judge(batch)
    publish(flights, batch)
    judge(batch, "HOLD", verdict_id="w")
    given = {"content_hash": batch.content_hash, "batch_id": batch.batch_id, "verdict_id": "w", "rules": []}
    granted = waivers.grant(flights, "outcomes", DAY, **given, **WORD)
    assert publish(flights, batch).repeated
    assert [entry.data.get("waiver") for entry in published()] == [granted.seq, None]


def split(full: batches.Manifest, **changes) -> batches.Manifest:
    """Write a split of a full batch with all of its rows, as a gate does that has to set none aside any more."""
    batch_id = batches.new_id("flights", "outcomes", full.batch_id)
    files = {day: batches.file_of("flights", "outcomes", batch_id, day) for day in full.partitions}
    about = {"batch_id": batch_id, "split_of": full.batch_id, "files": files, **changes}
    made = batches.Manifest.model_validate({**full.model_dump(), **about})
    batches.write(made, {day: Path(file).read_bytes() for day, file in full.files.items()})
    return made


def test_of_two_splits_of_the_same_rows_the_one_that_the_newest_verdict_names_is_published(flights):
    full = stage(DAY)
    one, two = split(full), split(full)
    judge(full, publish_batch_id=one.batch_id)
    judge(full, publish_batch_id=two.batch_id, verdict_id="w")
    assert publish(flights, one).batch_id == two.batch_id
    assert [entry.data["verdict_id"] for entry in published()] == ["w"]
    assert publish(flights, two).repeated


@pytest.mark.parametrize("changes", [{"content_hash": "0" * 64}, {"aside_hash": "0" * 64}])
def test_split_of_other_rows_is_not_published_in_the_place_of_the_one_that_was_asked_for(flights, changes):
    full = stage(DAY)
    one, two = split(full), split(full, **changes)
    judge(full, publish_batch_id=two.batch_id)
    with pytest.raises(VerdictMissingError, match=f"about batch {two.batch_id} in its place"):
        publish(flights, one)
    assert shown() is None


def test_full_batch_is_not_published_in_the_place_of_its_split(flights):
    full = stage(DAY)
    one = split(full)
    judge(full, publish_batch_id=one.batch_id)
    with pytest.raises(VerdictMissingError, match="in its place"):
        publish(flights, full)


def test_empty_day_is_published_where_the_newest_verdict_names_it(flights):
    batch = stage(DAY, rows=0)
    judge(batch)
    with pytest.raises(GateBrokenError, match=f"has no rows for {DAY}"):
        publish(flights, batch)
    judge(batch, empty=[DAY])
    publish(flights, batch)
    assert shown() == batch.batch_id


def test_empty_day_of_a_split_is_published_where_the_verdict_of_its_full_batch_names_it(flights):
    full = stage(DAY, rows=0)
    one = split(full)
    judge(full, publish_batch_id=one.batch_id, empty=[DAY])
    publish(flights, one)
    assert shown() == one.batch_id


@pytest.mark.parametrize(
    ("between", "count"), [("held", 2), ("refused", 2), ("staged", 1)], ids=["held", "refused", "staged"]
)
def test_publication_is_recorded_again_where_it_was_held_or_refused_between(flights, between, count):
    batch = stage(DAY)
    judge(batch)
    publish(flights, batch)
    said = {"held": {"outcome": "HOLD", "verdict_id": "w"}, "refused": {"what": ""}}.get(between, {})
    say(between, batch_id=batch.batch_id, **said)
    judge(batch, verdict_id="x")
    publish(flights, batch)
    assert len(published()) == count


def test_publication_is_not_recorded_again_because_something_else_was_held(flights):
    batch = stage(DAY)
    judge(batch)
    publish(flights, batch)
    for pipeline, table, day in (
        ("trains", "outcomes", DAY),
        ("flights", "arrivals", DAY),
        ("flights", "outcomes", NEXT),
    ):
        data = {"batch_id": batch.batch_id, "outcome": "HOLD"}
        ledger.append(records.Held(**data), pipeline=pipeline, subject=table, partition=day)
    judge(batch, verdict_id="w")
    publish(flights, batch)
    assert len(published()) == 1


def verdict(outcome: str, waiver: int | None = None) -> Verdict:
    return Verdict(
        verdict_id="v",
        outcome=outcome,
        pipeline="flights",
        table="outcomes",
        partitions=(DAY,),
        batch_id="b",
        rows=1,
        rules=(),
        sample=(),
        reasons=("A rule failed.",),
        report="gates/page.html",
        evaluated_at=datetime(2013, 4, 3, tzinfo=UTC),
        seconds=1.0,
        waiver=waiver,
    )


@pytest.mark.parametrize(("outcome", "waiver"), [("PASS", None), ("WARN", None), ("HOLD", 7)])
def test_task_of_an_audit_goes_on(outcome, waiver):
    crossing.require_publishable(verdict(outcome, waiver))


@pytest.mark.parametrize(
    ("outcome", "waiver", "error"),
    [("HOLD", None, BatchHeldError), ("ERROR", None, GateBrokenError), ("ERROR", 7, GateBrokenError)],
)
def test_task_of_an_audit_that_does_not_publish_fails_with_its_evidence(outcome, waiver, error):
    said = verdict(outcome, waiver)
    with pytest.raises(error, match=f"{outcome}: A rule failed.") as caught:
        crossing.require_publishable(said)
    assert type(caught.value) is error
    assert (caught.value.verdict, caught.value.report) == (said, said.report)
    assert caught.value.where == f"flights.outcomes {DAY}, batch b"
    assert said.report in caught.value.todo


# Releases.


def request(flights, day: str = DAY, **word):
    return holds.request(flights, "outcomes", day, **{"why": WORD["why"], "until": WORD["until"], **word})


def test_release_is_requested_for_a_held_batch_by_each_of_its_days(flights):
    batch = stage(DAY, NEXT)
    judge(batch, "HOLD", f"{DAY}..{NEXT}")
    assert request(flights, DAY) == request(flights, NEXT)
    with pytest.raises(ReleaseRefusedError, match=f"Nothing of flights.outcomes {AFTER} is held") as caught:
        request(flights, AFTER)
    assert f"held now: {DAY}..{NEXT}" in caught.value.allowed
    assert (caught.value.where, "sluice held flights" in caught.value.todo) == (
        f"flights.outcomes {AFTER}",
        True,
    )


def test_release_where_nothing_is_held_says_so(flights):
    with pytest.raises(ReleaseRefusedError) as caught:
        request(flights)
    assert caught.value.allowed.endswith("held now: nothing")


@pytest.mark.parametrize("word", [{"why": " "}, {"until": "2013-04-02"}])
def test_release_without_a_reason_or_an_end_to_come_is_refused_before_anybody_approves_it(flights, word):
    judge(stage(DAY), "HOLD")
    with pytest.raises(ReleaseRefusedError):
        request(flights, **word)


@pytest.mark.parametrize("kind", ["ERROR", "refused"])
def test_what_no_gate_has_judged_cannot_be_released(flights, kind):
    if kind == "refused":
        say("refused", what="A column is missing.")
    else:
        judge(stage(DAY), "ERROR")
    with pytest.raises(ReleaseRefusedError, match=f"outcomes {DAY} cannot be released") as caught:
        request(flights)
    because = "A column is missing." if kind == "refused" else "its verdict is ERROR: the gate broke"
    assert because in caught.value.what
    assert caught.value.where == f"flights.outcomes {DAY}"
    assert f"sluice replay flights outcomes {DAY}" in caught.value.todo


def test_grant_records_the_word_for_exactly_what_was_judged(flights):
    batch = stage(DAY)
    rule = {"rule": "known", "passed": False, "severity": "hold"}
    judge(batch, "HOLD", rules=[rule, {**rule, "rule": "told", "severity": "warn"}])
    given = {**WORD, "requested_by": "Bob", "account": "ada"}
    entry = holds.grant(flights, request(flights), **given)
    expected = {
        "batch_id": batch.batch_id,
        "content_hash": batch.content_hash,
        "verdict_id": "v",
        "rules": ["known"],
    }
    assert {name: entry.data[name] for name in (*expected, *given)} == {**expected, **given}
    assert publish(flights, batch).batch_id == batch.batch_id


def test_waiver_that_is_over_may_be_given_again(flights):
    batch = stage(DAY)
    judge(batch, "HOLD")
    holds.release(flights, "outcomes", DAY, **WORD, run=RUN)
    assert shown() == batch.batch_id
    (granted,) = ledger.entries(kind="waiver")
    assert granted.data["account"] == waivers.account()
    pipeline_clock.advance(flights, date(2013, 4, 8))
    assert request(flights, until="2013-04-09").kind == "waiver_expired"
