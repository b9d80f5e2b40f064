"""What Airflow calls when a task has finally failed, and when something is over: mails through this installation's SMTP.

A mail never decides what becomes of a task. One that cannot be sent is recorded in the ledger and sent later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseHook

from sluice.core import dag_ids
from sluice.core.errors import DayInvalidError, MailUndeliveredError, RunKeyInvalidError, SpecInvalidError
from sluice.core.partitions import Partition, read_label
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.orchestration.failures import cause_of
from sluice.orchestration.runs import asked_for_by_a_person

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.ledger import Entry
    from sluice.ledger.model_records import Choice, RolledBack
    from sluice.models.rollback_approval import Asked
    from sluice.notify.events import Event
    from sluice.notify.send import Smtp
    from sluice.notify.webhook import Webhook
    from sluice.status import Status

log = logging.getLogger(__name__)


def mail_failure(context: Mapping[str, Any]) -> None:
    """Send the mail of a failed task. An undelivered mail is recorded in the ledger and raised into the task's log."""
    from sluice.notify import faults, report

    ti, error = context["ti"], cause_of(context.get("exception"))
    name, _ = dag_ids.parts(ti.dag_id)
    about = _about_run(context, ti.dag_id, ti.run_id)
    try:
        pipeline = spec.load(name)
    except SpecInvalidError as invalid:
        _mail_broken(name, error if isinstance(error, SpecInvalidError) else invalid, task_url(ti), about)
        return
    event = report.of_exception(
        pipeline,
        error,
        task_id=ti.task_id,
        run_id=ti.run_id,
        dag_id=ti.dag_id,
        partition=_partition(context),
        task_url=task_url(ti),
    ).model_copy(update=about)
    if why := _why_not_mailed(context, pipeline, event, error):
        log.info("No mail is sent: %s", why)
        faults.withhold(event, why)
        return
    _deliver(pipeline, event)


def _why_not_mailed(
    context: Mapping[str, Any], pipeline: spec.Pipeline, event: Event, error: BaseException | None
) -> str:
    """Why nobody is to be told of a task that failed; "" where somebody is."""
    from sluice import schedule

    if isinstance(error, RunKeyInvalidError) and asked_for_by_a_person(context["dag_run"]):
        return "whoever started the run with this key sees it refused, and nothing is missing because of it"
    if event.kind == "missing_delivery" and not schedule.is_overdue(
        pipeline, event.subject, Partition.parse(event.partition or "").last
    ):
        return "not all of it is overdue; after its deadline the watcher tells of each delivery"
    return ""


def mail_failed_run(context: Mapping[str, Any]) -> None:
    """Send the mail of a run that Airflow has failed, unless the mail of one of its tasks has told of it.

    Airflow calls it in the DAG processor: where a run took too long, where its tasks block each other, and where one failed.
    Of the last a task tells itself, unless its process was killed or it was marked as failed.
    """
    from sluice.notify import failed_runs, faults

    # Where no task is behind it, Airflow gives only these.
    dag, run_id, ti, run = context["dag"], context["run_id"], context.get("ti"), context.get("dag_run")
    reason, (name, _) = context["reason"], dag_ids.parts(dag.dag_id)
    if reason == "task_failure" and ti is not None and not ti.task.has_on_failure_callback:
        return  # it answers whoever started it, and mails nobody
    about = _about_run(context, dag.dag_id, run_id)
    if faults.knows_run(name, **about):
        return
    url = f"{settings().ui_url}/dags/{dag.dag_id}/runs/{run_id}"
    try:
        pipeline = spec.load(name)
    except SpecInvalidError as invalid:
        _mail_broken(name, invalid, url, about)
        return
    event = failed_runs.of_failed_run(
        pipeline,
        dag_id=dag.dag_id,
        run_id=run_id,
        reason=reason,
        partition=_partition(context) if run else None,
        task=ti.task_id.rsplit(".", 1)[-1] if ti else "",
        run_url=url,
        limit=dag.dagrun_timeout,
    )
    _deliver(pipeline, event.model_copy(update=about))


