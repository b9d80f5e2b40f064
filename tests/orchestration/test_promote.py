"""The tasks with which a person decides on a challenger of a critical model: what is asked, what an answer does, and who is mailed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from sluice import ledger
from sluice.core.errors import ResultMissingError
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.ledger import model_records, records
from sluice.models import approval, challenger, roles
from tests.models.conftest import DAY, RUN, audited, candidate, flights, trained

__all__ = ["audited", "candidate", "flights", "trained"]

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

REASON = "The candidate beats the champion."


@pytest.fixture
def critical(flights, trained, audited, tmp_path, monkeypatch) -> spec.Pipeline:
    """Version 1 is champion, and version 2 passed its shadow."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    declared = "\nmodel:\n  criticality: critical\n  shadow_days: 14\n"
    (tmp_path / "flights.yml").write_text(text.replace("\nmodel:\n", declared))
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    pipeline = spec.load("flights")
    roles.promote(pipeline, audited(trained(), None), RUN)
    entered = challenger.begin(pipeline, audited(trained(), 1), RUN)
    numbers = {"stage": "monitor", "entered_shadow": entered.seq}
    passed = model_records.Audited(version=2, champion=1, promote=True, reasons=[REASON], numbers=numbers)
    about = {"pipeline": "flights", "subject": pipeline.model.name, "partition": DAY}
    approval.ask(pipeline, ledger.append(passed, **about, run="run-1"), RUN)
    return pipeline


class Tasks:
    """The tasks of a run of `flights_promote`, executed one by one as Airflow does."""

    def __init__(self, pipeline: spec.Pipeline, context_of, run_id: str = "run-1") -> None:
        from sluice.orchestration import promote
        from sluice.orchestration.stages import stage_dag

        with stage_dag(pipeline, "promote", schedule=None, doc=None) as self.dag:
            promote.approval_of_challenger(pipeline)
        self.context_of, self.left, self.run_id = context_of, {}, run_id
        # Ids of the other runs of the DAG that have not ended.
        self.running = set()

    def run(self, task_id: str):
        """Do what a task does, with what those before it have left; returns what it returns."""
        from airflow.sdk.execution_time.context import set_current_context

        task = self.dag.get_task(task_id)
        with set_current_context(self._context(task)):
            done = task.python_callable("flights", *([self.left["find_challenger"]] if self.left else []))
        self.left[task_id] = done
        return done

    def answers(self, option: str, *, by: str = "", why: str | None = None) -> None:
        """A person answers the form, or, without a name, its time is over."""
        user = {"id": by, "name": by} if by else None
        params = {} if why is None else {"why": why}
        event = {"chosen_options": [option], "params_input": params, "responded_by_user": user}
        task = self.dag.get_task("approve_promotion").prepare_for_execution()
        context = self._context(task)
        task.skip = lambda **_: None
        task.execute_complete(context, {**event, "responded_at": datetime.now(UTC), "timedout": not by})

    def _context(self, task) -> dict:
        def pull(task_ids, *, key="return_value", **_):
            return self.left.get(task_ids if key == "return_value" else key)

        ti = SimpleNamespace(
            dag_id="flights_promote",
            task_id=task.task_id,
            run_id=self.run_id,
            try_number=1,
            xcom_pull=pull,
            get_dr_count=lambda *, run_ids, **_: len(self.running & {*run_ids}),
            xcom_push=lambda key, value: self.left.update({key: value}),
        )
        return {**self.context_of(DAY), "ti": ti, "task_instance": ti, "task": task}


@pytest.fixture
def tasks(critical, context_of, sink, monkeypatch) -> Tasks:
    server = {"host": sink[0].host, "port": sink[0].port, "extra": {"disable_ssl": True, "disable_tls": True}}
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"
    monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **server}))
    return Tasks(critical, context_of)


def test_monitoring_that_let_it_pass_mails_the_form_once(critical, tasks, sink, mails, context_of):
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import shadow

    ti = SimpleNamespace(dag_id="flights_monitor", task_id="judge_challenger", run_id="run-1", try_number=1)
    for _ in range(2):
        with set_current_context({**context_of(DAY), "ti": ti}):
            assert shadow._judge_challenger.function("flights") == REASON
    (mail,) = mails(sink[1])
    assert mail["Subject"] == (
        f"[sluice][APPROVE] flights flights_late_arrival {DAY}: version 2 waits for a person"
    )
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert f"Version 2 passed the gate and its shadow. {REASON}" in text
    assert "/dags/flights_promote/required_actions" in text
    assert roles.current(critical).champion == 1


