"""The pieces that every DAG file is put together from: a DAG with the house's defaults, and a crossing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    TaskGroup,
)

from sluice.core.settings import settings
from sluice.declare.spec import BrokenPipeline, Pipeline
from sluice.orchestration.callbacks import mail_failed_run, mail_failure, mail_success
from sluice.orchestration.failures import RETRY_POLICY
from sluice.orchestration.operators import AuditOperator, PublishOperator, StageOperator
from sluice.orchestration.runs import result_of

# Tasks that load a table or fit a model take turns, so that two of them never share one machine's memory.
HEAVY_POOL = "sluice_heavy"


def stage_dag(
    spec: Pipeline | BrokenPipeline, stage: str, *, schedule: Any, doc: str | None, **kwargs: Any
) -> DAG:
    """A DAG `<pipeline>_<stage>` with owner, retries, timeouts, mail and tags."""
    kwargs.setdefault("max_active_runs", 4)
    kwargs.setdefault("catchup", False)
    kwargs.setdefault("dagrun_timeout", timedelta(hours=2))
    kwargs.setdefault("dag_id", f"{spec.pipeline}_{stage}")
    return DAG(
        dag_display_name=f"{spec.pipeline} {stage}",
        schedule=schedule,
        doc_md=doc,
        tags=[f"pipeline:{spec.pipeline}", f"stage:{stage}", "tier:1"],
        on_failure_callback=mail_failed_run,
        # For templates that take the result of another task.
        user_defined_macros={"result_of": result_of},
        default_args={
            "owner": spec.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=settings().retry_seconds),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=10),
            "retry_policy": RETRY_POLICY,
            "execution_timeout": timedelta(minutes=15),
            "on_failure_callback": mail_failure,
            "on_success_callback": mail_success,
        },
        **kwargs,
    )


def by_the_clock(spec: Pipeline, cron: str) -> Any:
    """The schedule of a DAG that looks after a live pipeline; of a replayed one, whoever moves its feed triggers it."""
    if spec.clock == "feed":
        return None
    return CronTriggerTimetable(cron, timezone=spec.timezone)


def crossing(
    spec: Pipeline, table: str, *, outlets: Sequence[Asset] = (), pool: str | None = None
) -> TaskGroup:
    """Stage, audit and publish (or hold) one table: the task group `<table>`."""
    common: dict[str, Any] = {"pipeline": spec.pipeline, "table": table, "owner": spec.owner_of(table)}
    if pool:
        common["pool"] = pool
    with TaskGroup(table) as group:
        staged = StageOperator(task_id=f"stage_{table}", **common)
        audited = AuditOperator(task_id=f"audit_{table}", batch_id=staged.output, **common)
        published = PublishOperator(
            task_id=f"publish_{table}", batch_id=audited.output, outlets=list(outlets), **common
        )
        staged >> audited >> published
    return group
