"""Where mails go is what the Airflow connection says, and a mail names the run's partition."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from sluice import ledger
from sluice.core.errors import BatchSupersededError, DeliveryMissingError, RunKeyInvalidError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records


@pytest.fixture(scope="module")
def callbacks():
    from sluice.orchestration import callbacks

    return callbacks


@pytest.fixture
def connection(home, monkeypatch):
    """Declare the connection of the mail server, as an installation does in its environment."""
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"

    def declare(**fields):
        monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **fields}))

    return declare


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("extra", "tls", "port"),
    [
        ({}, "ssl", 465),
        ({"disable_ssl": True}, "starttls", 587),
        ({"disable_ssl": True, "disable_tls": True}, "none", 25),
        ({"disable_ssl": False, "disable_tls": True}, "ssl", 465),
    ],
)
def test_encryption_is_on_unless_the_connection_switches_it_off(callbacks, connection, extra, tls, port):
    connection(host="mail.example.com", extra=extra)
    server = callbacks.smtp()
    assert (server.host, server.tls, server.port) == ("mail.example.com", tls, port)


@pytest.mark.airflow
def test_declared_port_and_login_are_used(callbacks, connection):
    connection(host="mail.example.com", port=2525, login="sluice", password="secret")
    server = callbacks.smtp()
    assert (server.port, server.user, server.password) == (2525, "sluice", "secret")


@pytest.mark.airflow
def test_webhook_is_the_password_of_the_declared_connection_and_without_one_the_mail_goes_out_all_the_same(
    callbacks, connection, monkeypatch
):
    connection(host="mail.example.com")
    flights = spec.load("flights")
    assert callbacks.smtp(flights).webhook is None
    declared = flights.model_copy(update={"webhook_connection": "slack_flights"})
    missing = callbacks.smtp(declared)
    assert missing.host == "mail.example.com"
    assert missing.webhook.problem == "it could not be read (AirflowNotFoundException)"

    url = "https://hooks.slack.com/services/T0/B0/secret"
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_FLIGHTS", json.dumps({"conn_type": "generic", "password": url}))
    hook = callbacks.smtp(declared).webhook
    assert (hook.url, hook.connection, hook.problem) == (url, "slack_flights", "")
    assert "secret" not in repr(callbacks.smtp(declared))


@pytest.mark.airflow
def test_mail_of_a_failed_task_goes_to_the_owner_and_says_which_task_of_which_run(
    callbacks, connection, context_of, sink, mails
):
    smtp, folder, _ = sink
    connection(host=smtp.host, port=smtp.port, extra={"disable_ssl": True, "disable_tls": True})
    task = SimpleNamespace(
        dag_id="flights_ingest", task_id="arrivals.stage_arrivals", run_id="run-1", try_number=1
    )
    missing = DeliveryMissingError("No delivery of 'arrivals'.", where="landing", todo="ask for it")
    callbacks.mail_failure({**context_of("2013-04-02"), "ti": task, "exception": missing})
    [mail] = mails(folder)
    assert mail["From"] == settings().mail_from
    assert mail["To"] == ", ".join(spec.load("flights").mail_to)
    assert "arrivals" in mail["Subject"]
    assert "2013-04-01" in mail["Subject"], "the day of the data, which the run day 2013-04-02 lands"
    text = mail.get_body(("plain",)).get_content()
    assert "No delivery of 'arrivals'." in text
    assert callbacks.task_url(task) in text


def test_mail_names_the_key_or_the_range_of_its_run(callbacks, context_of):
    assert callbacks._partition(context_of("2013-04-02")) == "2013-04-02"
    ranged = context_of(first_day="2013-04-01", last_day="2013-04-03")
    assert callbacks._partition(ranged) == "2013-04-01..2013-04-03"
    one_day = context_of(first_day="2013-04-01", last_day="2013-04-01")
    assert callbacks._partition(one_day) == "2013-04-01"
    for partial in ({}, {"first_day": "2013-04-01"}, {"last_day": "2013-04-03"}):
        assert callbacks._partition(context_of(**partial)) is None
    assert callbacks._partition(context_of("yesterday")) is None, "what is no day is no partition"


@pytest.fixture
def mailed(connection, sink, mails):
    """Subjects of the mails that the connection's server has caught so far."""
    smtp, folder, _ = sink
    connection(host=smtp.host, port=smtp.port, extra={"disable_ssl": True, "disable_tls": True})
    return lambda: [str(mail["Subject"]) for mail in mails(folder)]


