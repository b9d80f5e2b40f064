"""A waiver is a person's decision about one content, with a reason and an end."""

from __future__ import annotations

import os
import pwd
import socket
from datetime import date

import pytest

from sluice import ledger, waivers
from sluice.core.errors import ReleaseRefusedError
from sluice.declare import pipeline_clock, spec
from sluice.lake.waived import WaivedInput
from sluice.ledger import model_records, records
from sluice.ledger.kinds import KINDS
from sluice.waivers import inherited

DAY = "2013-04-02"
TODAY = "2013-04-03"
BATCH = "20130403T040000000000-aaaaaa"
WORD = {"by": "Ada", "why": "The airport confirmed the delays.", "until": "2013-04-05"}


@pytest.fixture
def flights(home):
    pipeline = spec.load("flights")
    pipeline_clock.advance(pipeline, date.fromisoformat(TODAY))
    return pipeline


def judge(kind="held", outcome="HOLD", verdict="v1", batch=BATCH):
    ledger.append(
        KINDS[kind](batch_id=batch, verdict_id=verdict, outcome=outcome),
        pipeline="flights",
        subject="arrivals",
        partition=DAY,
    )


def publish(batch=BATCH):
    ledger.append(records.Published(batch_id=batch), pipeline="flights", subject="arrivals", partition=DAY)


def grant(flights, content="c1", batch=BATCH, verdict="v1", **word):
    return waivers.grant(
        flights,
        "arrivals",
        DAY,
        content_hash=content,
        batch_id=batch,
        verdict_id=verdict,
        rules=["delay_in_minutes"],
        **(WORD | word),
    )


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ({"by": "  "}, "nobody"),
        ({"why": ""}, "without a reason"),
        ({"until": "next week"}, "'next week' is not a day"),
        ({"until": "2013-04-02"}, "2013-04-02 is over: today is 2013-04-03"),
        ({"verdict": "v0"}, "is not held by verdict v0"),
        ({"batch": "another"}, "Batch another is not held"),
    ],
)
def test_grant_refused_names_what_is_missing_and_records_nothing(flights, word, said):
    judge()
    with pytest.raises(ReleaseRefusedError, match=said) as caught:
        grant(flights, **word)
    assert caught.value.where
    assert caught.value.allowed
    assert caught.value.todo
    assert ledger.entries(kind="waiver") == []


@pytest.mark.parametrize(
    ("kind", "outcome", "said"),
    [("held", "ERROR", "the gate broke"), ("verdict", "PASS", "is not held by verdict v1")],
)
def test_grant_for_a_batch_that_was_not_held_by_a_rule_is_refused(flights, kind, outcome, said):
    judge(kind, outcome)
    with pytest.raises(ReleaseRefusedError, match=said):
        grant(flights)


def test_active_is_for_one_content_until_the_end_of_its_last_day(flights):
    judge()
    waiver = grant(flights)
    assert waivers.active(flights, "arrivals", DAY, "c1") == waiver
    assert waivers.active(flights, "arrivals", DAY, "c2") is None
    assert waivers.active(flights, "schedule", DAY, "c1") is None
    pipeline_clock.advance(flights, date(2013, 4, 5))
    assert waivers.active(flights, "arrivals", DAY, "c1") == waiver
    pipeline_clock.advance(flights, date(2013, 4, 6))
    assert waivers.active(flights, "arrivals", DAY, "c1") is None
    longer = grant(flights, until="2013-05-01")
    assert waivers.active(flights, "arrivals", DAY, "c1") == longer


def test_of_partitions_names_the_waiver_that_readers_rest_on(flights):
    judge()
    waiver = grant(flights)
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}, "nothing is published on it yet"
    publish()
    assert waivers.of_partitions(flights, "arrivals", [DAY, TODAY]) == {DAY: waiver}


def test_of_partitions_forgets_a_waiver_once_the_rule_or_the_data_was_corrected(flights):
    judge()
    grant(flights)
    publish()
    judge("verdict", "PASS", "v2")
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}, "the rule was corrected"
    judge(verdict="v3")
    assert waivers.of_partitions(flights, "arrivals", [DAY])
    publish("20130403T050000000000-bbbbbb")
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}, "another delivery is shown"


