"""What Airflow keeps of old runs goes, and what is younger stays: in a database that Airflow made."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect

import pytest

from sluice import holds, ledger
from sluice.declare import spec
from sluice.ledger import records
from sluice.local import cleaning, stack

NOW = datetime.now(UTC)


def _log(logs: Path, name: str, written: datetime) -> Path:
    path = logs / name
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    os.utime(path, (written.timestamp(), written.timestamp()))
    return path


@pytest.mark.slow
def test_old_runs_and_their_logs_go_and_younger_ones_and_the_last_scheduled_one_stay(home, monkeypatch):
    environment = stack.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    airflow = Path(sys.executable).parent / "airflow"
    subprocess.run([airflow, "db", "migrate"], check=True, capture_output=True)
    ages = {"manual old": 70, "scheduled older": 80, "scheduled last": 75, "manual new": 10}
    with closing(connect(home / "airflow" / "airflow.db")) as database, database:
        for run_id, days in ages.items():
            began = str((NOW - timedelta(days=days)).replace(tzinfo=None))
            known = {
                "dag_id": "d",
                "run_id": run_id,
                "run_type": run_id.split()[0],
                "state": "success",
                "start_date": began,
                "run_after": began,
                "log_template_id": 1,
                "clear_number": 0,
                "updated_at": began,
                "span_status": "ended",
            }
            names, marks = ", ".join(known), ", ".join("?" * len(known))
            database.execute(f"insert into dag_run ({names}) values ({marks})", tuple(known.values()))
    logs = home / "airflow" / "logs"
    old = _log(logs, "dag_id=d/run_id=old/task_id=t/attempt=1.log", NOW - timedelta(days=70))
    new = _log(logs, "dag_id=d/run_id=new/task_id=t/attempt=1.log", NOW - timedelta(days=10))
    assert cleaning.clean(logs, NOW - cleaning.KEEP) == 1
    with closing(connect(home / "airflow" / "airflow.db")) as database:
        left = {run_id for (run_id,) in database.execute("select run_id from dag_run")}
    assert left == {"scheduled last", "manual new"}
    assert new.is_file()
    assert not old.exists()
    assert sorted(path.name for path in (logs / "dag_id=d").iterdir()) == ["run_id=new"]


def test_what_is_held_or_unknown_is_kept(home, at, monkeypatch):
    flights = spec.load("flights")
    before = datetime.now(UTC)
    assert before <= cleaning.keep_from() + cleaning.KEEP <= datetime.now(UTC)
    at("2013-04-05 07:00")
    about = {"error": "E", "what": "w", "where": "", "allowed": "", "todo": "", "report": ""}
    refused = ledger.append(
        records.Refused(**about), pipeline="flights", subject="arrivals", partition="2013-04-01"
    )
    assert [hold.since for hold in holds.open_holds(flights)] == [refused.at]
    assert cleaning.keep_from() < refused.at
    monkeypatch.setattr(cleaning, "broken_pipelines", lambda: ["other"])
    assert cleaning.keep_from() is None
