"""The days of a run come from its partition key or its two params, and a wrong one is refused."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pyarrow as pa
import pytest

from sluice.core.errors import (
    BatchSupersededError,
    InputAwaitedError,
    ResultMissingError,
    RunKeyInvalidError,
    SpecInvalidError,
)
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.ingest import completion
from sluice.lake import batches, tables
from sluice_lab import feed


@pytest.fixture(scope="module")
def runs():
    from sluice.orchestration import runs

    return runs


def test_partition_key_is_the_day_whatever_the_params_say(runs, context_of):
    assert runs.run_days(context_of("2013-04-02")) == ["2013-04-02"]
    context = context_of("2013-04-02", first_day="2013-01-01", last_day="2013-01-31")
    assert runs.run_days(context) == ["2013-04-02"]


def test_range_without_a_key_is_all_its_days_and_its_day_is_the_last(runs, context_of):
    context = context_of(first_day="2013-02-27", last_day="2013-03-01")
    assert runs.run_days(context) == ["2013-02-27", "2013-02-28", "2013-03-01"]
    assert runs.run_day(context) == "2013-03-01"


def test_range_may_be_one_day_but_not_end_before_it_begins(runs, context_of):
    assert runs.run_days(context_of(first_day="2013-03-01", last_day="2013-03-01")) == ["2013-03-01"]
    with pytest.raises(RunKeyInvalidError, match="2013-02-28 is before first_day 2013-03-01"):
        runs.run_days(context_of(first_day="2013-03-01", last_day="2013-02-28"))


def test_run_without_key_and_range_is_refused(runs, context_of):
    with pytest.raises(RunKeyInvalidError, match="has no partition key"):
        runs.run_days(context_of())


@pytest.mark.parametrize("text", ["yesterday", "2013-02-30", "2013-04-02T00:00", ""])
def test_what_is_no_day_is_refused_with_its_text(runs, context_of, text):
    with pytest.raises(RunKeyInvalidError, match="is not a day"):
        runs.run_days(context_of(first_day=text, last_day="2013-04-02"))
    if text:
        with pytest.raises(RunKeyInvalidError, match="partition key of run-1"):
            runs.run_days(context_of(text))


def test_range_as_a_partition_key_is_refused_and_the_backfill_named(runs, context_of):
    with pytest.raises(RunKeyInvalidError) as caught:
        runs.run_days(context_of("2013-04-01..2013-04-03"))
    assert caught.value.what == "'2013-04-01..2013-04-03' is not a day."
    assert "flights_backfill for a range of days" in caught.value.todo


@pytest.fixture
def live(runs, home, monkeypatch):
    """The pipeline flights as a live one, on 2013-04-05, whose first day is 2013-04-02."""
    pipeline = spec.load("flights").model_copy(update={"clock": "wall", "starts": date(2013, 4, 2)})
    monkeypatch.setattr(spec, "load", lambda _: pipeline)
    monkeypatch.setattr(pipeline_clock, "today", lambda _: date(2013, 4, 5))


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("stage", ["ingest", "transform", "score", "monitor", "train"])
def test_day_that_has_not_begun_is_refused_in_every_stage(runs, context_of, stage):
    context = context_of("2013-04-06")
    context["dag_run"].dag_id = f"flights_{stage}"
    with pytest.raises(RunKeyInvalidError, match="2013-04-06 has not begun: it is 2013-04-05") as caught:
        runs.run_days(context)
    assert caught.value.allowed == "a day up to 2013-04-05"
    context = context_of("2013-04-05")
    context["dag_run"].dag_id = f"flights_{stage}"
    assert runs.run_days(context) == ["2013-04-05"]


@pytest.mark.usefixtures("live")
def test_range_into_the_future_is_refused_and_one_before_the_first_day_is_not(runs, context_of):
    context = context_of(first_day="2013-04-01", last_day="2013-04-06")
    context["dag_run"].dag_id = "flights_backfill"
    with pytest.raises(RunKeyInvalidError, match="2013-04-06 has not begun"):
        runs.run_days(context)
    context = context_of(first_day="2013-03-31", last_day="2013-04-01")
    context["dag_run"].dag_id = "flights_backfill"
    assert runs.run_days(context) == ["2013-03-31", "2013-04-01"]


@pytest.mark.usefixtures("live")
def test_ingest_before_the_first_day_is_refused_and_the_backfill_named(runs, context_of):
    with pytest.raises(RunKeyInvalidError, match="2013-04-01 is before the first day of flights") as caught:
        runs.run_days(context_of("2013-04-01"))
    assert "flights_backfill" in caught.value.todo
    assert runs.run_days(context_of("2013-04-02")) == ["2013-04-02"]


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("stage", ["transform", "score", "monitor"])
def test_day_before_the_first_is_refused_in_a_later_stage_unless_it_was_loaded(
    runs, context_of, stage, monkeypatch
):
    context = context_of("2013-04-01")
    context["dag_run"].dag_id = f"flights_{stage}"
    with pytest.raises(
        RunKeyInvalidError, match=r"2013-04-01 is before .* and nothing is published of it"
    ) as caught:
        runs.run_days(context)
    assert "flights_backfill" in caught.value.allowed
    rows = pa.table({"id": [1], "ds": pa.array([date(2013, 3, 31)], pa.date32())})
    about = {"partitions": ["2013-03-31"], "received": 1, "dropped": {}, "inputs": [], "sort_by": ["id"]}
    tables.publish(
        batches.stage("flights", "arrivals", rows, run=Run(dag_id="flights_backfill", run_id="b"), **about),
        verdict_id="v",
    )
    assert runs.run_days(context) == ["2013-04-01"]


@pytest.mark.usefixtures("live")
def test_ingest_of_a_day_without_a_run_is_refused_unless_something_was_delivered_for_it(
    runs, context_of, home, feed_cache, monkeypatch
):
    home.mkdir()
    (home / "landing").mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    mondays = spec.load("flights").model_copy(update={"schedule": "0 4 * * 1"})
    monkeypatch.setattr(spec, "load", lambda _: mondays)
    with pytest.raises(
        RunKeyInvalidError, match="flights does not run on 2013-04-03, and nothing was"
    ) as caught:
        runs.run_days(context_of("2013-04-03"))
    assert "'0 4 * * 1'" in caught.value.allowed
    feed.deliver(mondays, "2013-04-03", sources=["arrivals"])
    assert runs.run_days(context_of("2013-04-03")) == ["2013-04-03"]
    assert completion.due_sources(mondays, ["2013-04-03"]) == ["arrivals"]
    context = context_of("2013-04-04")
    context["dag_run"].dag_id = "flights_transform"
    assert runs.run_days(context) == ["2013-04-04"], "only what is delivered comes on days of the schedule"


def test_live_pipeline_without_a_first_day_takes_any_day_that_has_begun(runs, live, context_of, monkeypatch):
    without = spec.load("flights").model_copy(update={"starts": None})
    monkeypatch.setattr(spec, "load", lambda _: without)
    assert runs.run_days(context_of("2013-01-02")) == ["2013-01-02"]


@pytest.mark.parametrize(
    ("kind", "by_a_person"),
    [
        ("manual", True),
        ("backfill", True),
        ("asset_materialization", True),
        ("scheduled", False),
        ("asset_triggered", False),
    ],
)
def test_run_is_a_persons_where_a_form_or_a_backfill_has_made_it(runs, kind, by_a_person):
    assert runs.asked_for_by_a_person(SimpleNamespace(run_type=kind)) is by_a_person


@pytest.mark.parametrize("wrong", ["first_day", "last_day"])
def test_day_of_a_range_that_is_none_is_refused_with_the_name_of_its_field(runs, context_of, wrong):
    days = {"first_day": "2013-04-02", "last_day": "2013-04-03", wrong: "2013-02-30"}
    with pytest.raises(RunKeyInvalidError) as caught:
        runs.run_days(context_of(**days))
    assert caught.value.where == wrong


def test_replayed_pipeline_has_no_future_and_no_first_day(runs, context_of):
    assert runs.run_days(context_of("2199-01-01")) == ["2199-01-01"]


def test_result_of_a_task_that_was_marked_as_successful_is_refused_with_what_to_clear(runs):
    assert runs.result_of("stage_arrivals", "a-batch") == "a-batch"
    assert runs.result_of("decide_retrain", False) is False
    with pytest.raises(ResultMissingError) as caught:
        runs.result_of("stage_arrivals", None)
    assert "marked so by hand" in caught.value.what
    assert "clear stage_arrivals" in caught.value.todo


def test_task_whose_input_is_awaited_is_skipped_and_any_other_error_is_not(runs):
    from airflow.sdk.exceptions import AirflowSkipException

    awaited = InputAwaitedError("Arrivals are held.", where="flights.arrivals", todo="wait")
    with pytest.raises(AirflowSkipException, match="Arrivals are held"), runs.skipped_while_awaited():
        raise awaited
    with pytest.raises(SpecInvalidError), runs.skipped_while_awaited():
        raise SpecInvalidError("Wrong.", where="here", todo="mend it")


def test_superseded_publish_is_skipped_only_where_readers_see_newer_rows(runs):
    from airflow.sdk.exceptions import AirflowSkipException

    superseded = BatchSupersededError(
        "An input was corrected.", where="flights.features", todo="run it again"
    )
    with pytest.raises(BatchSupersededError), runs.skipped_if_superseded():
        raise superseded
    superseded.readers_see_newer = True
    with pytest.raises(AirflowSkipException, match="An input was corrected"), runs.skipped_if_superseded():
        raise superseded
