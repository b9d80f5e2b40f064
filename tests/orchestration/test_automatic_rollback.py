"""The task in which the gate takes a champion back: it mails, and wakes the run that scores the day again; where the champion stays it is skipped."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from sluice.core.settings import settings
from sluice.models import roles
from tests.models.conftest import flights
from tests.models.test_automatic_rollback import DAY, flat, held, reigns
from tests.models.test_shadow import fitted, world

__all__ = ["fitted", "flat", "flights", "held", "reigns", "world"]

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


@pytest.fixture
def run_task(held, context_of, sink, monkeypatch):
    """Function: do what the task does in a run of DAY, with a mail server; returns the days that it wakes."""
    from airflow.sdk.execution_time.context import OutletEventAccessors, set_current_context

    from sluice.orchestration import rollback

    server = {"host": sink[0].host, "port": sink[0].port, "extra": {"disable_ssl": True, "disable_tls": True}}
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"
    monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **server}))

    def run() -> list[str]:
        ti = SimpleNamespace(
            dag_id="flights_score", task_id="roll_back_automatically", run_id="run-1", try_number=1
        )
        events = OutletEventAccessors()
        with set_current_context({**context_of(DAY), "ti": ti, "outlet_events": events}):
            return rollback._roll_back_automatically.function("flights")

    return run


def test_task_takes_the_champion_back_mails_once_and_wakes_the_day(held, run_task, sink, mails):
    assert run_task() == [DAY]
    assert roles.current(held.flights).champion == 1
    (mail,) = mails(sink[1])
    assert mail["Subject"].strip() == (
        f"[sluice][ROLLED BACK] flights flights_late_arrival {DAY}: version 1 scores again"
    )
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "Version 2 gives way to version 1, says the gate of predictions: it held the predictions" in text


def test_task_is_skipped_with_the_reason_where_the_champion_stays(held, run_task, sink, mails):
    from airflow.sdk.exceptions import AirflowSkipException

    run_task()
    with pytest.raises(AirflowSkipException, match="Not the champion of now has made"):
        run_task()
    assert len(mails(sink[1])) == 1
