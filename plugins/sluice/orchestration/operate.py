"""Tasks of what a person starts from the Airflow UI to bring back what is held: `<pipeline>_replay`, `<pipeline>_release`.

Both end by running again the very run that found the hold. Its partition key stays, so that everything downstream wakes
as on any day, and each task keeps its earlier tries. (A task cannot start a new run with a partition key: the task SDK
1.3 drops the key on its way.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, get_current_context, task

from sluice.core.printable import as_code
from sluice.declare import spec
from sluice.orchestration.failures import explain_failure
from sluice.orchestration.runs import result_of, run_info

if TYPE_CHECKING:
    from sluice.holds import Hold, Plan

# How long a request to release waits for its answer; then it counts as rejected.
ANSWER_WITHIN = timedelta(hours=20)
# Seconds between two looks at the run that was started again; the task waits in the triggerer.
_LOOK_SECONDS = 2

# Whoever filled in the form is watching: these tasks answer in red, and mail nobody.
ANSWERS: dict[str, Any] = {"on_failure_callback": None, "retries": 1}


def form(pipeline: spec.Pipeline) -> dict[str, Param]:
    """Which table, and which day of its data. Neither has a default: a wrong one is taken for an answer."""
    return {
        "table": Param(
            type="string",
            enum=pipeline.tables,
            description="The table that is held, as the mail names it",
        ),
        "day": Param(
            type="string",
            format="date",
            description="The day of its data, as the mail names it (Partition); not the run day",
        ),
    }


def release_form(pipeline: spec.Pipeline) -> dict[str, Param]:
    """The same, with the reason and the end of the waiver."""
    return {
        **form(pipeline),
        "why": Param(
            type="string",
            minLength=1,
            description="The reason, in a sentence; it is recorded and shown wherever the data is used",
        ),
        "until": Param(
            type="string",
            format="date",
            description="Last day on which the release is valid, by the pipeline's clock; "
            "a replayed pipeline's is that of its feed",
        ),
    }


def replay(pipeline: spec.Pipeline) -> None:
    """Find what is held, run its run again, and report."""
    planned: Any = _find_held.override(task_id="find_held", **ANSWERS)(pipeline.pipeline)
    reported = _report_replay.override(task_id="report_replay", trigger_rule="none_failed", **ANSWERS)(
        pipeline.pipeline, planned
    )
    planned >> _run_again("find_held") >> reported


def release(pipeline: spec.Pipeline) -> None:
    """Find what is held, ask a person, record the waiver, run its run again, and report."""
    requested: Any = _check_request.override(task_id="check_request", **ANSWERS)(pipeline.pipeline)
    approved = Ask(
        task_id="approve_release",
        subject="{{ result_of('check_request', ti.xcom_pull('check_request'))['subject'] }}",
        body="{{ result_of('check_request', ti.xcom_pull('check_request'))['body'] }}",
        defaults=ApprovalOperator.REJECT,
        response_timeout=ANSWER_WITHIN,
    )
    granted = _grant_waiver.override(task_id="grant_waiver")(pipeline.pipeline, requested)
    reported = _report_release.override(task_id="report_release", trigger_rule="none_failed", **ANSWERS)(
        pipeline.pipeline, requested
    )
    requested >> approved >> granted >> _run_again("check_request") >> reported


def _run_again(planned_by: str) -> TriggerDagRunOperator:
    """Clear the run that found the hold and wait for its end, whichever it is: the report tells."""
    planned = f"result_of('{planned_by}', ti.xcom_pull('{planned_by}'))"
    return _RunAgain(
        task_id="run_again",
        trigger_dag_id=f"{{{{ {planned}['dag_id'] }}}}",
        # Nothing, not the text "None", where there is no run.
        trigger_run_id=f"{{{{ {planned}['run_id'] or '' }}}}",
        skip_when_already_exists=False,
        reset_dag_run=True,
        wait_for_completion=True,
        deferrable=True,
        poke_interval=_LOOK_SECONDS,
        allowed_states=["success", "failed"],
        failed_states=[],
        execution_timeout=timedelta(hours=2),
    )


class Ask(ApprovalOperator):
    """Notes the answer, who gave it and the reason, if the form asks for one: a rejection would otherwise leave no trace that the
    report could read."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        if "error" not in event:
            user = event["responded_by_user"] or {}
            by = user.get("name") or user.get("id") or "" if isinstance(user, dict) else user.name or user.id
            approved = event["chosen_options"] == [self.APPROVE]
            why = (event["params_input"] or {}).get("why") or ""
            context["ti"].xcom_push(key="answer", value={"approved": approved, "by": by, "why": why})
        return super().execute_complete(context, event)


