"""The event of a run that Airflow has failed although no task has said why: it took too long, or its tasks got stuck."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sluice import ledger
from sluice.core import clock, dag_ids
from sluice.core.partitions import Partition
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ledger.records import EndsWith
from sluice.notify import reader_impact, steps
from sluice.notify.events import Event


def of_failed_run(
    spec: Pipeline,
    *,
    dag_id: str,
    run_id: str,
    reason: str,
    partition: str | None,
    task: str,
    run_url: str,
    limit: timedelta | None = None,
) -> Event:
    """A run that failed, and no mail of a task's told of it.

    It is over when what it had to publish is published, of a DAG that publishes nothing when its task succeeds.

    Args:
        reason: what Airflow's callback calls it: `timed_out`, `all_tasks_deadlocked` or `task_failure`.
        partition: the run's day, or its range; None where it has none.
        task: the one that Airflow names with it; "" where it names none.
        limit: how long a run of the DAG may take.
    """
    unpublished = _unpublished(spec, dag_id, run_id, list(Partition.parse(partition))) if partition else []
    table = ""
    if unpublished == ["raw"]:
        ends_with, table = EndsWith.of("completed"), spec.features_table or ""
    elif unpublished:
        ends_with, table = EndsWith.of("run", *unpublished), unpublished[0]
    else:
        ends_with = EndsWith.of("succeeded", task) if task else EndsWith()
    days = [spec.data_day(table, day) for day in Partition.parse(partition)] if table and partition else []
    return Event(
        kind="failed_run",
        pipeline=spec.pipeline,
        subject=dag_id,
        partition=partition,
        cause=reason,
        occurrence=run_id if partition is None else "",
        ends_with=ends_with,
        owner=spec.owner,
        effect=reader_impact.failing(spec, table or None, days, partition, day_waits=unpublished == ["raw"]),
        summary=_summary(reason, task, limit),
        facts={"Run id": run_id},
        not_published=steps.not_published(spec, table) if table else (),
        next_steps=(
            "Open the run: the task at which it stood, and its log, tell what it was waiting for.",
            "Then clear the run, or trigger the DAG again with the same partition key: what is done is not done twice.",
        ),
        links={"Run": run_url},
        occurred_at=clock.utc_now(),
    )


def _unpublished(spec: Pipeline, dag_id: str, run_id: str, days: Sequence[str]) -> list[str]:
    """What the run of these days had to publish and has not: tables, or `raw` for the sources of its days."""
    stage = dag_ids.parts(dag_id)[1]
    if stage in ("ingest", "backfill") and not _recorded("day_completed", spec, "raw", days, run_id):
        return ["raw"]
    tables = {"transform": [*spec.derived], "backfill": [*spec.derived], "score": [PREDICTIONS]}
    return [
        table
        for table in tables.get(stage, ())
        if not _recorded("published", spec, table, [spec.data_day(table, day) for day in days], run_id)
    ]


def _recorded(kind: str, spec: Pipeline, subject: str, days: Sequence[str], run_id: str) -> bool:
    found = ledger.entries(kind=kind, pipeline=spec.pipeline, subject=subject, days=Partition.of(days))
    return any(entry.run == run_id for entry in found)


def _summary(reason: str, task: str, limit: timedelta | None) -> str:
    if reason == "timed_out":
        after = f" of {limit.total_seconds() / 3600:g} hours" if limit else ""
        stood = f" The last of them to begin was {task}." if task else ""
        return f"The run took longer than its limit{after}: Airflow ended it and skipped the tasks that had not ended.{stood}"
    if reason == "all_tasks_deadlocked":
        return "No task of the run could go on, although some have not run: Airflow ended it."
    failed = f"The task {task} failed" if task else "The run failed"
    return f"{failed} without saying why: its process was killed, or somebody marked it as failed."
