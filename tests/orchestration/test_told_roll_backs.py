"""The watcher tells of roll-backs by the command: each once, with the days that its champion made."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import pipeline_clock
from sluice.models import roles
from tests.models.conftest import flights
from tests.models.test_rolled_back import DAYS, reigns
from tests.models.test_shadow import fitted, world

__all__ = ["fitted", "flights", "reigns", "world"]  # fixtures

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_two_roll_backs_in_a_row_are_two_mails_and_the_first_names_its_days(
    reigns, context_of, sink, mails, monkeypatch
):
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import watch

    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    for version in ("1", "baseline"):
        run = Run(run_id=f"to {version}")
        roles.roll_back(reigns.flights, version, by="ada", why="It ranks at random.", run=run)
    server = {"host": sink[0].host, "port": sink[0].port, "extra": {"disable_ssl": True, "disable_tls": True}}
    name = f"AIRFLOW_CONN_{settings().smtp_connection.upper()}"
    monkeypatch.setenv(name, json.dumps({"conn_type": "smtp", **server}))
    ti = SimpleNamespace(dag_id="flights_watch", task_id="send_notices", run_id="run-1", try_number=1)
    for _ in range(2):
        with set_current_context({**context_of(DAYS[3]), "ti": ti}):
            watch._send_notices.function("flights")
    told = [
        f"{mail['Subject']}: " + " ".join(mail.get_body(("plain",)).get_content().split())
        for mail in mails(sink[1])
        if "ROLLED BACK" in mail["Subject"]
    ]
    assert len(told) == 2
    (first,) = (text for text in told if "Version 2 gives way to version 1" in text)
    assert f"({DAYS[2]} to {DAYS[3]}) were made by version 2" in first
    assert f"Those of {DAYS[3]} are made again by the baseline" in first
    (second,) = (text for text in told if "Version 1 gives way to the baseline" in text)
    entry = ledger.entries(kind="rolled_back", pipeline="flights")[0].seq
    assert f"Entry {entry} of the ledger has ended it since, and the baseline scores now." in first
    assert "the baseline scores: " in first
    assert "version 1 scores again" not in first
    assert "the baseline scores again: " in second
    assert "has ended it" not in second
