"""What every DAG and every task has, as Airflow will evaluate it."""

from __future__ import annotations

import inspect

import pytest

from sluice.core import errors
from sluice.declare import spec
from sluice_ml import errors as ml_errors


@pytest.fixture(scope="module")
def stages():
    from sluice.orchestration import stages

    return stages


def _errors(module, base):
    return [each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, base)]


def _action(stages, error):
    raised = error.__new__(error)
    return stages.RETRY_POLICY.evaluate(raised, try_number=1, max_tries=3).action.value


def test_only_causes_outside_of_the_data_are_tried_again(stages):
    ours = _errors(errors, errors.SluiceError)
    assert len(ours) > 20
    for error in ours:
        expected = "retry" if issubclass(error, errors.RetryableError) else "fail"
        assert _action(stages, error) == expected, error.__name__
    for error in _errors(ml_errors, ml_errors.MlError):
        assert _action(stages, error) == "fail", error.__name__
    assert _action(stages, ConnectionResetError) == "default"


def test_crossing_hands_the_batch_from_stage_to_audit_to_publish(stages):
    from sluice.orchestration import assets

    flights = spec.load("flights")
    announced = assets.raw(flights)
    with stages.stage_dag(flights, "ingest", schedule=None, doc=None) as dag:
        group = stages.crossing(flights, "arrivals", outlets=[announced], pool="sluice_heavy")
    stage, audit, publish = (
        dag.get_task(f"arrivals.{verb}_arrivals") for verb in ("stage", "audit", "publish")
    )
    assert stage.downstream_task_ids == {audit.task_id}
    assert audit.downstream_task_ids == {publish.task_id}
    # Publish takes what the audit names, which may be the good rows only; never what was staged.
    assert audit.batch_id.operator is stage
    assert publish.batch_id.operator is audit
    assert {task.owner for task in (stage, audit, publish)} == {flights.owner_of("arrivals")}
    assert {task.pool for task in (stage, audit, publish)} == {"sluice_heavy"}
    assert group.group_id == "arrivals"
    # Only what readers see is announced.
    assert (stage.outlets, audit.outlets, publish.outlets) == ([], [], [announced])