def _failed(task_id, error, context, dag_id="flights_ingest"):
    context["dag_run"].dag_id = dag_id
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, run_id="run-1", try_number=1)
    return {**context, "ti": ti, "exception": error}


@pytest.mark.airflow
def test_delivery_that_is_not_overdue_is_no_mail_and_after_the_deadline_one_with_the_watchers(
    callbacks, mailed, context_of, monkeypatch
):
    from sluice import notify
    from sluice.notify import report

    live = spec.load("flights").model_copy(update={"clock": "wall"})
    monkeypatch.setattr(spec, "load", lambda _: live)
    missing = DeliveryMissingError("No delivery of 'arrivals'.", where="landing", todo="ask for it")
    context = _failed("arrivals.stage_arrivals", missing, context_of("2013-04-02"))
    zone = ZoneInfo(live.timezone)

    monkeypatch.setattr(pipeline_clock, "now", lambda _: datetime(2013, 4, 2, 5, 59, tzinfo=zone))
    callbacks.mail_failure(context)
    assert mailed() == []
    (entry,) = ledger.entries(kind="mail")
    assert entry.data["status"] == "withheld"

    monkeypatch.setattr(pipeline_clock, "now", lambda _: datetime(2013, 4, 2, 6, 0, tzinfo=zone))
    watcher = report.of_missed_deadline(
        live, "arrivals", "2013-04-01", run_day="2013-04-02", task_url="http://x/watch"
    )
    notify.deliver(watcher, callbacks.smtp(), sender=settings().mail_from, to=live.mail_to)
    callbacks.mail_failure(context)
    assert mailed() == ["[sluice][MISSING] flights arrivals 2013-04-01: not delivered"]


@pytest.mark.airflow
def test_range_of_which_some_deliveries_are_missing_is_told_of_those_alone_and_of_none_that_is_not_overdue(
    callbacks, mailed, context_of, monkeypatch
):
    live = spec.load("flights").model_copy(update={"clock": "wall"})
    monkeypatch.setattr(spec, "load", lambda _: live)
    zone = ZoneInfo(live.timezone)
    monkeypatch.setattr(pipeline_clock, "now", lambda _: datetime(2013, 4, 9, 4, 30, tzinfo=zone))
    missing = DeliveryMissingError("No delivery of 'arrivals'.", where="landing", todo="ask for it")
    context = context_of(first_day="2013-04-01", last_day="2013-04-09")
    missing.run_days = ("2013-04-09",)
    callbacks.mail_failure(_failed("arrivals.stage_arrivals", missing, context, "flights_backfill"))
    assert mailed() == []
    missing.run_days = ("2013-04-03",)
    callbacks.mail_failure(_failed("arrivals.stage_arrivals", missing, context, "flights_backfill"))
    assert mailed() == ["[sluice][MISSING] flights arrivals 2013-04-02: not delivered"]


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("run_type", "subjects"),
    [
        ("manual", []),
        ("backfill", []),
        ("asset_materialization", []),
        ("scheduled", 1),
        ("asset_triggered", 1),
    ],
)
def test_wrong_key_is_no_mail_to_whoever_typed_it_and_one_where_nobody_did(
    callbacks, mailed, context_of, run_type, subjects
):
    context = context_of("yesterday")
    context["dag_run"].run_type = run_type
    wrong = RunKeyInvalidError("'yesterday' is not a day.", where="partition key of run-1", todo="correct it")

    for _ in range(2):
        callbacks.mail_failure(_failed("find_deliveries", wrong, context))

    assert len(mailed()) == (subjects or 0)
    if subjects:
        from sluice import notify

        (entry,) = notify.close_succeeded(
            spec.load("flights"), "find_deliveries", "2013-04-02", callbacks.smtp()
        )
        assert entry.data["status"] == "resolved", "a later run that is not refused is its end"


