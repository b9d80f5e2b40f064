"""Where mails go is what the Airflow connection says, and a mail names the run's partition."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from sluice import spec
from sluice.errors import DeliveryMissingError
from sluice.settings import settings


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
