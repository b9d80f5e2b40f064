"""Tasks of `<pipeline>_train`: a candidate crosses to champion as a batch crosses to a table."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from sluice.declare import spec
from sluice.declare.spec import PREDICTIONS
from sluice.orchestration import assets
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.operate import ANSWERS
from sluice.orchestration.runs import result_of, run_day, run_info
from sluice.orchestration.stages import HEAVY_POOL

if TYPE_CHECKING:
    from sluice.ledger import Entry
    from sluice.ledger.model_records import RolledBack


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


def rollback_form(pipeline: spec.Pipeline) -> dict[str, Param]:
    """Which version shall score again, and why. Who asks is whoever triggers the DAG."""
    return {
        "version": Param(
            type="string",
            minLength=1,
            description="A version that was champion before, or `baseline` for the declared rule and no model",
        ),
        "why": Param(type="string", minLength=1, description="The reason, in a sentence; it is recorded"),
    }


def roll_back(pipeline: spec.Pipeline) -> None:
    """Let an earlier champion score again, tell who acts on predictions, and make those again that are still in time."""
    decided: Any = _roll_back.override(
        task_id="roll_back_champion", outlets=[assets.champion(pipeline)], **ANSWERS
    )(pipeline.pipeline)
    features = assets.by_stage(pipeline)["score"]
    _score_again.override(task_id="score_again", outlets=[features])(pipeline.pipeline, decided)


def roll_back_automatically(pipeline: spec.Pipeline) -> Any:
    """Let the champion before score again where the gate holds what this one made, and nothing else can be at fault.

    It hangs on the audit alone, so that the run of a day that is held still fails.
    """
    return _roll_back_automatically.override(
        task_id="roll_back_automatically",
        pool=HEAVY_POOL,
        trigger_rule="one_failed",
        outlets=[assets.champion(pipeline), assets.by_stage(pipeline)["score"]],
    )(pipeline.pipeline)


@task
@explain_failure
def _roll_back_automatically(pipeline_name: str) -> list[str]:
    """Returns the days that are scored again; skipped, with the reason, where the champion stays."""
    from sluice import holds
    from sluice.models import automatic_rollback

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    others = sorted(
        {f"{one.table} {one.partition}" for one in holds.open_batches(pipeline) if one.table != PREDICTIONS}
    )
    done = automatic_rollback.roll_back(
        pipeline, run_day(context), run_info(context), others=", ".join(others)
    )
    if isinstance(done, str):
        raise AirflowSkipException(done)
    return _mail_and_wake(context, pipeline, done)


@task
@explain_failure
def _roll_back(pipeline_name: str) -> dict[str, Any]:
    """Returns what was decided; a repetition of the same run returns what it decided then."""
    from sluice.models import roles

    context = get_current_context()
    params, by = context["params"], context["dag_run"].triggering_user_name or ""
    run = run_info(context)
    entry = roles.roll_back(spec.load(pipeline_name), params["version"], by=by, why=params["why"], run=run)
    return {"entry": entry.seq, "decided": entry.record.reasons[0]}


@task
@explain_failure
def _score_again(pipeline_name: str, decided: dict[str, Any]) -> list[str]:
    """Returns the days that are scored again: the state asks for them (`sluice.status`), and this wakes them at once."""
    from sluice.models import rolled_back

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    entry = rolled_back.read(pipeline, result_of("roll_back_champion", decided)["entry"])
    again = _mail_and_wake(context, pipeline, entry)
    if not again:
        raise AirflowSkipException("Nothing that it made is still in time.")
    return again


def _mail_and_wake(context: Any, pipeline: spec.Pipeline, entry: Entry[RolledBack]) -> list[str]:
    """Tell who acts on predictions of a roll-back, and wake the runs of those that are made again; returns their days."""
    from sluice import status
    from sluice.models import rolled_back
    from sluice.orchestration.callbacks import mail_roll_back

    made, again = rolled_back.made_before(pipeline, entry), status.to_score_again(pipeline)
    mail_roll_back(context, pipeline, entry, made, again)
    if again:
        context["outlet_events"][assets.by_stage(pipeline)["score"]].add_partitions(again)
    return again


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
