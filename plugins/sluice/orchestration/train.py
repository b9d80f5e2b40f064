"""Tasks of `<pipeline>_train`: a candidate crosses to champion as a batch crosses to a table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from sluice.declare import spec
from sluice.orchestration import assets
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import result_of, run_day, run_info
from sluice.orchestration.stages import HEAVY_POOL


def candidate_crossing(pipeline: spec.Pipeline) -> None:
    """Stage, audit and promote (or refuse) one candidate model."""
    # A reference to the task's result, which Airflow fills in when the next task runs.
    version: Any = _stage_candidate.override(
        task_id="stage_candidate", pool=HEAVY_POOL, execution_timeout=timedelta(hours=1)
    )(pipeline.pipeline)
    audited = _audit_candidate.override(task_id="audit_candidate", pool=HEAVY_POOL)(
        pipeline.pipeline, version
    )
    promoted = _promote_candidate.override(task_id="promote_candidate", outlets=[assets.champion(pipeline)])(
        pipeline.pipeline, version
    )
    audited >> promoted


@task
@explain_failure
def _stage_candidate(pipeline_name: str) -> int:
    from sluice.models import training, trainset

    context = get_current_context()
    pipeline, day, run = spec.load(pipeline_name), run_day(context), run_info(context)
    reason = trainset.skip_reason(pipeline, day, run)
    if reason:
        raise AirflowSkipException(reason)
    asked_by = context["dag_run"].triggering_user_name or ""
    return training.stage_candidate(pipeline, day, run, asked_by=asked_by)


@task.short_circuit
@explain_failure
def _audit_candidate(pipeline_name: str, version: int) -> bool:
    from sluice.models import parity, training
    from sluice.orchestration.callbacks import mail_refusal
    from sluice.transform import replay

    context = get_current_context()
    pipeline, version = spec.load(pipeline_name), result_of("stage_candidate", version)
    day = run_day(context)
    replayed = replay.check(pipeline, day) if pipeline.model.gate.replay else None
    served = parity.check(pipeline, version) if pipeline.model.gate.parity else None
    decision = training.audit_candidate(
        pipeline, version, day, run_info(context), replayed=replayed, served=served
    )
    if not decision.promote:
        mail_refusal(context, pipeline, decision, day)
    return decision.promote


@task
@explain_failure
def _promote_candidate(pipeline_name: str, version: int) -> dict[str, Any]:
    from sluice.models import training

    context, version = get_current_context(), result_of("stage_candidate", version)
    done = training.promote_candidate(spec.load(pipeline_name), version, run_day(context), run_info(context))
    if done["in_shadow"]:
        raise AirflowSkipException(
            f"Version {version} scores in shadow first: entry {done['ledger']} of the ledger."
        )
    return done
