"""The three tasks of a crossing, executed as Airflow does: what they wait for, leave out, hand on and refuse."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sluice import holds, ledger
from sluice.core.errors import BatchHeldError, DeliveryMissingError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice_lab import feed

MONDAY = "2013-04-01"


@pytest.fixture
def live(live_flights, at, monkeypatch):
    """flights as a live pipeline, at 05:00 of its first day: its deliveries are awaited until the next."""
    at(f"{MONDAY} 05:00")
    monkeypatch.setattr(spec, "load", lambda _: live_flights)
    return live_flights


@pytest.fixture
def operators():
    from sluice.orchestration import operators

    return operators


@pytest.fixture
def execute(context_of):
    """Function: execute a task in the run of Monday that Airflow started by itself, or in one of another type."""
    from airflow.sdk.execution_time.context import set_current_context

    def run(task, run_type="scheduled", method="execute", **given):
        ti = SimpleNamespace(dag_id="flights_ingest", task_id=task.task_id, run_id="run-1", try_number=1)
        context = {**context_of(MONDAY), "ti": ti, "task": task}
        context["dag_run"].run_type = run_type
        with set_current_context(context):
            return getattr(task, method)(context, **given)

    return run


@pytest.fixture
def stage(operators):
    """Function: the task that stages a table."""
    return lambda table: operators.StageOperator(task_id=f"stage_{table}", pipeline="flights", table=table)


def test_stage_waits_for_a_delivery_that_is_not_there_and_goes_on_when_it_has_come(live, stage, execute):
    from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred

    with pytest.raises(TaskDeferred) as caught:
        execute(stage("arrivals"))
    trigger = caught.value.trigger
    assert (trigger.pipeline, trigger.source, list(trigger.run_days)) == ("flights", "arrivals", [MONDAY])
    assert caught.value.method_name == "execute_complete"

    came_not = {"delivered": False, "said": "It was not delivered."}
    with pytest.raises(AirflowSkipException, match="It was not delivered"):
        execute(stage("arrivals"), method="execute_complete", event=came_not)
    assert ledger.entries(kind="staged") == []

    feed.deliver(live, MONDAY, sources=["arrivals"])
    staged = execute(stage("arrivals"), method="execute_complete", event={"delivered": True})
    assert batches.load("flights", "arrivals", staged).partitions == ("2013-03-31",)
    assert execute(stage("arrivals")) == staged, "what is there is not waited for"


def test_backfill_waits_for_no_delivery_and_says_what_is_not_there(live, stage, context_of):
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration.failures import TaskFailure, cause_of

    ti = SimpleNamespace(dag_id="flights_backfill", task_id="stage_arrivals", run_id="run-1", try_number=1)
    context = {**context_of(first_day=MONDAY, last_day=MONDAY), "ti": ti}
    context["dag_run"].dag_id = ti.dag_id
    with set_current_context(context), pytest.raises(TaskFailure) as caught:
        stage("arrivals").execute({**context, "task": None})
    missing = cause_of(caught.value)
    assert isinstance(missing, DeliveryMissingError)
    assert missing.run_days == (MONDAY,)


def test_stage_builds_nothing_that_a_person_gave_up_unless_a_person_asks_for_it(live, stage, execute):
    from airflow.sdk.exceptions import AirflowSkipException

    from sluice.orchestration.failures import TaskFailure

    holds.skip(live, MONDAY, ["features"], by="Ada", why="Nobody flew.", run=Run(run_id="test"))
    with pytest.raises(AirflowSkipException, match="Ada gave it up: Nobody flew"):
        execute(stage("features"), "asset_triggered")
    with pytest.raises(TaskFailure):  # nothing is published that it could be built from
        execute(stage("features"), "manual")
    with pytest.raises(TaskFailure):
        execute(stage("outcomes"), "asset_triggered")


def test_stage_of_a_source_that_a_person_gave_up_takes_what_has_come_all_the_same(live, stage, execute):
    holds.skip(live, MONDAY, ["schedule"], by="Ada", why="Nobody flew.", run=Run(run_id="test"))
    feed.deliver(live, MONDAY, sources=["schedule"])
    assert batches.load("flights", "schedule", execute(stage("schedule"))).rows > 0


def test_audit_hands_on_the_good_rows_and_publish_shows_them(live, operators, stage, execute):
    feed.deliver(live, MONDAY, sources=["weather"])
    staged = execute(stage("weather"))
    audit = operators.AuditOperator(
        task_id="audit_weather", pipeline="flights", table="weather", batch_id=staged
    )
    judged = execute(audit)
    (verdict,) = ledger.entries(kind="verdict")
    assert judged == verdict.data["publish_batch_id"]
    assert verdict.data["report"] in audit.evidence_url
    publish = operators.PublishOperator(
        task_id="publish_weather", pipeline="flights", table="weather", batch_id=judged
    )
    assert execute(publish) == tables.snapshot_id("flights", "weather")
    (seen,) = tables.published("flights", "weather", "2013-03-31", MONDAY).values()
    assert seen.batch_id == judged


def test_audit_that_holds_fails_with_its_evidence(live, operators, stage, execute):
    from sluice.orchestration.failures import TaskFailure

    feed.deliver(live, MONDAY, sources=["arrivals"], corrupt="seconds")
    staged = execute(stage("arrivals"))
    audit = operators.AuditOperator(
        task_id="audit_arrivals", pipeline="flights", table="arrivals", batch_id=staged
    )
    with pytest.raises(TaskFailure) as caught:
        execute(audit)
    assert isinstance(caught.value.error, BatchHeldError)
    assert caught.value.error.report in audit.evidence_url
    assert ledger.entries(kind="held")[0].data["batch_id"] == staged
