"""What Airflow calls when a task has finally failed, and when something is over: mails through this installation's SMTP.

A mail never decides what becomes of a task. One that cannot be sent is recorded in the ledger and sent later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from sluice import spec
from sluice.errors import MailUndeliveredError, SpecInvalidError
from sluice.orchestration.failures import cause_of
from sluice.partitions import partition_label
from sluice.settings import settings

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.ledger import Entry
    from sluice.notices.send import Smtp

log = logging.getLogger(__name__)


def mail_failure(context: Mapping[str, Any]) -> None:
    """Send the mail of a failed task. An undelivered mail is recorded in the ledger and raised into the task's log."""
    from sluice import notices
    from sluice.notices import report

    ti, error = context["ti"], cause_of(context.get("exception"))
    name = ti.dag_id.rsplit("_", 1)[0]
    try:
        pipeline = spec.load(name)
    except SpecInvalidError as invalid:
        broken = spec.describe_broken(name, error if isinstance(error, SpecInvalidError) else invalid)
        event = report.of_broken_declaration(name, broken.error, owner=broken.owner, task_url=task_url(ti))
        to = broken.mail_to or tuple(settings().mail_to.split(","))
        notices.deliver(event, smtp(), sender=settings().mail_from, to=to)
        return
    event = report.of_exception(
        pipeline,
        error,
        task_id=ti.task_id,
        run_id=ti.run_id,
        dag_id=ti.dag_id,
        partition=_partition(context),
        task_url=task_url(ti),
    )
    notices.deliver(event, smtp(), sender=settings().mail_from, to=pipeline.mail_to)


def mail_success(context: Mapping[str, Any]) -> None:
    """Send the RESOLVED mail of a task that had failed, and belongs to no table: those end when they are published."""
    from sluice import notices

    ti = context["ti"]
    name, task = ti.dag_id.rsplit("_", 1)[0], ti.task_id.rsplit(".", 1)[-1]
    _tell_end(name, lambda: notices.succeeded(spec.load(name), task, _partition(context), smtp()))


def mail_staged(pipeline: spec.Pipeline, table: str, partitions: Sequence[str]) -> None:
    """Send the RESOLVED mails of what ends because these days could be read, or built, at last."""
    from sluice import notices

    label = partition_label(partitions)
    _tell_end(pipeline.pipeline, lambda: notices.staged(pipeline, table, label, smtp()))


def mail_published(pipeline: spec.Pipeline, table: str, batch_id: str) -> None:
    """Send the RESOLVED mails of what ends because this batch is published."""
    from sluice import notices
    from sluice.lake import batches

    label = partition_label(batches.load(pipeline.pipeline, table, batch_id).partitions)
    _tell_end(pipeline.pipeline, lambda: notices.resolved(pipeline, table, label, smtp()))


def mail_scored(context: Mapping[str, Any], pipeline: spec.Pipeline, manifest: Manifest) -> None:
    """Send the mail of a champion that could not score these predictions, or the RESOLVED mail when one does again."""
    from sluice import notices
    from sluice.notices import report

    made_by = next((each for each in manifest.inputs if each["kind"] == "model"), None)
    if made_by is None:
        return
    if not made_by.get("problems"):
        _tell_end(pipeline.pipeline, lambda: notices.scored(pipeline, made_by["version"], smtp()))
        return
    event = report.of_damaged_model(
        pipeline,
        champion=made_by["stands_in_for"],
        version=made_by["version"],
        problems=made_by["problems"],
        task_url=task_url(context["ti"]),
    )
    try:
        notices.deliver(event, smtp(), sender=settings().mail_from, to=pipeline.mail_to)
    except MailUndeliveredError as error:  # recorded: the watcher sends it
        log.warning("%s", error)


def mail_completed(pipeline: spec.Pipeline, run_days: Sequence[str]) -> None:
    """Send the RESOLVED mails of what ends because all sources of these run days are published."""
    from sluice import notices

    _tell_end(pipeline.pipeline, lambda: notices.completed(pipeline, run_days, smtp()))


def _tell_end(pipeline: str, tell: Callable[[], list[Entry]]) -> None:
    from sluice.notices import faults

    try:
        if any(not episode.over for episode in faults.episodes(pipeline)):
            tell()
    except (
        Exception
    ):  # the work is done and recorded: a mail must not undo it, and the watcher tells what is untold
        log.exception("The end of a fault could not be told; the watcher will")


def _partition(context: Mapping[str, Any]) -> str | None:
    """The run's day, or its range, as records write it; None where it has none."""
    run, params = context["dag_run"], context.get("params") or {}
    if run.partition_key:
        return run.partition_key
    first, last = params.get("first_day"), params.get("last_day")
    return partition_label(sorted({first, last})) if first and last else None


def mail_refusal(
    context: Mapping[str, Any], pipeline: spec.Pipeline, version: int, decision: Mapping[str, Any]
) -> None:
    """Send the mail of a candidate that was refused."""
    from sluice import notices
    from sluice.notices import report

    ti = context["ti"]
    event = report.of_refusal(
        pipeline, version, decision, partition=context["dag_run"].partition_key, task_url=task_url(ti)
    )
    notices.deliver(event, smtp(), sender=settings().mail_from, to=pipeline.mail_to)


def task_url(ti: Any) -> str:
    """Where the Airflow UI shows a task instance."""
    return f"{settings().ui_url}/dags/{ti.dag_id}/runs/{ti.run_id}/tasks/{ti.task_id}"


def smtp() -> Smtp:
    """The SMTP server that the configured Airflow connection names."""
    from sluice.notices.send import Smtp

    name = settings().smtp_connection
    connection = BaseHook.get_connection(name)
    extra = connection.extra_dejson
    tls: Literal["none", "starttls", "ssl"] = "ssl"
    if extra.get("disable_ssl", False):
        tls = "none" if extra.get("disable_tls", False) else "starttls"
    return Smtp(
        host=connection.host or "localhost",
        port=connection.port or {"ssl": 465, "starttls": 587, "none": 25}[tls],
        user=connection.login or "",
        password=connection.password or "",
        tls=tls,
        connection=name,
    )
