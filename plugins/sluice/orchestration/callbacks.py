"""What Airflow calls when a task has finally failed: one mail, through the SMTP connection of this installation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from sluice import spec
from sluice.settings import settings

if TYPE_CHECKING:
    from sluice.notices.send import Smtp


def mail_failure(context: Mapping[str, Any]) -> None:
    """Send the mail of a failed task. An undelivered mail is recorded in the ledger and raised into the task's log."""
    from sluice.notices import report, send

    ti = context["ti"]
    pipeline = spec.load(ti.dag_id.rsplit("_", 1)[0])
    event = report.of_exception(
        pipeline,
        context.get("exception"),
        task_id=ti.task_id,
        run_id=ti.run_id,
        partition=context["dag_run"].partition_key,
        task_url=task_url(ti),
    )
    send.deliver(event, smtp(), sender=settings().mail_from, to=pipeline.mail_to)


def mail_refusal(
    context: Mapping[str, Any], pipeline: spec.Pipeline, version: int, decision: Mapping[str, Any]
) -> None:
    """Send the mail of a candidate that was refused."""
    from sluice.notices import report, send

    ti = context["ti"]
    event = report.of_refusal(
        pipeline, version, decision, partition=context["dag_run"].partition_key, task_url=task_url(ti)
    )
    send.deliver(event, smtp(), sender=settings().mail_from, to=pipeline.mail_to)


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
