"""Tasks of `<pipeline>_ingest` beside the crossings."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import TaskGroup, get_current_context, task

from sluice.declare import spec
from sluice.orchestration import assets
from sluice.orchestration.callbacks import mail_completed
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import run_days, run_info, skipped_while_awaited

# Skipped sources were not due.
_ALL_PUBLISHED = "none_failed_min_one_success"


def find_deliveries(pipeline: spec.Pipeline):
    """Look into the landing zone and follow the sources that are due; the others are skipped for this run."""
    return _find_deliveries.override(task_id="find_deliveries")(pipeline.pipeline)


def complete_day(pipeline: spec.Pipeline, *, announce: bool = True):
    """Confirm, from the tables, that every source that was due is published; its asset event wakes the transform.

    Where the pipeline marks stale input, a day goes on without the sources that lag. Its run stays red until they are
    published: `confirm_sources` waits for them.
    """
    outlets = [assets.raw(pipeline)] if announce else []
    complete = _complete_day.override(task_id="complete_day", outlets=outlets)
    if not announce or pipeline.stale_input == "refuse":
        return complete.override(trigger_rule=_ALL_PUBLISHED)(pipeline.pipeline)
    with TaskGroup("day", prefix_group_id=False) as group:
        complete.override(trigger_rule="all_done_min_one_success")(pipeline.pipeline, lenient=True)
        # Without a callback the scheduler ends it by itself, and starts no process.
        EmptyOperator(task_id="confirm_sources", trigger_rule=_ALL_PUBLISHED, on_success_callback=None)
    return group


@task.branch
@explain_failure
def _find_deliveries(pipeline_name: str) -> list[str]:
    from sluice.ingest.completion import due_sources

    pipeline = spec.load(pipeline_name)
    return due_sources(pipeline, run_days(get_current_context()))


@task
@explain_failure
def _complete_day(pipeline_name: str, lenient: bool = False) -> dict[str, int]:
    from sluice.ingest.completion import complete

    context = get_current_context()
    with skipped_while_awaited():
        snapshots = complete(spec.load(pipeline_name), run_days(context), run_info(context), lenient=lenient)
    mail_completed(spec.load(pipeline_name), run_days(context))
    return snapshots
