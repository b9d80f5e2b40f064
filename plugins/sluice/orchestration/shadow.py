"""Tasks about a challenger in shadow: scored after the day's predictions are published, decided on by `<pipeline>_monitor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from sluice.declare import spec
from sluice.orchestration import assets
from sluice.orchestration.callbacks import mail_approval, mail_refusal
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import run_day, run_info
from sluice.orchestration.stages import HEAVY_POOL

if TYPE_CHECKING:
    from sluice.ledger import Entry


def score_challenger(pipeline: spec.Pipeline) -> Any:
    """Score the day with the challenger, if there is one; no other task waits for it."""
    return _score_challenger.override(task_id="score_challenger", pool=HEAVY_POOL)(pipeline.pipeline)


def judge_challenger(pipeline: spec.Pipeline) -> Any:
    """Decide on the challenger when its days are in; the task skips itself unless it becomes champion, or a person has to decide that."""
    passed = assets.approval_request(pipeline) if pipeline.is_critical else assets.champion(pipeline)
    return _judge_challenger.override(task_id="judge_challenger", pool=HEAVY_POOL, outlets=[passed])(
        pipeline.pipeline
    )


@task
@explain_failure
def _score_challenger(pipeline_name: str) -> None:
    from sluice.models import shadow

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    _tell(context, pipeline, shadow.score(pipeline, run_day(context), run_info(context)))


@task
@explain_failure
def _judge_challenger(pipeline_name: str) -> str:
    """Returns what was decided; a challenger that waits for a person wakes the DAG that asks again, once a day, in case that was lost."""
    from sluice.models import challenger, shadow

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    decided = shadow.judge(pipeline, run_day(context), run_info(context))
    _tell(context, pipeline, decided)
    if decided is None and pipeline.is_critical and (asked := challenger.waiting(pipeline)):
        return f"Version {asked.record.version} waits for a person."
    if decided is None or decided.kind != "audited":
        raise AirflowSkipException("No challenger passed its shadow in this run.")
    if pipeline.is_critical:
        mail_approval(context, pipeline, decided.record)
    return " ".join(decided.record.reasons)


def _tell(context: Any, pipeline: spec.Pipeline, decided: Entry | None) -> None:
    """Mail a challenger that was refused."""
    if decided is not None and decided.kind == "refused":
        mail_refusal(context, pipeline, decided.record, decided.partition)