def test_awaited_is_the_released_batch_until_it_is_published(flights):
    assert waivers.awaited(flights, "arrivals", DAY) is None
    judge()
    grant(flights)
    assert waivers.awaited(flights, "arrivals", DAY) == BATCH
    publish(f"{BATCH}.20130403T050000000000-cccccc")
    assert waivers.awaited(flights, "arrivals", DAY) is None, "its good rows are published"


def made_from(waiver, table="features", day=TODAY):
    """Publish something that was made from what a waiver released."""
    waived = WaivedInput(
        waiver=waiver.seq,
        table="arrivals",
        partition=DAY,
        by="Ada",
        until=waiver.data["until"],
        through=("arrivals",),
        days=(day,),
    )
    data = {"batch_id": f"{table} {day}", "waived_inputs": [waived.model_dump(mode="json")]}
    ledger.append(records.Published(**data), pipeline="flights", subject=table, partition=day)
    return waived


def test_standing_follows_the_waiver_and_what_readers_see_of_it(flights):
    judge()
    waiver = grant(flights)
    publish()
    waived = made_from(waiver)
    assert inherited.standing(flights, waived) == "active"
    pipeline_clock.advance(flights, date(2013, 4, 6))
    assert inherited.standing(flights, waived) == "expired"
    grant(flights, until="2013-04-20")
    assert inherited.standing(flights, waived) == "active", "it was released again"
    judge("verdict", "PASS", "v2")
    assert inherited.standing(flights, waived) == "passed"
    judge(verdict="v3")
    publish("20130403T050000000000-bbbbbb")
    assert inherited.standing(flights, waived) == "replaced"


def test_rebuilds_name_derived_partitions_and_the_champion_after_a_correction_but_no_prediction(flights):
    judge()
    waiver = grant(flights)
    publish()
    made_from(waiver)
    made_from(waiver, "outcomes", DAY)
    made_from(waiver, "predictions")
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": TODAY}
    ledger.append(model_records.Trained(version=3, waivers=[{"waiver": waiver.seq}]), **about)
    ledger.append(model_records.Promoted(version=3), **about)
    assert inherited.rebuilds(flights) == []

    publish("20130403T050000000000-bbbbbb")

    found = inherited.rebuilds(flights)
    assert [(one.subject, one.partition) for one in found] == [
        ("features", TODAY),
        ("outcomes", DAY),
        ("flights_late_arrival", "version 3"),
    ]
    assert all("arrivals 2013-04-02 was replaced since" in one.sentence() for one in found)
    assert "partition key 2013-04-03" in found[1].todo, "outcomes of a day are written by the run of the next"
    ledger.append(
        records.Published(batch_id="rebuilt"), pipeline="flights", subject="features", partition=TODAY
    )
    assert [one.subject for one in inherited.rebuilds(flights)] == ["outcomes", "flights_late_arrival"]
    ledger.append(model_records.RolledBack(version=2), **about)
    assert [one.subject for one in inherited.rebuilds(flights)] == ["outcomes"], "version 2 scores now"
    ledger.append(model_records.RolledBack(version=None), **about)
    assert [one.subject for one in inherited.rebuilds(flights)] == ["outcomes"], "the baseline scores now"


@pytest.mark.parametrize(
    ("who", "said", "self_approved"),
    [
        ({"account": "ada@build-1"}, "by Ada (typed by ada@build-1, no second person) until", True),
        ({"requested_by": "Ada"}, "by Ada (self-approved: the same person asked for it) until", True),
        ({"requested_by": "Bob"}, "by Ada (asked for by Bob) until", False),
        ({}, "by Ada until", False),
    ],
    ids=["command", "self_approved", "two_people", "unknown"],
)
def test_waiver_says_who_acted(flights, who, said, self_approved):
    judge()
    waiver = grant(flights, **who)
    assert waivers.read(waiver).sentence().startswith(said)
    assert waivers.read(waiver).self_approved == waiver.data["self_approved"] == self_approved


def test_waiver_of_an_earlier_version_is_read(flights):
    word = {"by": "Ada", "why": "Known.", "until": "2013-04-05", "content_hash": "c1", "batch_id": BATCH}
    entry = ledger.append(records.Waiver(**word), pipeline="flights", subject="arrivals", partition=DAY)
    assert waivers.read(entry).sentence() == "by Ada until 2013-04-05: Known."
    assert not waivers.read(entry).self_approved


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({"account": "ada@build-1"}, "by one person: ada@build-1"),
        ({"requested_by": "Ada"}, "Ada asked for this release, and may not approve it"),
        ({}, "Who asks for this release is not known"),
    ],
    ids=["command", "self_approved", "unknown"],
)
def test_pipeline_that_refuses_self_approval_wants_two_people(flights, who, said):
    strict = flights.model_copy(update={"releases": spec.Releases(self_approval="refuse")})
    judge()
    with pytest.raises(ReleaseRefusedError, match=said) as caught:
        grant(strict, **who)
    assert "self_approval" in caught.value.allowed
    assert "flights_release" in caught.value.todo
    assert ledger.entries(kind="waiver") == []
    assert grant(strict, requested_by="Bob")


