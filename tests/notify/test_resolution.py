"""What ended a fault, from entries of the ledger and the inputs that manifests record."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches
from sluice.ledger import records
from sluice.ledger.kinds import KINDS
from sluice.notify import resolution

DAY, NEXT = "2013-04-02", "2013-04-03"
RANGE = f"{DAY}..{NEXT}"


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


def say(kind: str, /, partition: str = DAY, table: str = "arrivals", **data) -> ledger.Entry:
    return ledger.append(KINDS[kind](**data), pipeline="flights", subject=table, partition=partition)


def stage(content: str, table: str = "arrivals", name: str = "arrivals.csv") -> str:
    """Stage a batch that was made from a delivery; returns its id."""
    rows = pa.table({"id": [1], "ds": pa.array([date.fromisoformat(DAY)], pa.date32())})
    given = {"partitions": [DAY], "received": 1, "dropped": {}, "run": Run(run_id="test"), "sort_by": ["id"]}
    delivery = {"kind": "delivery", "day": DAY, "sha256": content, "uri": f"s3://landing/arrivals/{name}"}
    return batches.stage("flights", table, rows, inputs=[delivery, {"kind": "clock"}], **given).batch_id


def seen(
    event: str = "held_batch", *, batch: str = "", partition: str = DAY, table: str = "arrivals", **data
) -> ledger.Entry:
    """The mail that told of a fault."""
    about = {"event": event, "ends_with": f"published {table}", "batch_id": batch, **data}
    return say("mail", partition, table, **about)


def found(flights, mail: ledger.Entry) -> tuple[str, int | None]:
    ending = resolution.find(flights, mail)
    return ending.kind, ending.entry


def test_held_batch_that_was_published_itself_passed_by_a_corrected_rule(flights):
    held = stage("a")
    mail = seen(batch=held)
    published = say("published", batch_id=f"{held}.split")
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.entry, ending.at) == ("corrected_rule", published.seq, published.at)
    assert ending.files == ("arrivals.csv",)


@pytest.mark.parametrize(
    ("content", "table", "kind"),
    [
        ("b", "arrivals", "corrected_delivery"),
        ("a", "arrivals", "corrected_reading"),
        ("b", "features", "rebuilt"),
    ],
)
def test_batch_in_the_place_of_a_held_one_ended_it_by_what_it_was_made_from(flights, content, table, kind):
    mail = seen(batch=stage("a", table), table=table)
    published = say("published", table=table, batch_id=stage(content, table))
    assert found(flights, mail) == (kind, published.seq)


def test_failure_before_there_was_a_batch_ends_with_a_publication(flights):
    mail = seen("failed_task")
    published = say("published", batch_id=stage("a"))
    assert found(flights, mail) == ("published", published.seq)


def test_publication_before_the_fault_or_of_another_table_or_day_ends_nothing(flights):
    say("published", batch_id=stage("a"))
    mail = seen()
    say("published", table="schedule", batch_id=stage("a", "schedule"))
    say("published", NEXT, batch_id=stage("a"))
    ledger.append(
        records.Published(batch_id=stage("a")), pipeline="trains", subject="arrivals", partition=DAY
    )
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.entry, ending.text) == ("stated", None, "It is over.")


def test_first_publication_after_the_fault_ended_it(flights):
    mail = seen("failed_task")
    first = say("published", batch_id=stage("a"))
    say("published", batch_id=stage("b"))
    assert found(flights, mail) == ("published", first.seq)


@pytest.mark.parametrize("days", [(DAY, NEXT), (NEXT, DAY)])
def test_fault_of_a_range_ended_with_the_publication_that_completed_it(flights, days):
    mail = seen("failed_task", partition=RANGE)
    say("published", days[0], batch_id=stage("a"))
    assert found(flights, mail) == ("stated", None)
    say("published", days[0], batch_id=stage("b"))
    last = say("published", days[1], batch_id=stage("c"))
    say("published", RANGE, batch_id=stage("d"))
    assert found(flights, mail) == ("published", last.seq)


@pytest.mark.parametrize("ends_with", ["published arrivals", "staged arrivals"])
@pytest.mark.parametrize(("event", "kind"), [("failed_task", "published"), ("missing_delivery", "delivered")])
def test_what_is_staged_ends_nothing_and_the_publication_does_also_by_an_earlier_version(
    flights, ends_with, event, kind
):
    mail = seen(event, ends_with=ends_with)
    say("staged", batch_id=stage("a"))
    assert resolution.end_of(flights, mail) is None
    published = say("published", batch_id=stage("a"))
    assert found(flights, mail) == (kind, published.seq)


def test_missing_delivery_that_was_published_on_a_waiver_says_both(flights):
    mail = seen("missing_delivery")
    word = {"by": "Ada", "why": "Confirmed.", "until": "2013-04-05", "content_hash": "c", "rules": []}
    waiver = say("waiver", batch_id="b", **word)
    say("published", batch_id=stage("b", name="late.csv"), waiver=waiver.seq)
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.on_waiver) == ("delivered", True)
    assert ending.sentence() == (
        "The delivery came: late.csv. It was released by Ada until 2013-04-05, although it did not pass its rules. "
        "Reason given: Confirmed."
    )


def test_day_that_a_person_gave_up_ended_the_fault_and_says_who_and_why(flights):
    mail = seen("missing_delivery", partition=RANGE)
    say("published", DAY, batch_id=stage("a"))
    assert resolution.end_of(flights, mail) is None
    skipped = say("skipped", NEXT, by="Ada", why="It is lost.")
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.entry, ending.at) == ("given_up", skipped.seq, skipped.at)
    assert (ending.by, ending.why, ending.on_waiver) == ("Ada", "It is lost.", False)
    assert ending.sentence() == "Given up by Ada: It is lost."


@pytest.mark.parametrize("kind", ["held", "quarantined"])
def test_that_a_hold_has_expired_ends_no_fault(flights, kind):
    mail = seen(batch=stage("a"))
    say("expired", kind=kind, batch_id="b", rows=1, hold_days=30)
    assert resolution.end_of(flights, mail) is None


def test_weekly_source_ended_with_a_day_of_the_range_and_a_daily_one_with_all(flights):
    weekly = seen("missing_delivery", partition=RANGE, table="airlines")
    daily = seen("missing_delivery", partition=RANGE)
    assert resolution.end_of(flights, weekly) is None
    published = say("published", DAY, "airlines", batch_id=stage("a", "airlines"))
    say("published", DAY, batch_id=stage("a"))
    assert resolution.end_of(flights, weekly) == published
    assert resolution.end_of(flights, daily) is None


def test_run_ended_with_the_last_of_its_tables_each_for_the_day_that_the_run_makes(flights):
    mail = seen("failed_run", ends_with="run features,outcomes", partition=NEXT)
    assert resolution.tables_of(flights, mail) == {"features": [NEXT], "outcomes": [DAY]}
    say("published", NEXT, "features", batch_id=stage("a", "features"))
    say("published", NEXT, "outcomes", batch_id=stage("a", "outcomes"))
    assert resolution.end_of(flights, mail) is None, "the outcomes of the day before are not there yet"
    last = say("published", DAY, "outcomes", batch_id=stage("b", "outcomes"))
    assert found(flights, mail) == ("published", last.seq)


def test_days_ended_when_the_last_of_them_was_complete(flights):
    say("day_completed", NEXT, "raw", first_day=DAY)
    mail = seen("failed_task", ends_with="completed", partition=RANGE)
    say("day_completed", "2013-04-01", "raw", first_day="2013-03-31")
    say("day_completed", NEXT, "another", first_day=DAY)
    ledger.append(records.DayCompleted(first_day=DAY), pipeline="trains", subject="raw", partition=NEXT)
    say("day_completed", DAY, "raw", first_day=DAY)
    assert resolution.end_of(flights, mail) is None
    last = say("day_completed", NEXT, "raw", first_day=NEXT)
    say("day_completed", NEXT, "raw", first_day=DAY)
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.entry) == ("stated", last.seq)
    assert ending.sentence() == f"The day {NEXT} is complete: every source that was due is published."


@pytest.mark.parametrize(
    "ends_with", ["", "succeeded task", "champion model", "matches arrivals", "published gone"]
)
def test_fault_that_no_table_ends_is_ended_by_no_publication(flights, ends_with):
    mail = seen("failed_task", ends_with=ends_with)
    say("published", batch_id=stage("a"))
    assert (resolution.tables_of(flights, mail), resolution.end_of(flights, mail)) == ({}, None)


@pytest.mark.parametrize("partition", ["yesterday", ""])
def test_fault_of_no_day_is_ended_by_no_publication(flights, partition):
    for ends_with in ("published arrivals", "completed", "run features"):
        mail = seen("failed_task", ends_with=ends_with, partition=partition)
        say("published", batch_id=stage("a"))
        assert (resolution.tables_of(flights, mail), resolution.end_of(flights, mail)) == ({}, None)


@pytest.mark.parametrize(("same", "kind"), [(True, "released"), (False, "replaced")])
def test_publication_on_a_waiver_says_whose_word_it_was(flights, same, kind):
    held = stage("a")
    mail = seen(batch=held)
    word = {"why": "Confirmed.", "until": "2013-04-05", "content_hash": "c", "batch_id": held, "rules": []}
    numbers = {by: say("waiver", by=by, **word).seq for by in ("Bob", "Ada", "Eve")}
    say("published", batch_id=held if same else stage("b"), waiver=numbers["Ada"])
    ending = resolution.find(flights, mail)
    assert (ending.kind, ending.by, ending.until, ending.why) == (kind, "Ada", "2013-04-05", "Confirmed.")
    assert "Ada" in ending.signed
    assert ending.on_waiver


def test_batch_that_was_cleared_away_since_names_no_file(flights):
    mail = seen(batch="20130401T000000000000-aaaaaa")
    say("published", batch_id="20130402T000000000000-aaaaaa")
    assert resolution.find(flights, mail).files == ()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "its inputs"),
        (("a", "b", "c"), "a, b, c"),
        (("a", "b", "c", "d"), "a and 3 more files"),
    ],
)
def test_ending_names_three_files_and_counts_more(files, said):
    assert resolution.Ending(kind="delivered", files=files).sentence() == f"The delivery came: {said}."


@pytest.mark.parametrize(
    ("kind", "on_waiver", "said"),
    [
        ("released", True, "released by Ada until 2013-04-05, it did not pass its rules"),
        ("replaced", True, "Replaced by its inputs, which was released by Ada, by command until 2013-04-05"),
        ("stated", False, "One line."),
    ],
)
def test_headline_is_one_line_of_what_ended_it(kind, on_waiver, said):
    word = {"by": "Ada", "signed": "Ada, by command", "until": "2013-04-05", "why": "Confirmed."}
    ending = resolution.Ending(kind=kind, text="One line.\nAnother.", **(word if on_waiver else {}))
    assert ending.headline().startswith(said)
    assert "\n" not in ending.headline()
    assert ending.on_waiver == on_waiver


def test_headline_of_an_ending_without_a_word_says_that_it_is_over():
    assert resolution.stated("").headline() == "it is over"


@pytest.mark.parametrize("day", ["2013-04-08", "2013-04-16"], ids=["later in its week", "the next that came"])
def test_weekly_source_ended_when_one_came_that_is_as_new(flights, day):
    mail, held = (seen(event, table="airlines") for event in ("missing_delivery", "held_batch"))
    say("published", "2013-04-01", "airlines", batch_id=stage("a", "airlines"))
    say("skipped", NEXT, "airlines", by="Ada", why="The arrivals of the day are lost.")
    assert resolution.end_of(flights, mail) is None
    published = say("published", day, "airlines", batch_id=stage("a", "airlines"))
    assert found(flights, mail) == ("delivered", published.seq)
    assert resolution.end_of(flights, held) is None, "who delivered another day has not corrected this one"
    daily = seen("missing_delivery")
    say("published", NEXT, batch_id=stage("a"))
    assert resolution.end_of(flights, daily) is None, "each day of a daily source has to come"
