"""The tasks with which a person decides on a roll-back of a critical model: what is asked, what an answer does, and who is mailed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from sluice import ledger
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import model_records
from sluice.models import roles
from tests.models.conftest import flights
from tests.models.test_rolled_back import DAYS, reigns
from tests.models.test_shadow import World, fitted, world

__all__ = ["fitted", "flights", "reigns", "world"]  # fixtures

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

FORM = {"version": "1", "why": "It ranks at random."}


@pytest.fixture
def critical(reigns, tmp_path, monkeypatch) -> World:
    """Version 2 is champion of a critical model, in place of version 1, and today is the last day that it has predicted."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    declared = "\nmodel:\n  criticality: critical\n  shadow_days: 14\n"
    text = text.replace("\nmodel:\n", declared) + "\nstakeholders: [desk@example.com]\n"
    (tmp_path / "flights.yml").write_text(text)
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    pipeline_clock.advance(spec.load("flights"), date.fromisoformat(DAYS[3]))
    return reigns


class Tasks:
    """The tasks of a run of `flights_rollback` that ada has started, executed one by one as Airflow does."""

    def __init__(self, context_of) -> None:
        from sluice.orchestration import rollback
        from sluice.orchestration.stages import stage_dag

        flights = spec.load("flights")
        with stage_dag(
            flights, "rollback", schedule=None, doc=None, params=rollback.form(flights)
        ) as self.dag:
            rollback.roll_back(flights)
        self.context_of, self.left = context_of, {}

    def run(self, task_id: str):
        """Do what a task does, with what those before it have left; returns what it returns."""
        from airflow.sdk.execution_time.context import set_current_context

        task = self.dag.get_task(task_id)
        giver = "roll_back_champion" if task_id == "score_again" else "check_request"
        given = [self.left[giver]] if task_id != giver else []
        with set_current_context(self._context(task)):
            self.left[task_id] = task.python_callable("flights", *given)
        return self.left[task_id]

    def answers(self, option: str, *, by: str = "", why: str = "") -> None:
        """A person answers the form, or, without a name, its time is over."""
        user = {"id": by, "name": by} if by else None
        event = {
            "chosen_options": [option],
            "params_input": {"why": why} if by else {},
            "responded_by_user": user,
        }
        task = self.dag.get_task("approve_rollback").prepare_for_execution()
        context = self._context(task)
        task.skip = lambda **_: None
        task.execute_complete(context, {**event, "responded_at": datetime.now(UTC), "timedout": not by})

    def _context(self, task) -> dict:
        from airflow.sdk.execution_time.context import OutletEventAccessors

        def pull(task_ids, *, key="return_value", **_):
            return self.left.get(task_ids if key == "return_value" else key)

        ti = SimpleNamespace(
            dag_id="flights_rollback",
            task_id=task.task_id,
            run_id="run-1",
            try_number=1,
            xcom_pull=pull,
            xcom_push=lambda key, value: self.left.update({key: value}),
        )
        context = self.context_of(None, **FORM)
        context["dag_run"] = context["dag_run"].model_copy(update={"triggering_user_name": "ada"})
        context["outlet_events"] = OutletEventAccessors()
        return {**context, "ti": ti, "task_instance": ti, "task": task}


@pytest.fixture
def tasks(critical, context_of, sink, monkeypatch) -> Tasks:
    server = {"host": sink[0].host, "port": sink[0].port, "extra": {"disable_ssl": True, "disable_tls": True}}
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"
    monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **server}))
    return Tasks(context_of)


def test_request_shows_what_would_happen_and_is_mailed_once_to_whoever_may_answer(
    critical, tasks, sink, mails
):
    for _ in range(2):
        found = tasks.run("check_request")
    assert found["subject"] == "Let version 1 of flights_late_arrival score again, in place of version 2?"
    assert f"Scored again, because there is time: **{DAYS[3]}**." in found["body"]
    (mail,) = mails(sink[1])
    assert mail["Subject"] == (
        "[sluice][APPROVE] flights flights_late_arrival: the roll-back to version 1 waits for a person"
    )
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "ada asks for version 1 in place of version 2: It ranks at random." in text
    assert f"Predictions of {DAYS[3]} are made again then" in text
    assert "counts as rejected after 20 hours" in text
    assert "/dags/flights_rollback/required_actions" in text
    assert "desk@example.com" not in mail["To"], "who uses predictions approves nothing"
    assert roles.current(critical.flights).champion == 2


def test_approved_it_moves_on_the_word_of_both_and_says_so(critical, tasks, sink, mails):
    tasks.run("check_request")
    tasks.answers("Approve", by="bob")
    decided = tasks.run("roll_back_champion")
    assert tasks.run("roll_back_champion") == decided, "the task is tried again"
    said = "Version 2 gives way to version 1, says ada (approved by bob): It ranks at random."
    assert tasks.run("report_rollback") == decided["decided"] == said
    (entry,) = ledger.entries(model_records.RolledBack)
    assert (entry.record.by, entry.record.approved_by, entry.run) == ("ada", "bob", "run-1")
    assert roles.current(critical.flights).champion == 1
    assert tasks.run("score_again") == [DAYS[3]]
    *_, mail = mails(sink[1])
    assert "[ROLLED BACK]" in mail["Subject"]
    assert said in " ".join(mail.get_body(("plain",)).get_content().split())
    assert "desk@example.com" in mail["To"], "somebody may have acted on what was taken back"


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("bob", "bob rejected the roll-back to version 1 that ada asked for: It is fine."),
        ("", "Nobody decided within 20 hours on the roll-back to version 1 that ada asked for."),
    ],
)
def test_rejected_or_unanswered_it_moves_nothing_and_the_ledger_says_who_said_no(critical, tasks, by, said):
    tasks.run("check_request")
    tasks.answers("Reject", by=by, why="It is fine.")
    assert [tasks.run("report_rollback") for _ in range(2)] == [said, said]
    (entry,) = ledger.entries(model_records.RollbackRejected)
    assert (entry.record.by, entry.record.reasons, entry.run) == (by, (said,), "run-1")
    assert (roles.current(critical.flights).champion, ledger.entries(model_records.RolledBack)) == (2, [])
