"""Tasks of `<pipeline>_rollback`, and of the roll-back by the gate: an earlier champion scores again.

Of a critical model a person is asked first, under *Required Actions*, as before a promotion (`sluice.models.rollback_approval`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from sluice.declare import spec
from sluice.declare.spec import PREDICTIONS
from sluice.ledger.model_records import ROLLBACK_ANSWER_WITHIN
from sluice.orchestration import assets
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.operate import ANSWERS, Ask
from sluice.orchestration.runs import result_of, run_day, run_info
from sluice.orchestration.stages import HEAVY_POOL

if TYPE_CHECKING:
    from sluice.ledger import Entry
    from sluice.ledger.model_records import RolledBack
    from sluice.models.rollback_approval import Asked


def form(pipeline: spec.Pipeline) -> dict[str, Param]:
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
    features, champion = assets.by_stage(pipeline)["score"], assets.champion(pipeline)
    about: dict[str, Any] = {"task_id": "roll_back_champion", "outlets": [champion], **ANSWERS}
    again = _score_again.override(task_id="score_again", outlets=[features])
    if not pipeline.is_critical:
        decided: Any = _roll_back.override(**about)(pipeline.pipeline)
        again(pipeline.pipeline, decided)
        return
    asked: Any = _check_request.override(task_id="check_request", **ANSWERS)(pipeline.pipeline)
    decided = _roll_back_approved.override(**about)(pipeline.pipeline, asked)
    reported = _report_rollback.override(task_id="report_rollback", trigger_rule="none_failed", **ANSWERS)
    again(pipeline.pipeline, decided)
    asked >> _approve() >> decided >> reported(pipeline.pipeline, asked)


def _approve() -> ApprovalOperator:
    """Ask a person; without an answer it is rejected."""
    return Ask(
        task_id="approve_rollback",
        subject="{{ result_of('check_request', ti.xcom_pull('check_request'))['subject'] }}",
        body="{{ result_of('check_request', ti.xcom_pull('check_request'))['body'] }}",
        defaults=ApprovalOperator.REJECT,
        params={"why": Param("", type="string", description="Why you reject it; it is recorded")},
        response_timeout=ROLLBACK_ANSWER_WITHIN,
    )


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
def _check_request(pipeline_name: str) -> dict[str, Any]:
    """What is asked for, in words for whoever is asked; refused here where it is not possible. Who answers is mailed."""
    from sluice.holds import stopped
    from sluice.models import roles, rollback_approval
    from sluice.orchestration.callbacks import mail_rollback_request

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    params, by = context["params"], context["dag_run"].triggering_user_name or ""
    held = [day for table, day in stopped.read(pipeline) if table == PREDICTIONS]
    asked = rollback_approval.ask(pipeline, params["version"], by=by, why=params["why"], held=held)
    mail_rollback_request(context, pipeline, asked)
    return {
        "asked": asdict(asked),
        "subject": f"Let {roles.named(asked.version)} of {pipeline.model.name} score again, in place of {roles.named(asked.champion)}?",
        "body": rollback_approval.question(pipeline, asked),
    }


@task
@explain_failure
def _roll_back(pipeline_name: str) -> dict[str, Any]:
    """Returns what was decided; a repetition of the same run returns what it decided then."""
    return _decide(pipeline_name)


@task
@explain_failure
def _roll_back_approved(pipeline_name: str, found: dict[str, Any]) -> dict[str, Any]:
    """As `_roll_back`, of what a person has approved."""
    asked, answer = _asked(found), _answer(get_current_context())
    return _decide(pipeline_name, approved_by=answer["by"], since=asked.since)


def _decide(pipeline_name: str, **approved: Any) -> dict[str, Any]:
    from sluice.models import roles

    context = get_current_context()
    params, by = context["params"], context["dag_run"].triggering_user_name or ""
    entry = roles.roll_back(
        spec.load(pipeline_name),
        params["version"],
        by=by,
        why=params["why"],
        run=run_info(context),
        **approved,
    )
    return {"entry": entry.seq, "decided": entry.record.reasons[0]}


@task
@explain_failure
def _report_rollback(pipeline_name: str, found: dict[str, Any]) -> str:
    """Rolled back and on whose word, or rejected by whom, which is recorded."""
    from sluice.models import rollback_approval

    context, asked = get_current_context(), _asked(found)
    answer = _answer(context)
    if answer["approved"]:
        return str(result_of("roll_back_champion", context["ti"].xcom_pull("roll_back_champion"))["decided"])
    entry = rollback_approval.reject(
        spec.load(pipeline_name), asked, by=answer["by"], why=answer["why"], run=run_info(context)
    )
    return entry.record.reasons[0]


def _asked(found: dict[str, Any]) -> Asked:
    from sluice.models import rollback_approval

    return rollback_approval.Asked(**result_of("check_request", found)["asked"])


def _answer(context: Any) -> dict[str, Any]:
    """Whether it was approved, why not, and the name of the person who answered; "" where the time ran out."""
    return result_of("approve_rollback", context["ti"].xcom_pull("approve_rollback", key="answer"))


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
