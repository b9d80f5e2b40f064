"""Tasks of `<pipeline>_monitor`: what became of the predictions, and whether that calls for a new model."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context, task

from sluice.core.links import evidence_url
from sluice.declare import spec
from sluice.orchestration import assets
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import result_of, run_day, run_info
from sluice.orchestration.shadow import judge_challenger
from sluice.orchestration.stages import HEAVY_POOL


def report_and_decide(pipeline: spec.Pipeline) -> None:
    """Report on the day's predictions and on outcomes that landed, decide, and ask for training if so decided."""
    reported = _report_days.override(task_id="report_days", pool=HEAVY_POOL)(pipeline.pipeline)
    decided: Any = _decide_retrain.override(task_id="decide_retrain")(pipeline.pipeline)
    requested = _request_training.override(
        task_id="request_training", outlets=[assets.training_request(pipeline)]
    )(pipeline.pipeline, decided)
    reported >> decided >> requested
    if pipeline.model.shadow_days:
        reported >> judge_challenger(pipeline)


@task
@explain_failure
def _report_days(pipeline_name: str) -> dict[str, str]:
    """Returns the report of each day that was reported on."""
    from sluice.models import monitoring

    context = get_current_context()
    pages = monitoring.report_days(spec.load(pipeline_name), run_day(context), run_info(context))
    return {day: evidence_url(page) for day, page in pages.items()}


@task.short_circuit
@explain_failure
def _decide_retrain(pipeline_name: str) -> bool:
    from sluice.models import monitoring
    from sluice.orchestration.callbacks import mail_stuck_model

    context = get_current_context()
    pipeline = spec.load(pipeline_name)
    decision = monitoring.decide(pipeline, run_day(context), run_info(context))
    if decision["person"]:
        mail_stuck_model(context, pipeline, decision["person"], since=decision["person_since"])
    return bool(decision["action"] == "retrain")


@task
@explain_failure
def _request_training(pipeline_name: str, decided: bool) -> dict[str, Any]:
    from sluice.models import monitoring

    result_of("decide_retrain", decided)
    context = get_current_context()
    return monitoring.record_request(spec.load(pipeline_name), run_day(context), run_info(context))
