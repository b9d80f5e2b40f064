"""The days of a run come from its partition key or its two params, and a wrong one is refused."""

from __future__ import annotations

import pytest

from sluice.errors import BatchSupersededError, DayInvalidError, InputAwaitedError, SpecInvalidError


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
    with pytest.raises(SpecInvalidError, match="2013-02-28 is before first_day 2013-03-01"):
        runs.run_days(context_of(first_day="2013-03-01", last_day="2013-02-28"))


def test_run_without_key_and_range_is_refused(runs, context_of):
    with pytest.raises(SpecInvalidError, match="has no partition key"):
        runs.run_days(context_of())


@pytest.mark.parametrize("text", ["yesterday", "2013-02-30", "2013-04-02T00:00", ""])
def test_what_is_no_day_is_refused_with_its_text(runs, context_of, text):
    with pytest.raises(DayInvalidError, match="is not a day"):
        runs.run_days(context_of(first_day=text, last_day="2013-04-02"))
    if text:
        with pytest.raises(DayInvalidError, match="partition key of run-1"):
            runs.run_days(context_of(text))


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