def test_account_is_the_operating_systems_user_whatever_the_environment_says(monkeypatch):
    true = waivers.account()
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert waivers.account() == true == f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


def elsewhere():
    """The same story, of another pipeline, another table and another day, told to its end."""
    for pipeline, table, partition in (
        ("trains", "arrivals", DAY),
        ("flights", "schedule", DAY),
        ("flights", "arrivals", TODAY),
    ):
        batch = {
            "batch_id": BATCH if partition == DAY else "20130404T040000000000-aaaaaa",
            "verdict_id": "v9",
        }
        about = {"pipeline": pipeline, "subject": table, "partition": partition}
        ledger.append(records.Held(**batch, outcome="HOLD"), **about)
        ledger.append(records.Waiver(**WORD, **batch, content_hash="c1", rules=[]), **about)
        ledger.append(records.Published(**batch), **about)
        ledger.append(records.Verdict(**batch, outcome="PASS"), **about)


def test_what_is_said_of_another_pipeline_table_or_day_is_not_said_of_this_one(flights):
    elsewhere()
    assert waivers.awaited(flights, "arrivals", DAY) is None
    assert waivers.active(flights, "arrivals", DAY, "c1") is None
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}
    assert waivers.judgement(flights, "arrivals", DAY, BATCH) is None
    assert waivers.of_batch(flights, "arrivals", BATCH) is None
    judge()
    waiver = grant(flights)
    elsewhere()
    assert waivers.awaited(flights, "arrivals", DAY) == BATCH
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {}
    assert waivers.of_batch(flights, "arrivals", BATCH) == waiver
    publish()
    elsewhere()
    assert waivers.of_partitions(flights, "arrivals", [DAY]) == {DAY: waiver}
    assert waivers.of_partitions(flights, "arrivals", []) == {}
    assert waivers.active(flights, "arrivals", DAY, "c1") == waiver


def test_released_batch_is_awaited_until_something_is_published_or_its_waiver_is_over(flights):
    publish("20130402T040000000000-aaaaaa")
    judge()
    grant(flights)
    assert waivers.awaited(flights, "arrivals", DAY) == BATCH
    pipeline_clock.advance(flights, date(2013, 4, 6))
    assert waivers.awaited(flights, "arrivals", DAY) is None
    grant(flights, until="2013-04-06")
    assert waivers.awaited(flights, "arrivals", DAY) == BATCH
    publish("20130403T050000000000-bbbbbb")
    assert waivers.awaited(flights, "arrivals", DAY) is None
    publish()
    judge(verdict="v2")
    grant(flights, verdict="v2", until="2013-04-20")
    assert waivers.awaited(flights, "arrivals", DAY) is None, "readers saw it before: nothing crosses"


@pytest.mark.parametrize(
    ("first", "second", "newest"),
    [
        ({"begun_after": 5}, {"begun_after": 3}, "first"),
        ({"begun_after": 3}, {"begun_after": 5}, "second"),
        (
            {"begun_after": 3, "evaluated_at": "2013-04-03T05"},
            {"begun_after": 3, "evaluated_at": "2013-04-03T04"},
            "first",
        ),
        ({"begun_after": 3}, {"begun_after": 3}, "second"),
        # Of an earlier version it is only known when it was recorded.
        ({}, {}, "second"),
        ({"begun_after": 1}, {}, "second"),
    ],
)
def test_of_two_verdicts_the_one_whose_audit_began_later_counts(flights, first, second, newest):
    about = {"pipeline": "flights", "subject": "arrivals", "partition": DAY}
    for name, data in (("first", first), ("second", second)):
        ledger.append(records.Held(batch_id=BATCH, verdict_id=name, outcome="HOLD", **data), **about)
    assert waivers.judgement(flights, "arrivals", DAY, BATCH).data["verdict_id"] == newest
