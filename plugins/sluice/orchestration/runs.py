"""What a task needs to know of the run it is part of. Dates come from the partition key, never from logical_date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sluice.errors import BatchSupersededError, InputAwaitedError, SpecInvalidError
from sluice.partitions import days_between, read_day
from sluice.version import run_ids


def run_days(context: Mapping[str, Any]) -> list[str]:
    """The days (YYYY-MM-DD) that a run works on: its partition key, or the range of its `first_day`/`last_day`.

    Raises:
        SpecInvalidError: there is neither, or they are not in order.
        DayInvalidError: one of them is no day.
    """
    run = context["dag_run"]
    if run.partition_key:
        return [read_day(run.partition_key, where=f"partition key of {run.run_id}").isoformat()]
    params = context["params"]
    if "first_day" not in params:
        raise SpecInvalidError(
            "This run has no partition key.",
            where=f"{run.dag_id} {run.run_id}",
            allowed="a day, YYYY-MM-DD",
            todo="trigger the DAG again and fill in the partition key, under Advanced Options",
        )
    first = read_day(params["first_day"], where="first_day")
    last = read_day(params["last_day"], where="last_day")
    if last < first:
        raise SpecInvalidError(
            f"last_day {last} is before first_day {first}.",
            where=f"{run.dag_id} {run.run_id}",
            todo="trigger the DAG again with the days in order",
        )
    return days_between(first.isoformat(), last.isoformat())


def run_day(context: Mapping[str, Any]) -> str:
    """The one day of a partitioned run, or the last day of a range."""
    return run_days(context)[-1]


def run_info(context: Mapping[str, Any]) -> dict[str, str]:
    """What manifests and ledger entries say about the run that wrote them."""
    ti = context["ti"]
    return run_ids(ti.dag_id, ti.run_id, ti.task_id, ti.try_number)


@contextmanager
def skipped_while_awaited() -> Iterator[None]:
    """Skip a task whose input is held or missing, where the pipeline goes on without: the cause was told already."""
    from airflow.sdk.exceptions import AirflowSkipException

    try:
        yield
    except InputAwaitedError as error:
        raise AirflowSkipException(str(error)) from error


@contextmanager
def skipped_if_superseded() -> Iterator[None]:
    """Skip a task whose batch readers need no more, because they see newer rows: nothing is left to be done."""
    from airflow.sdk.exceptions import AirflowSkipException

    try:
        yield
    except BatchSupersededError as error:
        if not error.readers_see_newer:
            raise
        raise AirflowSkipException(str(error)) from error