def _about_run(context: Mapping[str, Any], dag_id: str, run_id: str) -> dict[str, Any]:
    """What an event says of the run that it was seen in."""
    cleared = getattr(context.get("dag_run"), "clear_number", None) or 0
    return {"dag_id": dag_id, "run_id": run_id, "clear_number": cleared}


def _mail_broken(name: str, error: SpecInvalidError, url: str, about: dict[str, Any]) -> None:
    """Send the mail of a pipeline whose declaration cannot be used, to whom it can still be read to belong."""
    from sluice import notify
    from sluice.notify import report

    broken = spec.describe_broken(name, error)
    event = report.of_broken_declaration(name, broken.error, owner=broken.owner, task_url=url)
    to = broken.mail_to or tuple(settings().mail_to.split(","))
    notify.deliver(event.model_copy(update=about), smtp(), sender=settings().mail_from, to=to)


def _deliver(pipeline: spec.Pipeline, event: Event) -> None:
    from sluice import notify

    notify.deliver(
        event,
        smtp(pipeline),
        sender=settings().mail_from,
        to=pipeline.mail_to,
        stakeholders=pipeline.stakeholders,
    )


def mail_success(context: Mapping[str, Any]) -> None:
    """Send the RESOLVED mail of a task that had failed, and belongs to no table: those end when they are published."""
    from sluice import notify

    ti = context["ti"]
    name, task = dag_ids.parts(ti.dag_id)[0], ti.task_id.rsplit(".", 1)[-1]

    def close() -> list[Entry]:
        pipeline = spec.load(name)
        return notify.close_succeeded(pipeline, task, _partition(context), smtp(pipeline))

    _mail_end(name, close)


def mail_published(pipeline: spec.Pipeline, table: str, batch_id: str) -> None:
    """Send the RESOLVED mails of what ends because this batch is published."""
    from sluice import notify
    from sluice.lake import batches

    label = str(batches.load(pipeline.pipeline, table, batch_id).days)
    _mail_end(pipeline.pipeline, lambda: notify.close_published(pipeline, table, label, smtp(pipeline)))


def mail_scored(context: Mapping[str, Any], pipeline: spec.Pipeline, manifest: Manifest) -> None:
    """Send the mail of a champion that could not score these predictions, or the RESOLVED mail when one does again."""
    from sluice import notify
    from sluice.notify import report

    made_by = next((each for each in manifest.inputs if each["kind"] == "model"), None)
    if made_by is None:
        return
    if not made_by.get("problems"):
        _mail_end(
            pipeline.pipeline, lambda: notify.close_scored(pipeline, made_by["version"], smtp(pipeline))
        )
        return
    event = report.of_damaged_model(
        pipeline,
        champion=made_by["stands_in_for"],
        version=made_by["version"],
        abstained=made_by.get("scored_as") == "abstain",
        problems=made_by["problems"],
        task_url=task_url(context["ti"]),
    )
    mail_event(pipeline, event)


def mail_event(pipeline: spec.Pipeline, event: Event) -> None:
    """Send a mail; one that is not taken is recorded, and sent by `send_notices` of the watcher."""
    try:
        _deliver(pipeline, event)
    except MailUndeliveredError as error:
        log.warning("%s", error)


def mail_done(pipeline: spec.Pipeline, found: Status) -> None:
    """Send the RESOLVED mails of what was started in vain, and is done or given up by now."""
    from sluice import notify

    _mail_end(pipeline.pipeline, lambda: notify.done(pipeline, found, smtp(pipeline)))


def mail_completed(pipeline: spec.Pipeline, run_days: Sequence[str]) -> None:
    """Send the RESOLVED mails of what ends because all sources of these run days are published."""
    from sluice import notify

    _mail_end(pipeline.pipeline, lambda: notify.close_completed(pipeline, run_days, smtp(pipeline)))


