"""A task that was marked as successful by hand has no result: whoever takes it refuses at once, and says what to clear."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sluice.core.errors import ResultMissingError
from sluice.declare import spec

# Task -> its upstream task, for every task that takes the result of another.
TAKES = {
    ("flights_ingest", "arrivals.audit_arrivals"): "stage_arrivals",
    ("flights_ingest", "arrivals.publish_arrivals"): "audit_arrivals",
    ("flights_transform", "features.audit_features"): "stage_features",
    ("flights_transform", "features.publish_features"): "audit_features",
    ("flights_score", "predictions.audit_predictions"): "stage_predictions",
    ("flights_score", "predictions.publish_predictions"): "audit_predictions",
    ("flights_train", "audit_candidate"): "stage_candidate",
    ("flights_train", "promote_candidate"): "stage_candidate",
    ("flights_monitor", "request_training"): "decide_retrain",
    ("flights_replay", "run_again"): "find_held",
    ("flights_replay", "report_replay"): "find_held",
    ("flights_release", "approve_release"): "check_request",
    ("flights_release", "grant_waiver"): "check_request",
    ("flights_release", "run_again"): "check_request",
    ("flights_release", "report_release"): "check_request",
    ("flights_promote", "approve_promotion"): "find_challenger",
    ("flights_promote", "promote_challenger"): "find_challenger",
    ("flights_promote", "report_promotion"): "find_challenger",
    ("flights_rollback", "approve_rollback"): "check_request",
    ("flights_rollback", "roll_back_champion"): "check_request",
    ("flights_rollback", "score_again"): "roll_back_champion",
    ("flights_rollback", "report_rollback"): "check_request",
}


@pytest.fixture(scope="module")
def dags():
    """The DAGs of flights, built as the files under dags/ build them."""
    from sluice.orchestration import monitor, operate, promote, rollback, train
    from sluice.orchestration.stages import crossing, stage_dag

    flights = spec.load("flights")
    critical = flights.model_copy(
        update={"model": flights.model.model_copy(update={"criticality": "critical"})}
    )
    built = {}
    for stage, content in {
        "ingest": lambda: crossing(flights, "arrivals"),
        "transform": lambda: crossing(flights, "features"),
        "score": lambda: crossing(flights, "predictions"),
        "train": lambda: train.candidate_crossing(flights),
        "monitor": lambda: monitor.report_and_decide(flights),
        "replay": lambda: operate.replay(flights),
        "release": lambda: operate.release(flights),
        "promote": lambda: promote.approval_of_challenger(flights),
        "rollback": lambda: rollback.roll_back(critical),
    }.items():
        params = operate.release_form(flights) if stage in ("replay", "release") else {}
        with stage_dag(flights, stage, schedule=None, doc=None, params=params) as dag:
            content()
        built[dag.dag_id] = dag
    return built


def run(task, context_of, results=None):
    """Render and execute a task as Airflow does, where no other tasks of the run have left results than these."""
    from airflow.sdk.execution_time.context import set_current_context

    def left(task_ids=None, *_, default=None, **__):
        return (results or {}).get(task_ids, default)

    ti = SimpleNamespace(
        dag_id=task.dag_id, task_id=task.task_id, run_id="run-1", try_number=1, xcom_pull=left
    )
    words = {"table": "arrivals", "day": "2013-04-01", "why": "because", "until": "2013-04-30"}
    context = {**context_of("2013-04-02", **words), "ti": ti, "task": task, "outlet_events": {}}
    context["dag_run"].dag_id = task.dag_id
    task = task.prepare_for_execution()
    with set_current_context(context):
        task.render_template_fields(context, task.dag.get_template_env())
        task.execute(context)


@pytest.mark.parametrize(("taker", "giver"), TAKES.items(), ids=lambda each: str(each[-1]))
def test_missing_result_is_final_and_says_which_task_to_clear(home, dags, context_of, taker, giver):
    from sluice.orchestration.failures import RETRY_POLICY, cause_of

    task = dags[taker[0]].get_task(taker[1])
    with pytest.raises((ResultMissingError, SystemExit)) as caught:
        run(task, context_of)

    error = cause_of(caught.value)
    assert isinstance(error, ResultMissingError)
    assert f"clear {giver}" in error.todo
    assert RETRY_POLICY.evaluate(caught.value, try_number=1, max_tries=3).action.value == "fail"


def test_replay_of_what_is_too_old_runs_nothing_again(home, dags, context_of):
    from airflow.sdk.exceptions import AirflowSkipException

    planned = {"dag_id": None, "run_id": None}
    with pytest.raises(AirflowSkipException, match="too old"):
        run(dags["flights_replay"].get_task("run_again"), context_of, {"find_held": planned})


def test_every_task_that_takes_a_result_is_among_them(dags):
    """A task takes results by its template fields, and names in them the task that gives one."""
    from airflow.sdk.definitions.xcom_arg import XComArg

    def takes(task) -> bool:
        fields = [getattr(task, name, None) for name in task.template_fields]
        pulls = any("xcom_pull" in field for field in fields if isinstance(field, str))
        return pulls or any(list(XComArg.iter_xcom_references(field)) for field in fields)

    assert {
        (dag_id, task.task_id) for dag_id, dag in dags.items() for task in dag.tasks if takes(task)
    } == set(TAKES)
