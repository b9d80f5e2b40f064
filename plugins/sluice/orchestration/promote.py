"""Tasks of `<pipeline>_promote`: a person decides on a challenger of a critical model, under *Required Actions*."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from sluice.core import clock
from sluice.declare import spec
from sluice.ledger.model_records import ANSWER_WITHIN
from sluice.orchestration import assets
from sluice.orchestration.callbacks import mail_refusal
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.operate import Ask
from sluice.orchestration.runs import result_of, run_info

if TYPE_CHECKING:
    from sluice.ledger import Entry
    from sluice.ledger.model_records import ApprovalRequested


def approval_of_challenger(pipeline: spec.Pipeline) -> None:
    """Find who waits, ask a person, let it become champion, and report."""
    asked: Any = _find_challenger.override(task_id="find_challenger")(pipeline.pipeline)
    approved = _AskInTime(
        task_id="approve_promotion",
        subject="{{ result_of('find_challenger', ti.xcom_pull('find_challenger'))['subject'] }}",
        body="{{ result_of('find_challenger', ti.xcom_pull('find_challenger'))['body'] }}",
        defaults=ApprovalOperator.REJECT,
        params={"why": Param("", type="string", description="The reason, in a sentence; it is recorded")},
        response_timeout=ANSWER_WITHIN,
    )
    promoted = _promote_challenger.override(
        task_id="promote_challenger", outlets=[assets.champion(pipeline)]
    )(pipeline.pipeline, asked)
    reported = _report_promotion.override(task_id="report_promotion", trigger_rule="none_failed")(
        pipeline.pipeline, asked
    )
    asked >> approved >> promoted >> reported


class _AskInTime(Ask):
    """Waits for an answer until the challenger's request is too old, also where the run began later or was cleared."""

    def execute(self, context: Any) -> Any:
        found = result_of("find_challenger", context["ti"].xcom_pull("find_challenger"))
        left = datetime.fromisoformat(found["until"]) - clock.utc_now()
        self.response_timeout = max(left, timedelta(minutes=1))
        return super().execute(context)


@task.short_circuit
@explain_failure
def _find_challenger(pipeline_name: str) -> dict[str, Any]:
    """Who waits, in words for whoever is asked; nothing where nobody does, or another run asks: state decides, events only wake."""
    from sluice.models import approval, challenger

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    ti, asked = context["ti"], challenger.waiting(pipeline)

    def is_running(run_id: str) -> bool:
        return bool(ti.get_dr_count(dag_id=ti.dag_id, run_ids=[run_id], states=["queued", "running"]))

    if asked is None or not approval.is_shown_by(pipeline, asked, run_info(context), is_running=is_running):
        return {}
    return {
        "entry": asked.seq,
        "until": (asked.at + ANSWER_WITHIN).isoformat(),
        "subject": f"Let version {asked.record.version} of {pipeline.model.name} become champion?",
        "body": approval.question(pipeline, asked),
    }


@task
@explain_failure
def _promote_challenger(pipeline_name: str, found: dict[str, Any]) -> str:
    """Returns what was recorded."""
    from sluice.models import approval

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    asked, answered = _asked(pipeline, found), _answer(context)
    done = approval.approve(pipeline, asked, by=answered["by"], why=answered["why"], run=run_info(context))
    if done is None or done.kind == "refused":
        raise AirflowSkipException("It did not become champion: report_promotion says why.")
    return f"Entry {done.seq} of the ledger."


@task
@explain_failure
def _report_promotion(pipeline_name: str, found: dict[str, Any]) -> str:
    """Champion, refused and why, or not waited for any more; a refusal is recorded and mailed."""
    from sluice.models import approval, challenger

    context, pipeline = get_current_context(), spec.load(pipeline_name)
    asked, answered = _asked(pipeline, found), _answer(context)
    version = asked.record.version
    done = approval.answer(pipeline, asked)
    if done is None and not answered["approved"]:
        done = approval.reject(pipeline, asked, by=answered["by"], why=answered["why"], run=run_info(context))
    if done is None and (now := challenger.waiting(pipeline)) and now.seq == asked.seq:
        result_of("promote_challenger", None)  # approved, and a person has marked what follows as done
    if done is None:
        return f"Version {version} is not waited for any more: a newer candidate is, or there is another champion."
    if done.kind == "refused":
        mail_refusal(context, pipeline, done.record, done.partition)
        return str(done.record.reasons[0])
    return f"Version {version} is champion on the word of {done.record.by}: {done.record.why}"


def _asked(pipeline: spec.Pipeline, found: dict[str, Any]) -> Entry[ApprovalRequested]:
    from sluice.models import approval

    return approval.read(pipeline, result_of("find_challenger", found)["entry"])


def _answer(context: Any) -> dict[str, Any]:
    """Whether it was approved, why, and the name of the person who answered; "" where the time ran out."""
    return result_of("approve_promotion", context["ti"].xcom_pull("approve_promotion", key="answer"))