def _mail_end(pipeline: str, close: Callable[[], list[Entry]]) -> None:
    from sluice.notify import faults

    try:
        if any(not incident.is_resolved for incident in faults.incidents(pipeline)):
            close()
    except (
        Exception
    ):  # the work is done and recorded: a mail must not undo it, and the watcher tells what is untold
        log.exception("The end of a fault could not be told; the watcher will")


def _partition(context: Mapping[str, Any]) -> str | None:
    """The run's day, or its range, as records write it; None where it has none, or what it has is none."""
    run, params = context["dag_run"], context.get("params") or {}
    first, last = params.get("first_day"), params.get("last_day")
    given = run.partition_key or (str(Partition.of(sorted({first, last}))) if first and last else "")
    try:
        read_label(given)
    except DayInvalidError:
        return None
    return given


def mail_refusal(
    context: Mapping[str, Any], pipeline: spec.Pipeline, decided: Choice, partition: str | None
) -> None:
    """Send the mail of a candidate that was refused by the decision of a partition, whichever run tells of it.

    Of one that passed, and stays an experiment, there is nothing to say.
    """
    from sluice.notify import report

    if decided.outcome == "experiment":
        return
    mail_event(
        pipeline, report.of_refusal(pipeline, decided, partition=partition, task_url=task_url(context["ti"]))
    )


def mail_approval(context: Mapping[str, Any], pipeline: spec.Pipeline, decided: Choice) -> None:
    """Send the mail of a challenger that waits for a person."""
    from sluice.notify import report

    partition = context["dag_run"].partition_key
    mail_event(
        pipeline, report.of_approval(pipeline, decided, partition=partition, task_url=task_url(context["ti"]))
    )


def mail_rollback_request(context: Mapping[str, Any], pipeline: spec.Pipeline, asked: Asked) -> None:
    """Send the mail of a roll-back that waits for a person, once a run."""
    from sluice.notify import report

    ti = context["ti"]
    mail_event(pipeline, report.of_rollback_request(pipeline, asked, run_id=ti.run_id, task_url=task_url(ti)))


def mail_roll_back(
    context: Mapping[str, Any],
    pipeline: spec.Pipeline,
    entry: Entry[RolledBack],
    made: Sequence[str],
    again: Sequence[str],
) -> None:
    """Send the mail of a roll-back, once."""
    from sluice.notify import faults, report

    event = report.of_roll_back(pipeline, entry, made=made, again=again, task_url=task_url(context["ti"]))
    if not faults.incidents(pipeline.pipeline, event.fault):
        mail_event(pipeline, event)


def mail_stuck_model(context: Mapping[str, Any], pipeline: spec.Pipeline, why: str, *, since: str) -> None:
    """Send the mail of a model that training does not mend, once for each series of attempts."""
    from sluice.notify import faults, report

    event = report.of_stuck_model(pipeline, why, since=since, task_url=task_url(context["ti"]))
    if not faults.incidents(pipeline.pipeline, event.fault):
        mail_event(pipeline, event)


def task_url(ti: Any) -> str:
    """Where the Airflow UI shows a task instance."""
    return f"{settings().ui_url}/dags/{ti.dag_id}/runs/{ti.run_id}/tasks/{ti.task_id}"


def smtp(pipeline: spec.Pipeline | None = None) -> Smtp:
    """The SMTP server that the configured Airflow connection names, and the webhook that a pipeline declares beside it."""
    from sluice.notify.send import Smtp

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
        webhook=_webhook(pipeline.webhook_connection) if pipeline and pipeline.webhook_connection else None,
    )


def _webhook(name: str) -> Webhook:
    from sluice.notify.webhook import Webhook

    try:
        return Webhook(BaseHook.get_connection(name).password or "", name)
    except Exception as error:  # noqa: BLE001 - whatever a secrets backend raises: the mail goes out all the same
        return Webhook("", name, problem=f"it could not be read ({type(error).__name__})")
