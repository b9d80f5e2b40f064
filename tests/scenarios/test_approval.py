"""A challenger of a critical model becomes champion in a running Airflow, and gives way again, because a person says so under Required Actions."""

from __future__ import annotations

import dataclasses

import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ledger import model_records
from sluice.models import approval, challenger, roles
from sluice.models.config import registry
from sluice_ml.training import fit
from tests.models.conftest import DAY, flights_rows, small_config

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

RUN = Run(dag_id="flights_train", run_id="scenario")
CRITICAL = "\nmodel:\n  criticality: critical\n  shadow_days: 14\n"


@pytest.fixture
def critical(live):
    """flights with a critical model, and its DAG in which a person is asked."""
    path = live.pipelines / "flights.yml"
    text = path.read_text()
    path.write_text(text.replace("\nmodel:\n", CRITICAL))
    try:
        live.api.until(
            lambda: True if _is_shadowed(live) and not live.api.missing_dags() else None,
            "the DAG flights_promote",
            300,
        )
        yield spec.load("flights")
        flights = spec.load("flights")
        if roles.current(flights).champion is not None:
            roles.roll_back(
                flights, roles.BASELINE, by="scenario", why="It is over.", approved_by="it", run=RUN
            )
    finally:
        path.write_text(text)
        live.api.until(lambda: None if _is_shadowed(live) else True, "flights_score", 300)


def _is_shadowed(live) -> bool:
    return "score_challenger" in _tasks(live, "flights_score")


def _tasks(live, dag_id: str) -> set[str]:
    return {task["task_id"] for task in live.api.request("GET", f"/dags/{dag_id}/tasks").json()["tasks"]}


def _trained(flights: spec.Pipeline, number: int) -> int:
    """Register a model that was really fitted; returns its version."""
    candidate, name = fit(flights_rows(flights), small_config(flights)), flights.model.name
    meta = dataclasses.replace(candidate.meta, unlabelled_rows=number)
    with registry().training(name, {"as_of": DAY}) as run_id:
        version = registry().log(run_id, dataclasses.replace(candidate, meta=meta))
    about = {"pipeline": "flights", "subject": name, "partition": DAY}
    ledger.append(model_records.Trained(version=version), **about)
    return version


def _waits(flights: spec.Pipeline, number: int) -> int:
    """Let such a model pass its shadow beside the baseline; returns its version."""
    version = _trained(flights, number)
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    decision = ledger.append(model_records.Audited(version=version, promote=True), **about)
    entered = challenger.begin(flights, decision, RUN)
    numbers = {"stage": "monitor", "entered_shadow": entered.seq}
    passed = model_records.Audited(version=version, promote=True, reasons=["It is better."], numbers=numbers)
    approval.ask(flights, ledger.append(passed, **about), RUN)
    return version


def _said(live, run: dict, task: str = "report_promotion") -> str:
    path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task}/xcomEntries/return_value"
    return live.api.request("GET", path).json()["value"]


def _answered(live, option: str, **form: str) -> dict:
    """Wake the DAG as monitoring does, answer its form, and return the run at its end."""
    before = {run["dag_run_id"] for run in live.api.runs("flights_promote")}
    live.api.wake("flights.approval_request", DAY)
    new = lambda: [run for run in live.api.runs("flights_promote") if run["dag_run_id"] not in before]  # noqa: E731
    (run,) = live.api.until(lambda: new() or None, "a run of flights_promote", 120)
    live.api.wait_for_task("flights_promote", run["dag_run_id"], "approve_promotion", "awaiting_input")
    live.api.answer("flights_promote", run["dag_run_id"], "approve_promotion", option, form=form)
    state = live.api.wait_for_run("flights_promote", run["dag_run_id"], seconds=300)
    assert state == "success", live.api.failures("flights_promote", run["dag_run_id"])
    return run


def test_person_rejects_one_challenger_and_approves_the_next(live, critical):
    first = _waits(critical, 1)
    run = _answered(live, "Reject", why="It is worse at night.")
    assert _said(live, run) == f"admin rejected version {first}: It is worse at night."
    assert roles.current(critical).champion is None
    subjects = [mail["Subject"] for mail in live.mails().values()]
    assert [one for one in subjects if "[REFUSED]" in one]

    second = _waits(critical, 2)
    run = _answered(live, "Approve", why="Its days are fine.")
    assert _said(live, run) == f"Version {second} is champion on the word of admin: Its days are fine."
    promoted = ledger.entries(model_records.Promoted, pipeline="flights", limit=1)[0]
    assert (promoted.record.version, promoted.record.by, promoted.run) == (second, "admin", run["dag_run_id"])
    assert registry().roles(critical.model.name)["champion"] == second

    again = live.api.trigger("flights_promote")
    assert live.api.wait_for_run("flights_promote", again["dag_run_id"], seconds=300) == "success"
    assert live.states(again)["approve_promotion"] == "skipped", "nobody waits"


def test_person_rejects_a_roll_back_and_approves_the_next(live, critical):
    champion, about = _trained(critical, 3), {"pipeline": "flights", "subject": critical.model.name}
    decided = model_records.Audited(version=champion, champion=None, promote=True)
    roles.promote(critical, ledger.append(decided, **about, partition=DAY), RUN)
    asks = lambda: "approve_rollback" in _tasks(live, "flights_rollback") or None  # noqa: E731
    live.api.until(asks, "approve_rollback", 300)
    form, before = {"version": roles.BASELINE, "why": "It is worse at night."}, set(live.mails())

    def answered(option: str, why: str) -> dict:
        run = live.api.trigger("flights_rollback", conf=form)
        live.api.wait_for_task("flights_rollback", run["dag_run_id"], "approve_rollback", "awaiting_input")
        live.api.answer("flights_rollback", run["dag_run_id"], "approve_rollback", option, form={"why": why})
        state = live.api.wait_for_run("flights_rollback", run["dag_run_id"], seconds=300)
        assert state == "success", live.api.failures("flights_rollback", run["dag_run_id"])
        return run

    run = answered("Reject", "Nights are few.")
    said = "admin rejected the roll-back to the baseline that admin asked for: Nights are few."
    assert _said(live, run, "report_rollback") == said
    assert live.states(run)["roll_back_champion"] == live.states(run)["score_again"] == "skipped"
    assert roles.current(critical).champion == champion
    (rejected,) = ledger.entries(model_records.RollbackRejected, pipeline="flights")
    assert (rejected.record.by, rejected.run) == ("admin", run["dag_run_id"])

    run = answered("Approve", "")
    said = (
        f"Version {champion} gives way to the baseline, says admin (approved by admin): It is worse at night."
    )
    assert _said(live, run, "report_rollback") == said
    assert roles.current(critical).champion is None
    subjects = [str(mail["Subject"]) for name, mail in live.mails().items() if name not in before]
    assert [subject.split("]")[1] for subject in subjects] == ["[APPROVE", "[APPROVE", "[ROLLED BACK"], (
        subjects
    )