def _failed_run(context_of, dag_id, reason, key="2013-04-02", task_id="features.stage_features"):
    """What Airflow hands to the callback of a DAG; see `_execute_dag_callbacks` of its DAG processor."""
    from airflow.sdk.api.datamodels._generated import DagRunState

    context = context_of(key)
    context["dag_run"].dag_id, context["dag_run"].state = dag_id, DagRunState.FAILED
    task = SimpleNamespace(has_on_failure_callback=True)
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, run_id="run-1", try_number=1, task=task)
    dag = SimpleNamespace(dag_id=dag_id, dagrun_timeout=timedelta(hours=2))
    return {**context, "dag": dag, "run_id": "run-1", "reason": reason, "ti": ti}


@pytest.mark.airflow
def test_run_that_timed_out_is_one_mail_that_names_it_and_is_over_when_its_tables_are_published(
    callbacks, mailed, context_of
):
    from sluice import notify

    context = _failed_run(context_of, "flights_transform", "timed_out")
    flights = spec.load("flights")

    for _ in range(2):
        callbacks.mail_failed_run(context)

    (subject,) = mailed()
    assert subject.startswith(
        "[sluice][FAILED] flights_transform 2013-04-02: The run took longer than its limit of 2 h"
    )
    for table in flights.derived:
        day = flights.data_day(table, "2013-04-02")
        assert len(mailed()) == 1, "until all of its tables are published"
        about = {"pipeline": "flights", "subject": table, "partition": day}
        ledger.append(records.Published(batch_id="20300101T000000000000-aaaaaa"), **about)
        notify.close_published(flights, table, day, callbacks.smtp())
    assert "RESOLVED" in mailed()[-1]
    assert len(mailed()) == 2


@pytest.mark.airflow
def test_run_that_failed_late_waits_only_for_what_it_had_not_published(callbacks, mailed, context_of):
    flights = spec.load("flights")
    about = {"pipeline": "flights", "subject": "features", "partition": "2013-04-02", "run": "run-1"}
    ledger.append(records.Published(batch_id="20300101T000000000000-aaaaaa"), **about)

    callbacks.mail_failed_run(_failed_run(context_of, "flights_transform", "timed_out"))

    (entry,) = ledger.entries(kind="mail")
    others = [table for table in flights.derived if table != "features"]
    assert entry.data["ends_with"] == f"run {','.join(others)}"
    assert (entry.run, entry.data["dag_id"]) == ("run-1", "flights_transform")


@pytest.mark.airflow
def test_failed_ingest_run_is_over_when_its_day_is_complete(callbacks, mailed, context_of):
    from sluice import notify

    callbacks.mail_failed_run(
        _failed_run(context_of, "flights_ingest", "all_tasks_deadlocked", task_id="complete_day")
    )
    about = {"pipeline": "flights", "subject": "raw", "partition": "2013-04-02"}
    ledger.append(records.DayCompleted(first_day="2013-04-02"), **about)
    notify.close_completed(spec.load("flights"), ["2013-04-02"], callbacks.smtp())

    failed, over = mailed()
    assert failed.startswith("[sluice][FAILED] flights_ingest 2013-04-02: No task of the run could go on")
    assert over.startswith("[sluice][RESOLVED]")


@pytest.mark.airflow
def test_failed_run_of_a_stage_without_tables_is_over_when_a_later_one_gets_past_its_task(
    callbacks, mailed, context_of
):
    from sluice import notify

    callbacks.mail_failed_run(_failed_run(context_of, "flights_monitor", "timed_out", task_id="report_days"))
    assert len(mailed()) == 1
    flights = spec.load("flights")
    assert notify.close_succeeded(flights, "report_days", "2013-04-01", callbacks.smtp()) == []
    (entry,) = notify.close_succeeded(flights, "report_days", "2013-04-03", callbacks.smtp())
    assert entry.data["status"] == "resolved"