def test_monitoring_wakes_the_dag_that_asks_each_day_in_case_that_was_lost_and_one_run_asks(
    critical, tasks, context_of, sink, mails
):
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import shadow

    ti = SimpleNamespace(dag_id="flights_monitor", task_id="judge_challenger", run_id="next", try_number=1)
    context = context_of("2013-03-31")
    context["dag_run"].run_id = "next"
    with set_current_context({**context, "ti": ti}):
        assert shadow._judge_challenger.function("flights") == "Version 2 waits for a person."
    assert mails(sink[1]) == []
    assert tasks.run("find_challenger")["subject"].startswith("Let version 2")
    tasks.left = {}
    assert tasks.run("find_challenger")["subject"].startswith("Let version 2"), "it was cleared"
    other = Tasks(critical, context_of, run_id="run-2")
    other.running = {"run-1"}
    assert other.run("find_challenger") == {}, "run-1 asks"
    other.running, other.left = set(), {}
    assert other.run("find_challenger")["subject"].startswith("Let version 2"), "run-1 has ended unanswered"


def test_newer_challenger_is_asked_about_while_the_form_of_the_one_before_is_open(
    critical, tasks, context_of, trained, audited
):
    tasks.run("find_challenger")
    entered = challenger.begin(critical, audited(trained(), 1), RUN)
    numbers = {"stage": "monitor", "entered_shadow": entered.seq}
    passed = model_records.Audited(version=3, champion=1, promote=True, reasons=[REASON], numbers=numbers)
    about = {"pipeline": "flights", "subject": critical.model.name, "partition": DAY}
    approval.ask(critical, ledger.append(passed, **about, run="run-2"), RUN)
    other = Tasks(critical, context_of, run_id="run-2")
    other.running = {"run-1"}
    assert other.run("find_challenger")["subject"].startswith("Let version 3")


@pytest.mark.parametrize(("left", "open_for"), [(7200, 7200), (-7200, 60)])
def test_form_is_open_until_the_request_is_too_old_also_where_it_is_asked_again(
    critical, tasks, monkeypatch, left, open_for
):
    from sluice.orchestration.operate import Ask

    (asked,) = ledger.entries(model_records.ApprovalRequested)
    found = tasks.run("find_challenger")
    assert datetime.fromisoformat(found["until"]) == asked.at + model_records.ANSWER_WITHIN
    assert f"{found['until'][:16].replace('T', ' ')} UTC it is refused" in found["body"]
    found["until"] = (datetime.now(UTC) + timedelta(seconds=left)).isoformat()
    monkeypatch.setattr(Ask, "execute", lambda self, _context: self.response_timeout)  # it would wait
    task = tasks.dag.get_task("approve_promotion").prepare_for_execution()
    timeout = task.execute(tasks._context(task))
    assert timedelta(0) <= timedelta(seconds=open_for) - timeout < timedelta(seconds=60)


def test_approval_that_a_person_has_marked_as_followed_is_not_and_says_which_task_to_clear(critical, tasks):
    from sluice.orchestration.failures import TaskFailure, cause_of

    tasks.run("find_challenger")
    tasks.answers("Approve", by="ada", why="Its days are fine.")
    with pytest.raises(TaskFailure) as caught:
        tasks.run("report_promotion")
    assert isinstance(cause_of(caught.value), ResultMissingError)
    tasks.run("promote_challenger")
    assert tasks.run("report_promotion").startswith("Version 2 is champion")


def test_approved_with_a_reason_it_is_champion_and_nobody_is_mailed(critical, tasks, sink, mails):
    found = tasks.run("find_challenger")
    assert found["subject"] == "Let version 2 of flights_late_arrival become champion?"
    assert f"`{REASON}`" in found["body"]
    tasks.answers("Approve", by="ada", why="Its days are fine.")
    tasks.run("promote_challenger")
    said = tasks.run("report_promotion")
    assert said == "Version 2 is champion on the word of ada: Its days are fine."
    assert roles.current(critical).champion == 2
    assert mails(sink[1]) == []


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("ada", "ada rejected version 2, and gave no reason."),
        ("", "Nobody decided on version 2 within 7 days."),
    ],
)
def test_rejection_or_silence_is_recorded_and_mailed_without_advice_about_the_gate(
    critical, tasks, sink, mails, by, said
):
    tasks.run("find_challenger")
    tasks.answers("Reject", by=by)
    assert [tasks.run("report_promotion") for _ in range(2)] == [said, said]
    assert roles.current(critical).champion == 1
    (refused,) = ledger.entries(records.Refused)
    assert refused.run == "run-1"
    (mail,) = mails(sink[1])
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert f"Candidate version 2 was refused. {said}" in text
    assert "model.gate" not in text


def test_answer_that_comes_too_late_changes_nothing_and_says_so(
    critical, tasks, trained, audited, sink, mails
):
    from airflow.sdk.exceptions import AirflowSkipException

    tasks.run("find_challenger")
    challenger.begin(critical, audited(trained(), 1), RUN)
    tasks.answers("Approve", by="ada", why="Fine.")
    with pytest.raises(AirflowSkipException):
        tasks.run("promote_challenger")
    assert tasks.run("report_promotion").startswith("Version 2 is not waited for any more")
    assert (roles.current(critical).champion, mails(sink[1])) == (1, [])
    tasks.left.clear()
    assert tasks.run("find_challenger") == {}, "the new one is in shadow, and nobody waits"
