"""Which days are due, by what was measured from which batches: from tables and entries of the ledger alone."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import TableMissingError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice.ledger import records
from sluice.ledger.kinds import KINDS
from sluice.models import due
from sluice.models.due import DueDay

FIRST, DAY, TODAY = "2013-04-01", "2013-04-02", "2013-04-03"


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


def publish(table: str, day: str, value: int = 1, *, rows: int = 1) -> str:
    """Publish a batch of one day; returns its id."""
    data = pa.table(
        {
            "id": pa.array([value] * rows, pa.int64()),
            "ds": pa.array([date.fromisoformat(day)] * rows, pa.date32()),
        }
    )
    staged = batches.stage(
        "flights",
        table,
        data,
        partitions=[day],
        received=rows,
        dropped={},
        inputs=[],
        run=Run(run_id="test"),
        sort_by=["id"],
    )
    tables.publish(staged, verdict_id="v", empty=[] if rows else [day])
    ledger.append(
        records.Published(batch_id=staged.batch_id), pipeline="flights", subject=table, partition=day
    )
    return staged.batch_id


def record(flights: spec.Pipeline, day: str, kind: str = "monitored", **data) -> None:
    ledger.append(KINDS[kind](**data), pipeline="flights", subject=flights.model.name, partition=day)


def measured(flights: spec.Pipeline, day: DueDay, kind: str = "monitored") -> None:
    record(flights, day.ds, kind, measured=day.as_dict())


def test_day_is_due_once_its_outcomes_are_there_until_it_is_measured_from_them(flights):
    predicted = publish("predictions", DAY)
    publish("predictions", TODAY)
    assert due.earlier(flights, TODAY) == []
    landed = publish("outcomes", DAY)
    (found,) = due.earlier(flights, TODAY)
    assert found == DueDay(DAY, predicted, landed)
    measured(flights, found)
    assert due.earlier(flights, TODAY) == []


@pytest.mark.parametrize("kind", ["monitored", "not_measured"])
def test_newest_record_of_a_day_counts_whatever_its_kind(flights, kind):
    publish("predictions", DAY), publish("outcomes", DAY)
    (before,) = due.earlier(flights, TODAY)
    measured(flights, before)
    assert due.earlier(flights, TODAY) == []
    publish("outcomes", DAY, 2)
    (after,) = due.earlier(flights, TODAY)
    measured(flights, after, kind)
    assert due.earlier(flights, TODAY) == []
    other = "not_measured" if kind == "monitored" else "monitored"
    measured(flights, before, other)
    assert due.earlier(flights, TODAY) == [after]


@pytest.mark.parametrize(("value", "is_due"), [(1, False), (2, True)])
def test_outcomes_that_were_published_again_are_due_where_they_differ(flights, value, is_due):
    publish("predictions", DAY), publish("outcomes", DAY)
    (found,) = due.earlier(flights, TODAY)
    measured(flights, found)
    publish("outcomes", DAY, value)
    assert bool(due.earlier(flights, TODAY)) == is_due


def test_outcomes_whose_earlier_batch_was_cleared_away_are_due(flights):
    publish("predictions", DAY), publish("outcomes", DAY)
    (found,) = due.earlier(flights, TODAY)
    measured(flights, DueDay(DAY, found.predictions, "20130101T000000000000-aaaaaa"))
    assert due.earlier(flights, TODAY) == [found]


def test_predictions_that_were_replaced_are_due_again(flights):
    publish("predictions", DAY), publish("outcomes", DAY)
    (found,) = due.earlier(flights, TODAY)
    measured(flights, found)
    publish("predictions", DAY)
    assert [one.ds for one in due.earlier(flights, TODAY)] == [DAY]


def test_day_that_was_measured_before_its_outcomes_came_is_due_when_they_have(flights):
    predicted = publish("predictions", DAY)
    measured(flights, DueDay(DAY, predicted, None))
    assert due.earlier(flights, TODAY) == []
    publish("outcomes", DAY)
    assert [one.ds for one in due.earlier(flights, TODAY)] == [DAY]


@pytest.mark.parametrize("empty", ["predictions", "outcomes"])
def test_day_without_predictions_or_outcomes_is_not_due(flights, empty):
    for table in ("predictions", "outcomes"):
        publish(table, DAY, rows=0 if table == empty else 1)
    publish("outcomes", FIRST)
    assert due.earlier(flights, TODAY) == []


def test_days_are_due_oldest_first_and_the_run_day_comes_last_whatever_was_measured(flights):
    for day in (TODAY, DAY, FIRST):
        publish("predictions", day), publish("outcomes", day)
    found = due.days(flights, TODAY)
    assert [one.ds for one in found] == [FIRST, DAY, TODAY]
    assert [one.ds for one in due.earlier(flights, DAY)] == [FIRST]
    for one in found:
        assert one.outcomes == tables.published("flights", "outcomes", one.ds, one.ds)[one.ds].batch_id
        measured(flights, one)
    assert due.days(flights, TODAY) == [found[-1]]


def test_run_day_has_outcomes_only_where_they_have_rows_and_is_none_without_predictions(flights):
    with pytest.raises(TableMissingError, match=f"no published predictions of {TODAY}") as caught:
        due.days(flights, TODAY)
    assert caught.value.where == "flights.predictions"
    assert "flights_score" in caught.value.todo
    predicted = publish("predictions", TODAY)
    assert due.days(flights, TODAY) == [DueDay(TODAY, predicted, None)]
    publish("outcomes", TODAY, rows=0)
    assert due.days(flights, TODAY) == [DueDay(TODAY, predicted, None)]
    publish("predictions", TODAY, rows=0)
    assert due.days(flights, TODAY) == []


@pytest.mark.parametrize(("labelled", "is_due"), [(0, True), (1, False)])
def test_record_of_an_earlier_version_is_about_what_was_published_last_before_it(flights, labelled, is_due):
    publish("predictions", DAY), publish("outcomes", DAY)
    record(flights, DAY, labelled=labelled)
    assert bool(due.earlier(flights, TODAY)) == is_due
    publish("outcomes", DAY, 2)
    assert [one.ds for one in due.earlier(flights, TODAY)] == [DAY]


def test_records_about_something_else_say_nothing_of_a_day(flights):
    publish("predictions", DAY), publish("outcomes", DAY)
    (found,) = due.earlier(flights, TODAY)
    for kind, pipeline, subject in (
        ("monitored", "trains", flights.model.name),
        ("monitored", "flights", "another_model"),
        ("decided", "flights", flights.model.name),
    ):
        data = {"measured": found.as_dict()} if kind == "monitored" else {"action": "nothing"}
        ledger.append(KINDS[kind](**data), pipeline=pipeline, subject=subject, partition=DAY)
    assert due.earlier(flights, TODAY) == [found]


def test_record_of_an_earlier_version_is_not_about_what_was_published_elsewhere(flights):
    publish("predictions", DAY), publish("outcomes", DAY)
    for kind, pipeline, table, day in (
        ("published", "trains", "outcomes", DAY),
        ("published", "flights", "features", DAY),
        ("published", "flights", "outcomes", FIRST),
        ("staged", "flights", "outcomes", DAY),
    ):
        about = {"pipeline": pipeline, "subject": table, "partition": day}
        ledger.append(KINDS[kind](batch_id="another"), **about)
    record(flights, DAY, labelled=1)
    assert due.earlier(flights, TODAY) == []