@pytest.mark.airflow
def test_run_whose_task_has_told_of_it_is_no_second_mail_and_one_whose_task_was_killed_is_one(
    callbacks, mailed, context_of
):
    error = BatchSupersededError("An input was corrected.", where="flights.features", todo="run it again")
    callbacks.mail_failure(
        _failed("features.stage_features", error, context_of("2013-04-02"), "flights_transform")
    )
    assert len(mailed()) == 1
    context = _failed_run(context_of, "flights_transform", "task_failure")
    callbacks.mail_failed_run(context)
    assert len(mailed()) == 1, "the task has told of it"

    other = {**context, "dag": SimpleNamespace(dag_id="flights_score", dagrun_timeout=timedelta(hours=2))}
    callbacks.mail_failed_run(other)
    assert len(mailed()) == 2, "a run of another DAG may have the same id"
    assert "without saying why" in mailed()[-1]

    again = {**context, "dag_run": context["dag_run"].model_copy(update={"clear_number": 1})}
    callbacks.mail_failed_run(again)
    assert "flights_transform" in mailed()[-1], "it was cleared since, and failed again"
    assert len(mailed()) == 3


@pytest.mark.airflow
def test_run_of_a_form_whose_task_answers_in_red_mails_nobody(callbacks, mailed, context_of):
    context = _failed_run(context_of, "flights_replay", "task_failure", task_id="find_held")
    context["ti"].task.has_on_failure_callback = False
    callbacks.mail_failed_run(context)
    assert mailed() == []


@pytest.mark.airflow
def test_run_that_airflow_says_nothing_of_but_its_id_is_told_all_the_same(callbacks, mailed, context_of):
    whole = _failed_run(context_of, "flights_score", "timed_out")
    callbacks.mail_failed_run({name: whole[name] for name in ("dag", "run_id", "reason")})
    (subject,) = mailed()
    assert subject.startswith("[sluice][FAILED] flights_score: The run took longer")


@pytest.mark.airflow
@pytest.mark.parametrize("stood_at", ["features.stage_features", None])
def test_airflows_dag_processor_sends_the_mail_of_a_run_that_timed_out(
    callbacks, mailed, context_of, stood_at
):
    """The request is what the scheduler makes of a run; what runs it is the function of Airflow's DAG processor."""
    import structlog
    from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun, TaskInstance
    from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
    from airflow.dag_processing.processor import _execute_dag_callbacks

    from sluice.orchestration.stages import crossing, stage_dag

    flights = spec.load("flights")
    with stage_dag(flights, "transform", schedule=None, doc=None) as dag:
        crossing(flights, "features")
    context = context_of("2013-04-02")
    context["dag_run"].dag_id = dag.dag_id
    run = DagRun.model_validate(context["dag_run"].model_dump())
    task = {"dag_id": dag.dag_id, "run_id": "run-1", "try_number": 1, "map_index": -1}
    ids = {"id": uuid.uuid4(), "dag_version_id": uuid.uuid4()}
    request = DagCallbackRequest(
        filepath="transform.py",
        bundle_name="dags",
        bundle_version=None,
        dag_id=dag.dag_id,
        run_id="run-1",
        msg="timed_out",
        context_from_server=DagRunContext(
            dag_run=run, last_ti=TaskInstance(task_id=stood_at, **task, **ids) if stood_at else None
        ),
    )

    bag = SimpleNamespace(dags={dag.dag_id: dag})
    _execute_dag_callbacks(bag, request, structlog.get_logger())

    (subject,) = mailed()
    named = "flights_transform 2013-04-02" if stood_at else "flights_transform"
    assert subject.startswith(f"[sluice][FAILED] {named}: The run took longer than its limit of 2 hours")
