"""A waiver is a person's word about one content, with a reason and an end."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import clock, ledger, spec, waivers
from sluice.errors import ReleaseRefusedError

DAY = "2013-04-02"
TODAY = "2013-04-03"
BATCH = "20130403T040000000000-aaaaaa"
WORD = {"by": "Ada", "why": "The airport confirmed the delays.", "until": "2013-04-05"}


@pytest.fixture
def flights(home):
    pipeline = spec.load("flights")
    clock.advance(pipeline, date.fromisoformat(TODAY))
    return pipeline


def judge(kind="held", outcome="HOLD", verdict="v1", batch=BATCH):
    ledger.append(
        kind,
        pipeline="flights",
        subject="arrivals",
        partition=DAY,
        data={"batch_id": batch, "verdict_id": verdict, "outcome": outcome},
    )


def publish(batch=BATCH):
    ledger.append(
        "published", pipeline="flights", subject="arrivals", partition=DAY, data={"batch_id": batch}
    )


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
    clock.advance(flights, date(2013, 4, 5))
    assert waivers.active(flights, "arrivals", DAY, "c1") == waiver
    clock.advance(flights, date(2013, 4, 6))
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
