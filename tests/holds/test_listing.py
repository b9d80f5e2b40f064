"""What closes a hold, and what does not: from entries of the ledger alone, in every order that they can come in."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import holds, ledger, waivers
from sluice.declare import pipeline_clock, spec
from sluice.holds import listing
from sluice.ledger.kinds import KINDS

DAY, NEXT = "2013-04-02", "2013-04-03"
RANGE = f"{DAY}..{NEXT}"
OLD, MINE, NEW = (f"2013040{day}T050000000000-aaaaaa" for day in (2, 3, 4))
WORD = {"by": "Ada", "why": "Confirmed.", "until": "2013-04-05"}


@pytest.fixture
def flights(home) -> spec.Pipeline:
    pipeline = spec.load("flights")
    pipeline_clock.advance(pipeline, date(2013, 4, 3))
    return pipeline


def say(kind: str, /, partition: str = DAY, table: str = "arrivals", **data) -> ledger.Entry:
    return ledger.append(KINDS[kind](**data), pipeline="flights", subject=table, partition=partition)


def hold(batch: str = MINE, partition: str = DAY, table: str = "arrivals", **data) -> ledger.Entry:
    about = {"verdict_id": "v", "outcome": "HOLD", "reasons": ["A rule failed."], **data}
    return say("held", partition, table, batch_id=batch, **about)


def refuse(partition: str = DAY) -> ledger.Entry:
    return say("refused", partition, what="A column is missing.")


def is_open(flights) -> bool:
    found = holds.open_holds(flights)
    assert len(found) <= 1
    assert (listing.open_from(flights) is not None) >= bool(found)
    return bool(found)


def test_batch_that_was_published_after_it_had_been_held_is_not_held(flights):
    hold()
    assert is_open(flights)
    say("published", batch_id=MINE)
    assert not is_open(flights)
    assert listing.open_from(flights) is None


def test_split_of_a_held_batch_that_was_published_closes_it(flights):
    hold()
    say("published", batch_id=f"{MINE}.a1b2c3")
    assert not is_open(flights)


def test_batch_that_readers_see_is_held_again_until_it_passes(flights):
    say("published", batch_id=MINE)
    hold()
    assert is_open(flights)
    say("verdict", batch_id=MINE, verdict_id="w", outcome="PASS")
    assert not is_open(flights)


def test_batch_that_readers_see_and_a_person_released_is_not_held(flights):
    say("published", batch_id=MINE)
    hold()
    given = {"content_hash": "c", "batch_id": MINE, "verdict_id": "v", "rules": []}
    waivers.grant(flights, "arrivals", DAY, **given, **WORD)
    assert not is_open(flights)


def test_held_batch_that_passed_and_is_not_seen_is_open(flights):
    """It may be published, and was not: somebody has to."""
    say("published", batch_id=OLD)
    hold()
    say("verdict", batch_id=MINE, verdict_id="w", outcome="PASS")
    assert is_open(flights)


def test_range_that_was_published_does_not_make_a_held_day_of_it_seen(flights):
    say("published", RANGE, batch_id=MINE)
    hold()
    say("verdict", batch_id=MINE, verdict_id="w", outcome="PASS")
    assert is_open(flights)


def test_batch_that_was_given_up_is_over_and_may_be_held_again(flights):
    hold()
    say("expired", kind="held")
    assert not is_open(flights)
    hold()
    assert is_open(flights)


def test_first_hold_that_is_open_is_where_the_list_has_to_be_read_from(flights):
    closed, first, second = hold(), hold(partition=NEXT), hold(table="schedule")
    say("published", batch_id=NEW)
    assert closed.seq < listing.open_from(flights) == first.seq < second.seq


def test_single_rows_that_were_given_up_close_no_batch(flights):
    hold()
    say("expired", kind="quarantined", rows=3)
    assert is_open(flights)


@pytest.mark.parametrize("first", ["hold", "publication"])
def test_newer_batch_that_is_published_closes_it_whichever_was_recorded_first(flights, first):
    if first == "hold":
        hold()
    say("published", batch_id=NEW)
    if first == "publication":
        hold()
    assert not is_open(flights)


def test_older_batch_that_was_on_its_way_when_it_was_held_closes_nothing(flights):
    say("staged", batch_id=OLD)
    hold()
    say("published", batch_id=OLD)
    assert is_open(flights)


def test_older_batch_that_was_staged_again_after_it_was_held_closes_it(flights):
    """A correction was held, and the original file was delivered again."""
    hold()
    say("staged", batch_id=OLD)
    assert is_open(flights)
    say("published", batch_id=f"{OLD}.a1b2c3")
    assert not is_open(flights)


@pytest.mark.parametrize("staged", [{"partition": NEXT, "batch_id": OLD}, {"batch_id": NEW}])
def test_another_batch_that_was_staged_after_it_was_held_does_not_make_an_older_one_its_answer(
    flights, staged
):
    hold()
    say("staged", **staged)
    say("published", batch_id=OLD)
    assert is_open(flights)


def test_older_batch_that_is_staged_again_after_its_publication_closes_nothing(flights):
    hold()
    say("published", batch_id=OLD)
    say("staged", batch_id=OLD)
    assert is_open(flights)


def test_refused_delivery_is_closed_by_what_was_staged_and_published_after_it(flights):
    say("staged", batch_id=OLD)
    refuse()
    say("published", batch_id=OLD)
    assert is_open(flights)
    say("staged", batch_id=NEW)
    assert is_open(flights)
    say("published", batch_id=NEW)
    assert not is_open(flights)


def test_range_is_closed_when_each_of_its_days_was_published(flights):
    hold(partition=RANGE)
    say("published", NEXT, batch_id=NEW)
    assert is_open(flights)
    say("published", DAY, batch_id=NEW)
    assert not is_open(flights)


def test_week_is_closed_by_one_day_of_a_weekly_source_only(flights):
    for table in ("planes", "arrivals", "features"):
        hold(partition=RANGE, table=table)
        say("published", NEXT, table, batch_id=NEW)
    assert [one.table for one in holds.open_holds(flights)] == ["arrivals", "features"]


def test_publication_of_another_table_or_day_closes_nothing(flights):
    hold()
    say("published", table="schedule", batch_id=NEW)
    say("published", NEXT, batch_id=NEW)
    assert is_open(flights)


def test_of_two_verdicts_about_a_partition_the_newest_is_listed(flights):
    hold(OLD)
    newest = hold(NEW, rules=[])
    (found,) = holds.open_holds(flights)
    assert (found.batch_id, found.since, found.kind) == (NEW, newest.at, "held")
    assert listing.open_from(flights) == newest.seq


def test_waiver_that_is_over_is_listed_while_readers_see_what_it_released(flights):
    hold()
    given = {"content_hash": "c", "batch_id": MINE, "verdict_id": "v", "rules": []}
    waivers.grant(flights, "arrivals", DAY, **given, **WORD)
    say("published", batch_id=MINE)
    assert holds.open_holds(flights) == []
    assert list(listing.active_waivers(flights)) == [("arrivals", DAY)]

    pipeline_clock.advance(flights, date(2013, 4, 8))
    (found,) = holds.open_holds(flights)
    assert (found.kind, found.age_days, found.overdue) == ("waiver_expired", 3, False)
    assert found.reason == "Ada released it until 2013-04-05: Confirmed."
    assert listing.active_waivers(flights) == {}
    assert holds.open_holds(flights, "schedule") == []

    say("published", batch_id=NEW)
    assert holds.open_holds(flights) == []


def test_rows_that_were_given_up_close_no_batch_that_is_held(flights):
    hold()
    say("expired", kind="quarantined", rows=3)
    assert [hold.kind for hold in holds.open_holds(flights)] == ["held"]
    say("expired", kind="held", rows=983)
    assert holds.open_holds(flights) == []


@pytest.mark.parametrize(("table", "closed"), [("planes", True), ("arrivals", False)])
def test_range_of_a_weekly_source_closes_with_the_day_that_was_delivered(flights, table, closed):
    hold(partition="2013-04-01..2013-04-07", table=table)
    say("published", "2013-04-01", table, batch_id=NEW)
    assert (holds.open_holds(flights) == []) == closed


def test_hold_is_overdue_the_day_after_the_last_day_that_it_is_kept(flights):
    hold()
    for day, overdue in ((date(2013, 5, 3), False), (date(2013, 5, 4), True)):
        pipeline_clock.advance(flights, day)
        (found,) = holds.open_holds(flights)
        assert found.overdue == overdue
