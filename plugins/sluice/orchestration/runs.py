"""What a task needs to know of the run it is part of. Dates come from the partition key, never from logical_date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any, TypeVar

from sluice.core import dag_ids
from sluice.core.errors import (
    BatchSupersededError,
    DayInvalidError,
    InputAwaitedError,
    ResultMissingError,
    RunKeyInvalidError,
)
from sluice.core.partitions import DAY_FORMAT, day_of, days_between, read_day
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec

_Result = TypeVar("_Result")
# Stages that work on what was ingested.
_BUILT = ("transform", "score", "monitor")


def run_days(context: Mapping[str, Any]) -> list[str]:
    """The days (YYYY-MM-DD) that a run works on: its partition key, or the range of its `first_day`/`last_day`.

    Raises:
        RunKeyInvalidError: there is neither, one of them is no day, they are not in order, or the pipeline does not work
            on such a day: it has not begun, or is before the first day of a pipeline that has one.
    """
    run, params = context["dag_run"], context["params"]
    where = f"{run.dag_id} {run.run_id}"
    pipeline_name, stage = dag_ids.parts(run.dag_id)
    if not run.partition_key and "first_day" not in params:
        raise RunKeyInvalidError(
            "This run has no partition key.",
            where=where,
            allowed="a day, YYYY-MM-DD",
            todo="trigger the DAG again and fill in the partition key, under Advanced Options",
        )
    try:
        if run.partition_key:
            first = last = read_day(run.partition_key, where=f"partition key of {run.run_id}")
        else:
            first = read_day(params["first_day"], where="first_day")
            last = read_day(params["last_day"], where="last_day")
    except DayInvalidError as error:
        raise RunKeyInvalidError(
            error.what,
            where=error.where,
            allowed=DAY_FORMAT,
            todo=f"trigger {run.dag_id} again with one day, or {pipeline_name}_backfill for a range of days",
        ) from error
    if last < first:
        raise RunKeyInvalidError(
            f"last_day {last} is before first_day {first}.",
            where=where,
            todo="trigger the DAG again with the days in order",
        )
    _require_in_time(spec.load(pipeline_name), stage, first, last, where=where)
    return days_between(day_of(first), day_of(last))


def _require_in_time(pipeline: spec.Pipeline, stage: str, first: date, last: date, *, where: str) -> None:
    """Refuse days of a live pipeline that have not begun; those before its first day, unless they were loaded; for ingest those on
    which it does not run."""
    if pipeline.clock != "wall":
        return
    today = pipeline_clock.today(pipeline)
    if last > today:
        raise RunKeyInvalidError(
            f"The day {last} has not begun: it is {today} in {pipeline.timezone}.",
            where=where,
            allowed=f"a day up to {today}",
            todo="leave it to the schedule, or trigger the DAG again with a day that has begun",
        )
    if stage == "ingest" and pipeline.starts and first < pipeline.starts:
        raise RunKeyInvalidError(
            f"The day {first} is before the first day of {pipeline.pipeline}, {pipeline.starts}.",
            where=where,
            allowed=f"a day from {pipeline.starts} on",
            todo=f"trigger {pipeline.pipeline}_backfill to load earlier days",
        )
    if (
        stage in _BUILT
        and pipeline.starts
        and first < pipeline.starts
        and not _is_loaded(pipeline, day_of(first))
    ):
        raise RunKeyInvalidError(
            f"The day {first} is before the first day of {pipeline.pipeline}, {pipeline.starts}, and nothing is published of it.",
            where=where,
            allowed=f"a day from {pipeline.starts} on, or one that {pipeline.pipeline}_backfill has loaded",
            todo="trigger the DAG again with the day that was meant",
        )
    if stage == "ingest" and not _is_taken(pipeline, day_of(first)):
        raise RunKeyInvalidError(
            f"{pipeline.pipeline} does not run on {first}, and nothing was delivered for that day.",
            where=where,
            allowed=f"a day on which its schedule {pipeline.schedule!r} fires, or for which something was delivered",
            todo="choose one of them, or correct the schedule",
        )


def _is_loaded(pipeline: spec.Pipeline, run_day: str) -> bool:
    """Whether readers see a day of a source that the run of a day lands."""
    from sluice.lake import tables

    return any(
        tables.published(pipeline.pipeline, source, day, day)
        for source in pipeline.sources
        for day in [pipeline.data_day(source, run_day)]
    )


def _is_taken(pipeline: spec.Pipeline, run_day: str) -> bool:
    from sluice.ingest import deliveries, waiting

    if deliveries.is_run_day(pipeline, run_day):
        return True
    return any(waiting.is_delivered(pipeline, source, run_day) for source in pipeline.sources)


def asked_for_by_a_person(run: Any) -> bool:
    """Whether a person started a run, by Airflow's form or its backfill, and so sees by themselves how it ends."""
    return run.run_type in ("manual", "backfill", "asset_materialization")


def result_of(task_id: str, result: _Result | None) -> _Result:
    """Return what another task of the run has returned.

    Raises:
        ResultMissingError: it has returned nothing, because it was marked as successful and did not do its work.
    """
    if result is None:
        raise ResultMissingError(
            f"The task {task_id} of this run counts as successful and has no result: it was marked so by hand, and has "
            "not done its work.",
            where=task_id,
            todo=f"clear {task_id} and what is downstream of it: it does its work, and the rest follows",
        )
    return result


def run_day(context: Mapping[str, Any]) -> str:
    """The one day of a partitioned run, or the last day of a range."""
    return run_days(context)[-1]


def run_info(context: Mapping[str, Any]) -> Run:
    """What manifests and ledger entries say about the run that wrote them."""
    ti = context["ti"]
    return Run.of_task(ti.dag_id, ti.run_id, ti.task_id, ti.try_number)


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
