"""The way back: what is held is listed, replayed, released, given up and traced, through the real crossing."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import crossing, holds, ledger, waivers
from sluice.cli import main
from sluice.core.errors import (
    ContractBrokenError,
    ReleaseRefusedError,
    ReplayRefusedError,
    SourceUnknownError,
)
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.holds import show
from sluice.lake import batches, inputs, tables
from sluice.ledger import records
from sluice_lab import feed

RUN_DAY, DAY = "2013-04-03", "2013-04-02"
RUN = Run(dag_id="flights_ingest", run_id="held run")
WORD = {"by": "operator", "why": "The airport confirmed the delays.", "until": "2013-04-05"}


@pytest.fixture
def flights(home, make_home, tmp_path, monkeypatch):
    """The default pipeline, with suites of its own to break and correct."""
    make_home(home)
    shutil.copytree(settings().expectations, tmp_path / "suites")
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    settings.cache_clear()
    return spec.load("flights")


class Suite:
    """The suite of arrivals, as somebody edits it: one rule, which the real rows break or keep."""

    def __init__(self, table: str = "arrivals") -> None:
        self.path = settings().expectations / "flights" / f"{table}.json"
        self.suite = json.loads(self.path.read_text())

    def says(self, origins: list[str], **meta) -> None:
        known = ", ".join(f"'{name}'" for name in origins)
        rule = {
            "type": "unexpected_rows_expectation",
            "kwargs": {"unexpected_rows_query": f"select * from {{batch}} where origin not in ({known})"},
            "meta": {"rule": "known_origin", "severity": "hold", "owner": "airport", "why": "A test."} | meta,
        }
        self.path.write_text(json.dumps({**self.suite, "expectations": [rule]}))

    def is_mistaken(self, **meta) -> None:
        self.says(["EWR", "JFK"], **meta)

    def is_corrected(self, **meta) -> None:
        self.says(["EWR", "JFK", "LGA"], **meta)


def cross(flights, table="arrivals", run_day=RUN_DAY):
    """As the three tasks of a run do; returns the verdict."""
    manifest = crossing.stage(flights, table, [run_day], RUN)
    verdict = crossing.audit(flights, table, manifest.batch_id, RUN)
    if verdict.publishes:
        crossing.publish(flights, table, verdict.publish_batch_id, RUN)
    return verdict


@pytest.fixture
def held(flights):
    """Arrivals that are right, held by a rule that is wrong."""
    suite = Suite()
    suite.is_mistaken()
    feed.deliver(flights, RUN_DAY, sources=["arrivals"])
    assert cross(flights).outcome == "HOLD"
    return suite


def shown(table="arrivals", day=DAY):
    return tables.published("flights", table, day, day)


def test_open_holds_says_what_is_held_by_whom_and_which_run_found_it(flights, held):
    (hold,) = holds.open_holds(flights)
    assert (hold.table, hold.partition, hold.run_day) == ("arrivals", DAY, RUN_DAY)
    assert (hold.kind, hold.outcome, hold.rules) == ("held", "HOLD", ("known_origin",))
    assert (hold.rows, hold.owner) == (983, "airport-operations")
    assert (hold.dag_id, hold.run_id) == (RUN.dag_id, RUN.run_id)
    listed = CliRunner().invoke(main, ["held", "flights"]).output
    for said in ("983 rows", "rules: known_origin", "owner airport-operations"):
        assert said in listed
    assert f"The predictions of {RUN_DAY} are not made; " in listed
    assert f"sluice release flights arrivals {DAY} --by NAME --why REASON --until DAY: publish it" in listed


def test_replay_after_the_rule_was_corrected_publishes_the_held_batch_itself(flights, held):
    (hold,) = holds.open_holds(flights)
    unchanged = holds.replay(flights, "arrivals", DAY, RUN)
    assert (unchanged.repaired, unchanged.still_held) == (0, 983)
    assert "known_origin" in unchanged.reason
    assert shown() == {}

    held.is_corrected()
    repaired = holds.replay(flights, "arrivals", DAY, RUN)

    assert str(repaired) == "repaired 983, still held 0, expired 0"
    assert batches.staged("flights", "arrivals") == [hold.batch_id], "nothing was delivered or staged again"
    assert shown()[DAY].batch_id == hold.batch_id
    assert holds.open_holds(flights) == []
    told = list(show.traced(holds.trace(flights, "arrivals", DAY)))
    assert "    verdict     PASS" in told, "no colon without a reason"
    assert [line for line in told if line.endswith("verdict    PASS")]


def test_what_made_predictions_is_told_in_sentences():
    until = datetime(2013, 4, 6, 23, 59, tzinfo=timezone(timedelta(hours=-4)))
    clock = inputs.Clock(today="2013-04-06", day="2013-04-06", deadline=until, made_late=False)
    late = clock.model_copy(update={"today": "2013-04-07", "made_late": True})
    scored = inputs.Model(name="late", version=1, promoted=29, scored_as="previous").record()
    told = [
        show.input_line(one)
        for one in (
            clock.record(),
            late.record(),
            {**scored, "stands_in_for": 2, "unsupported_rows": 1, "unseen_rows": 2},
            inputs.Code(fingerprint="554ce33495e8a46e").record(),
        )
    ]
    assert told == [
        "made on 2013-04-06 by the pipeline's clock, in time (until 2013-04-06 23:59 -04:00)",
        "made on 2013-04-07 by the pipeline's clock, after its time, which ended 2013-04-06 23:59 -04:00",
        "scored by version 1, of late, in place of version 2; entry 29 of the ledger decided who is champion; 1 row of segments that training "
        "had seen too few of; 2 rows with values that training had never seen",
        "made by the code of fingerprint 554ce33495e8a46e",
    ]


def test_replay_of_what_was_replayed_is_refused_before_anything_is_touched(flights, held):
    held.is_corrected()
    holds.replay(flights, "arrivals", DAY, RUN)
    before = ledger.entries()
    with pytest.raises(ReplayRefusedError, match="It was replayed already") as caught:
        holds.replay(flights, "arrivals", DAY, RUN)
    assert "held now: nothing" in caught.value.allowed
    assert f"trigger flights_ingest with partition key {RUN_DAY}" in caught.value.todo, "for a correction"
    with pytest.raises(
        ReplayRefusedError, match=r"Nothing of flights\.arrivals 2013-01-01 is held"
    ) as caught:
        holds.replay(flights, "arrivals", "2013-01-01", RUN)
    assert "already" not in str(caught.value)
    with pytest.raises(SourceUnknownError, match="departures"):
        holds.replay(flights, "departures", DAY, RUN)
    assert ledger.entries() == before


def test_refused_delivery_is_listed_until_a_corrected_one_is_replayed(flights):
    feed.deliver(flights, RUN_DAY, sources=["arrivals"], corrupt="missing_column")
    with pytest.raises(ContractBrokenError):
        crossing.stage(flights, "arrivals", [RUN_DAY], RUN)
    (hold,) = holds.open_holds(flights)
    assert (hold.kind, hold.batch_id, hold.rows) == ("refused", None, None)
    assert "air_time" in hold.reason
    still = holds.replay(flights, "arrivals", DAY, RUN)
    assert "still held the delivery" in str(still)
    with pytest.raises(ReleaseRefusedError, match="could not be read"):
        holds.release(flights, "arrivals", DAY, **WORD, run=RUN)

    feed.deliver(flights, RUN_DAY, sources=["arrivals"], number=2)

    assert holds.replay(flights, "arrivals", DAY, RUN).repaired == 983
    assert holds.open_holds(flights) == []


def test_refused_correction_is_over_when_the_original_file_comes_again(flights):
    feed.deliver(flights, RUN_DAY, sources=["arrivals"])
    first = cross(flights)
    feed.deliver(flights, RUN_DAY, sources=["arrivals"], number=2, corrupt="missing_column")
    with pytest.raises(ContractBrokenError):
        crossing.stage(flights, "arrivals", [RUN_DAY], RUN)
    assert [hold.kind for hold in holds.open_holds(flights)] == ["refused"]

    feed.deliver(flights, RUN_DAY, sources=["arrivals"], number=3)

    assert cross(flights).batch_id == first.batch_id
    assert holds.open_holds(flights) == []
    assert shown()[DAY].batch_id == first.publish_batch_id


def test_release_publishes_on_a_word_that_is_shown_and_ends(flights, held):
    publication = holds.release(flights, "arrivals", DAY, **WORD, run=RUN)

    assert shown()[DAY].batch_id == publication.batch_id
    (waiver,) = ledger.entries(kind="waiver")
    assert (waiver.data["by"], waiver.data["rules"]) == ("operator", ["known_origin"])
    assert tables.history("flights", "arrivals")[0]["sluice.waiver"] == str(waiver.seq)
    assert holds.open_holds(flights) == []
    assert holds.active_waivers(flights) == {("arrivals", DAY): waiver}

    cross(flights)  # the run of the day, once more: held by its rule, and seen on the word still
    assert holds.open_holds(flights) == []

    pipeline_clock.advance(flights, date(2013, 4, 6))
    (hold,) = holds.open_holds(flights)
    assert (hold.kind, hold.rows) == ("waiver_expired", 983)
    assert "operator released it until 2013-04-05" in hold.reason
    assert shown(), "it is not taken away from readers"

    held.is_corrected()
    assert holds.replay(flights, "arrivals", DAY, RUN).repaired == 983
    assert holds.open_holds(flights) == []
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}


def test_release_that_is_over_may_be_given_again(flights, held):
    holds.release(flights, "arrivals", DAY, **WORD, run=RUN)
    pipeline_clock.advance(flights, date(2013, 4, 6))
    (hold,) = holds.open_holds(flights)
    assert hold.kind == "waiver_expired"

    holds.release(flights, "arrivals", DAY, **{**WORD, "until": "2013-04-10"}, run=RUN)

    waiver = ledger.entries(kind="waiver")[0]
    assert ledger.entries(kind="published", subject="arrivals")[0].data["waiver"] == waiver.seq
    assert holds.active_waivers(flights) == {("arrivals", DAY): waiver}
    assert holds.open_holds(flights) == []


@pytest.mark.parametrize(
    ("word", "said"),
    [({"by": ""}, "nobody"), ({"why": " "}, "without a reason"), ({"until": "2013-04-01"}, "is over")],
)
def test_release_without_a_person_a_reason_or_an_end_is_refused(flights, held, word, said):
    before = ledger.entries()
    with pytest.raises(ReleaseRefusedError, match=said):
        holds.release(flights, "arrivals", DAY, **(WORD | word), run=RUN)
    assert ledger.entries() == before
    assert shown() == {}


def test_release_of_a_broken_gate_or_of_nothing_is_refused(flights, held):
    with pytest.raises(ReleaseRefusedError, match=r"held now: 2013-04-02"):
        holds.release(flights, "arrivals", "2013-04-01", **WORD, run=RUN)
    held.path.write_text("{}")
    assert cross(flights).outcome == "ERROR"
    with pytest.raises(ReleaseRefusedError, match="the gate broke and has not judged"):
        holds.release(flights, "arrivals", DAY, **WORD, run=RUN)
    assert shown() == {}


def test_replay_of_what_is_too_old_gives_it_up(flights, held):
    pipeline_clock.advance(flights, date(2013, 5, 4))
    held.is_corrected()
    outcome = holds.replay(flights, "arrivals", DAY, RUN)
    assert str(outcome) == "repaired 0, still held 0, expired 983"
    assert shown() == {}
    assert holds.open_holds(flights) == []
    assert cross(flights).outcome == "PASS", "its run, or a new delivery, is judged as ever"
    assert shown()


def test_expire_gives_up_what_is_older_than_the_pipeline_allows(flights, held):
    assert holds.expire(flights, RUN) == []
    pipeline_clock.advance(flights, date(2013, 5, 4))
    (given_up,) = holds.expire(flights, RUN)
    assert given_up.partition == DAY
    assert holds.open_holds(flights) == []


def test_stage_of_a_released_derived_batch_is_the_batch_that_was_judged(flights):
    """A rebuild could differ in its last bits, and a word is for one content only."""
    # This batch was made of nothing that it could be reconciled with.
    outcomes = flights.derived["outcomes"].model_copy(update={"key_from": None, "values_from": {}})
    flights = flights.model_copy(update={"derived": {**flights.derived, "outcomes": outcomes}})
    suite = Suite("outcomes")
    suite.says(["nowhere"])
    rows = pa.table({"ds": pa.array([date(2013, 4, 2)]), "flight_id": ["a"], "origin": ["EWR"]})
    staged = batches.stage(
        "flights",
        "outcomes",
        rows,
        partitions=[DAY],
        received=1,
        dropped={},
        inputs=[],
        run=RUN,
        sort_by=["flight_id"],
    )
    pipeline_clock.advance(flights, date.fromisoformat(RUN_DAY))
    assert crossing.audit(flights, "outcomes", staged.batch_id, RUN).outcome == "HOLD"
    hold = holds.find(flights, "outcomes", DAY)
    holds.grant(flights, hold, **WORD)

    assert crossing.stage(flights, "outcomes", [RUN_DAY], RUN) == staged


def test_trace_names_a_mail_by_its_subject(flights, held):
    about = {"mail_subject": "[sluice][HOLD] flights arrivals", "status": "sent"}
    ledger.append(records.Mail(**about), pipeline="flights", subject="arrivals", partition=DAY)

    assert "[sluice][HOLD] flights arrivals (sent)" in "\n".join(
        show.traced(holds.trace(flights, "arrivals", DAY))
    )


def test_trace_tells_of_every_batch_and_decision(flights, held):
    holds.release(flights, "arrivals", DAY, **WORD, run=RUN)
    feed.deliver(flights, RUN_DAY, sources=["arrivals"], corrupt="seconds", number=2)
    cross(flights)

    traced = holds.trace(flights, "arrivals", DAY)

    first, second = traced.batches
    assert (first.manifest.batch_id, traced.run_day) == (traced.shown, RUN_DAY)
    assert second.published is None
    kinds = [entry.kind for entry in traced.entries]
    assert kinds[:4] == ["staged", "held", "waiver", "published"]
    text = "\n".join(show.traced(traced))
    typed = f"by operator (typed by {waivers.account()}, no second person) until 2013-04-05"
    assert f"{typed}: The airport confirmed the delays." in text
    assert first.manifest.inputs[0]["sha256"][:16] in text
    assert "sluice.waiver" in text


def test_command_releases_nothing_of_a_pipeline_that_wants_two_people(flights, held):
    strict = flights.model_copy(update={"releases": spec.Releases(self_approval="refuse")})
    before = ledger.entries()
    with pytest.raises(ReleaseRefusedError, match=r"one person: .*@") as caught:
        holds.release(strict, "arrivals", DAY, **WORD, run=RUN)
    assert "flights_release" in caught.value.todo
    assert ledger.entries() == before
    assert shown() == {}