class _RunAgain(TriggerDagRunOperator):
    """Skips itself where there is nothing to run, because what was held is too old."""

    def execute(self, context: Any) -> Any:
        from airflow.sdk.exceptions import AirflowSkipException

        if not self.trigger_run_id:
            raise AirflowSkipException("What was held is too old to be replayed.")
        return super().execute(context)


@task
@explain_failure
def _find_held(pipeline_name: str) -> dict[str, Any]:
    """The plan of the replay, and the run to run again."""
    from sluice import holds

    context = get_current_context()
    params, pipeline = context["params"], spec.load(pipeline_name)
    planned = holds.plan(pipeline, params["table"], params["day"])
    holds.require_as_seen(pipeline, planned, context["dag_run"].conf or {})
    if planned.overdue:
        return {**asdict(planned), "dag_id": None, "run_id": None}
    _require_ended(context, pipeline, planned)
    return asdict(planned)


@task
@explain_failure
def _report_replay(pipeline_name: str, planned: dict[str, Any]) -> str:
    """Repaired, still held, expired; red where something is still held."""
    from airflow.sdk.exceptions import AirflowFailException

    from sluice import holds

    plan = holds.Plan(**result_of("find_held", planned))
    context = get_current_context()
    outcome = holds.conclude(spec.load(pipeline_name), plan, run_info(context), by=_requested_by(context))
    if outcome.reason:
        raise AirflowFailException(str(outcome))
    return str(outcome)


@task
@explain_failure
def _check_request(pipeline_name: str) -> dict[str, Any]:
    """What is to be released, in words for whoever is asked, and the run to run again."""
    from sluice import holds, waivers

    context = get_current_context()
    params, pipeline = context["params"], spec.load(pipeline_name)
    hold = holds.request(pipeline, params["table"], params["day"], why=params["why"], until=params["until"])
    holds.require_as_seen(pipeline, hold, context["dag_run"].conf or {})
    _require_ended(context, pipeline, hold)
    requested_by = _requested_by(context)
    where = f"{pipeline.pipeline}.{hold.table} {hold.partition}"
    waivers.require_second_person(pipeline, where, by=None, requested_by=requested_by)
    asked_by = requested_by or "someone"
    second = pipeline.releases.self_approval == "refuse"
    return {
        "dag_id": hold.dag_id,
        "run_id": hold.run_id,
        "table": hold.table,
        "batch_id": hold.batch_id,
        "partition": hold.partition,
        "subject": f"Publish {hold.table} {hold.partition} although it is held?",
        "body": question(
            pipeline, hold, asked_by=asked_by, why=params["why"], until=params["until"], second=second
        ),
    }


def question(
    pipeline: spec.Pipeline, hold: Hold, *, asked_by: str, why: str, until: str, second: bool
) -> str:
    """What a person is asked, in Markdown; what others wrote or delivered is in it as code, which nothing acts on."""
    from sluice.core.links import evidence_url

    return "\n\n".join(
        [
            f"{as_code(asked_by)} asks to publish **{hold.rows} rows** of `{pipeline.pipeline}.{hold.table}` "
            f"{hold.partition} as they are, until **{until}**: {as_code(why)}",
            "Held because:",
            "\n".join(f"- {as_code(reason)}" for reason in hold.reasons),
            f"Owner: {as_code(hold.owner)}.",
            f"[Evidence]({evidence_url(hold.report)})",
            "Whoever approves answers for it: the name is recorded and shown wherever the data is used."
            + (f" It has to be another person than {as_code(asked_by)}." if second else ""),
        ]
    )


