"""Tasks of `<pipeline>_ingest` beside the crossings."""

from __future__ import annotations

from airflow.sdk import get_current_context, task

from sluice import spec
from sluice.orchestration import assets
from sluice.orchestration.runs import run_days, run_info


def find_deliveries(pipeline: spec.Pipeline):
    """Look into the landing zone and follow the sources that are due; the others are skipped for this run."""
    return _find_deliveries.override(task_id="find_deliveries")(pipeline.pipeline)


def complete_day(pipeline: spec.Pipeline, *, announce: bool = True):
    """Confirm, from the tables, that every source that was due is published; its asset event wakes the transform."""
    outlets = [assets.raw(pipeline)] if announce else []
    return _complete_day.override(
        task_id="complete_day", outlets=outlets, trigger_rule="none_failed_min_one_success"
    )(pipeline.pipeline)


@task.branch
def _find_deliveries(pipeline_name: str) -> list[str]:
    from sluice.ingest.completion import due_sources

    pipeline = spec.load(pipeline_name)
    return due_sources(pipeline, run_days(get_current_context()))


@task
def _complete_day(pipeline_name: str) -> dict[str, int]:
    from sluice.ingest.completion import complete

    context = get_current_context()
    return complete(spec.load(pipeline_name), run_days(context), run_info(context))
