"""Tasks of `<pipeline>_watch`. What is found is told by mail and in the ledger.

The tasks fail only if they cannot look; and `check_declaration`, where what is declared cannot be used.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context, task

from sluice.declare import spec
from sluice.orchestration.callbacks import mail_event, mail_roll_back, smtp, task_url
from sluice.orchestration.declaration import check_declaration
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import run_info

if TYPE_CHECKING:
    from sluice.lake.rewrites import Rewrite

log = logging.getLogger(__name__)


def watch_tasks(pipeline: spec.Pipeline) -> None:
    """Look for what did not happen and what should not have, then send what could not be sent before.

    What it has looked through is on the page of the catalogue, which it writes anew.
    """
    name = pipeline.pipeline
    looked = [
        check_declaration(name),
        _check_deadlines.override(task_id="check_deadlines")(name),
        _check_landing.override(task_id="check_landing")(name),
        _check_history.override(task_id="check_history")(name),
        _check_expiries.override(task_id="check_expiries")(name),
    ]
    looked >> _send_notices.override(task_id="send_notices", trigger_rule="all_done")(name)
    _write_catalogue.override(task_id="write_catalogue")(name)


@task
@explain_failure
def _check_deadlines(pipeline_name: str) -> list[str]:
    """Returns the deliveries that are overdue, in sentences."""
    from sluice import watch
    from sluice.notify import report

    pipeline = spec.load(pipeline_name)
    found = watch.missed_deliveries(pipeline)
    for missed in found:
        event = report.of_missed_deadline(
            pipeline,
            missed.source,
            missed.day,
            deadline=missed.deadline,
            run_day=missed.run_day,
            task_url=_own_url(),
        )
        mail_event(pipeline, event)
    return _logged([missed.sentence() for missed in found])


@task
@explain_failure
def _check_landing(pipeline_name: str) -> list[str]:
    """Returns what lies in the landing zone and is no delivery, in sentences; only what is new is mailed."""
    from sluice import notify, watch
    from sluice.notify import faults, report

    pipeline = spec.load(pipeline_name)
    found = watch.unexpected_files(pipeline)
    reported = faults.reported_names(pipeline_name)
    if event := report.of_unexpected_files(pipeline, found, reported=reported, task_url=_own_url()):
        mail_event(pipeline, event)
    notify.close_removed(pipeline, found, smtp(pipeline))
    return _logged([entry.sentence() for entry in found.entries])


@task
@explain_failure
def _check_history(pipeline_name: str) -> list[str]:
    """Returns the published partitions that were rewritten, in sentences."""
    from sluice import notify, watch

    pipeline = spec.load(pipeline_name)
    found = watch.rewritten_history(pipeline)
    for rewrite in found:
        mail_rewritten(pipeline, rewrite, _own_url())
    still = {(rewrite.table, rewrite.day) for rewrite in found}
    for table, day in watch.restored(pipeline, still):
        notify.close_matching(pipeline, table, day, smtp(pipeline))
    return _logged([rewrite.sentence() for rewrite in found])


@task
@explain_failure
def _check_expiries(pipeline_name: str) -> list[str]:
    """Returns the holds that have expired, and the waivers that are over while their rows are still shown."""
    from sluice import holds, watch
    from sluice.notify import report

    pipeline = spec.load(pipeline_name)
    expired = holds.expire(pipeline, run_info(get_current_context()))
    lapsed = watch.lapsed_waivers(pipeline)
    for waiver in lapsed:
        mail_event(pipeline, report.of_waiver_expired(pipeline, waiver, task_url=_own_url()))
    return _logged(
        [
            *(
                f"{hold.table} {hold.partition} was held for too long: it is tried no more by itself."
                for hold in expired
            ),
            *(watch.lapse(waiver) for waiver in lapsed),
            *(rebuild.sentence() for rebuild in watch.rebuilds(pipeline)),
        ]
    )


@task
@explain_failure
def _send_notices(pipeline_name: str) -> int:
    """Returns how many mails were sent that could not be sent before; a roll-back by the command is told of here, too."""
    from sluice import notify

    pipeline = spec.load(pipeline_name)
    server = smtp(pipeline)
    sent = notify.retry_failed(pipeline, server)
    notify.digest(pipeline, server)
    notify.tell_stakeholders(pipeline, server)
    # Last: it looks into the lake and the landing zone, and what cannot be reached stops no other mail.
    if pipeline.has_model:
        _tell_roll_backs(pipeline)
    return len(sent)


def _tell_roll_backs(pipeline: spec.Pipeline) -> None:
    from sluice import notify, status
    from sluice.models import roles, rolled_back

    untold = notify.untold_roll_backs(pipeline)
    waiting = status.to_score_again(pipeline) if untold else []
    for entry in untold:
        made = rolled_back.made_before(pipeline, entry)
        # One that another decision followed names of them only what its own champion made.
        again = [day for day in waiting if day in made or entry.seq == roles.current(pipeline).since]
        mail_roll_back(get_current_context(), pipeline, entry, made, again)


@task
@explain_failure
def _write_catalogue(pipeline_name: str) -> str:
    """Returns the address of the page."""
    from sluice.core.links import evidence_url
    from sluice.status import catalogue

    page = catalogue.write(catalogue.read(spec.load(pipeline_name)))
    return evidence_url(page)


def mail_rewritten(pipeline: spec.Pipeline, rewrite: Rewrite, link: str) -> None:
    """Send the mail about a published partition that is not what was published."""
    from sluice.notify import report

    diff = rewrite.diff or {}
    event = report.of_rewritten(
        pipeline,
        rewrite.table,
        rewrite.day,
        recorded=rewrite.found.recorded.sha256 if rewrite.found.recorded else "",
        found=rewrite.found.sha256 or "",
        recorded_rows=rewrite.found.recorded.rows if rewrite.found.recorded else None,
        found_rows=rewrite.found.shown.rows if rewrite.found.shown else None,
        diff={name: diff[name] for name in ("added", "removed", "changed") if name in diff},
        sample=[{**one["key"], **(one["after"] or {})} for one in diff.get("examples", [])],
        page=rewrite.report,
        task_url=link,
    )
    mail_event(pipeline, event)


def _own_url() -> str:
    return task_url(get_current_context()["ti"])


def _logged(found: list[str]) -> list[str]:
    for sentence in found:
        log.warning("%s", sentence)
    return found