@task
@explain_failure
def _grant_waiver(pipeline_name: str, requested: dict[str, Any]) -> int:
    """Record the waiver of whoever approved; returns the ledger's number of the waiver."""
    from sluice import holds
    from sluice.core.errors import ReleaseRefusedError

    context, requested = get_current_context(), result_of("check_request", requested)
    params, pipeline = context["params"], spec.load(pipeline_name)
    # Asked again: an approval may come hours after the request, and the hold may have been repaired meanwhile.
    hold = holds.request(pipeline, params["table"], params["day"], why=params["why"], until=params["until"])
    if hold.batch_id != requested["batch_id"]:
        raise ReleaseRefusedError(
            f"Another batch of {hold.table} {hold.partition} is held now than the one that was approved.",
            where=f"{pipeline.pipeline}.{hold.table} {hold.partition}, batch {hold.batch_id}",
            allowed=f"batch {requested['batch_id']}",
            todo="look at the new one, and ask for its release",
        )
    waiver = holds.grant(
        pipeline,
        hold,
        by=_answer(context)["by"],
        why=params["why"],
        until=params["until"],
        requested_by=_requested_by(context),
    )
    return waiver.seq


@task
@explain_failure
def _report_release(pipeline_name: str, requested: dict[str, Any]) -> str:
    """Published, or held still, and under whose waiver."""
    from airflow.sdk.exceptions import AirflowFailException

    from sluice import holds, ledger
    from sluice.ledger import records

    context, requested = get_current_context(), result_of("check_request", requested)
    params, pipeline = context["params"], spec.load(pipeline_name)
    name = f"{requested['table']} {requested['partition']}"
    answer = _answer(context)
    by = answer["by"]
    if not answer["approved"]:
        ledger.append(
            records.ReleaseRejected(by=by, why=params["why"], requested_by=_requested_by(context)),
            pipeline=pipeline.pipeline,
            subject=requested["table"],
            partition=requested["partition"],
            run=run_info(context).run_id,
        )
        answered = f"{by} rejected the release of {name}" if by else f"Nobody answered in time about {name}"
        return f"{answered}: it stays held."
    hold = holds.find(pipeline, params["table"], params["day"])
    if hold is not None and hold.kind != "quarantined":
        raise AirflowFailException(f"{name} was released and is not published: {hold.reason}")
    return f"{name} is published under the waiver of {by} until {params['until']}."


def _requested_by(context: Mapping[str, Any]) -> str:
    """The Airflow user who triggered this run; "" where Airflow does not know one."""
    return context["dag_run"].triggering_user_name or ""


def _answer(context: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the release was approved, and the name of the person who answered; "" where the time ran out."""
    return result_of("approve_release", context["ti"].xcom_pull("approve_release", key="answer"))


def _require_ended(context: Mapping[str, Any], pipeline: spec.Pipeline, held: Plan | Hold) -> None:
    """Refuse where the run that found the hold cannot be run again.

    Raises:
        ReplayRefusedError: no run of Airflow found it, or that run has not ended.
    """
    from sluice import holds
    from sluice.core.errors import ReplayRefusedError

    holds.require_run(pipeline, held)
    state = context["ti"].get_dagrun_state(dag_id=held.dag_id, run_id=held.run_id)
    if state not in ("success", "failed"):
        raise ReplayRefusedError(
            f"The run that found the hold, {held.dag_id} {held.run_id}, has not ended: it is {state}.",
            where=f"{pipeline.pipeline}.{held.table} {held.partition}",
            allowed="a run that has ended",
            todo="wait for its end, then trigger this DAG again",
        )
