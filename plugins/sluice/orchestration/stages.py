"""The pieces that every DAG file is put together from: a DAG with the house's defaults, and a crossing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    PartitionedAssetTimetable,
    TaskGroup,
)

from sluice.orchestration import assets
from sluice.orchestration.callbacks import mail_failure, mail_success
from sluice.orchestration.failures import RETRY_POLICY
from sluice.orchestration.operators import AuditOperator, PublishOperator, StageOperator
from sluice.settings import settings
from sluice.spec import BrokenPipeline, Pipeline

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


def daily(spec: Pipeline) -> Any:
    """When ingestion starts: by the wall clock, or, for a replayed pipeline, when its feed says that a day is in.

    The feed's timetable is one of assets: only for those does Airflow's trigger form ask for the partition key.
    """
    if spec.clock == "feed":
        return PartitionedAssetTimetable(assets=assets.deliveries(spec))
    return CronPartitionTimetable(spec.schedule, timezone=spec.timezone, key_format="%Y-%m-%d")


def in_order(spec: Pipeline) -> dict[str, Any]:
    """Settings of a DAG whose days are worked off one after the other, oldest first, however many have queued up.

    A live pipeline that says when it `starts` also makes up for the days on which no scheduler was running. Airflow then
    creates the runs in the order of their days, the next one when the one before has ended.
    """
    settings: dict[str, Any] = {"max_active_runs": 1}
    if spec.clock == "wall" and spec.starts:
        start = datetime.combine(spec.starts, time.min, ZoneInfo(spec.timezone))
        settings |= {"catchup": True, "start_date": start}
    return settings


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
