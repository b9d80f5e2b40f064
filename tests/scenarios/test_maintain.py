"""The maintenance DAG in a real Airflow: what is old goes, what is needed stays, and a changed ledger is an alarm."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice_lab import feed

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]

PIPELINE, DAY = "flights_s3", "2013-11-22"
LONG_AGO = (datetime.now(UTC) - timedelta(days=400)).timestamp()


def _old(path: Path) -> Path:
    for one in (path, *path.rglob("*")):
        os.utime(one, (LONG_AGO, LONG_AGO))
    return path


def test_maintenance_clears_what_is_old_beside_a_day_and_alarms_about_a_changed_ledger(live):
    pipeline = spec.load(PIPELINE)
    feed.deliver(pipeline, DAY, sources=list(pipeline.sources))
    live.succeed(f"{PIPELINE}_ingest", partition=DAY)
    shown = tables.scan(PIPELINE, "schedule", DAY, DAY)
    page = (settings().home / "reports") / ledger.entries(
        kind="verdict", pipeline=PIPELINE, subject="schedule"
    )[0].data["report"]
    half = _old(
        _write(
            settings().home / f"lake/{PIPELINE}/schedule/data/20120101T000000000000-0badca/ds={DAY}.parquet"
        )
    )
    _old(half.parent)
    report = _old(_write(settings().home / "reports" / f"{PIPELINE}/monitor/2012-01-01/index.html"))
    mail = _old(_write(settings().mail / "20120101T000000-0badca-old.eml"))
    scratch = _old(_write(settings().work / "flights-features-old/dbt.duckdb").parent)
    _old(page)
    waiting = crossing.stage(pipeline, "airlines", [DAY], Run(run_id="scenario"))
    seen = set(live.mails()) - {mail.name}

    run = live.succeed(f"{PIPELINE}_maintain")

    assert set(live.states(run).values()) == {"success"}
    assert not any(path.exists() for path in (half, half.parent, report, mail, scratch))
    assert page.exists(), "evidence of what readers see"
    assert tables.scan(PIPELINE, "schedule", DAY, DAY).equals(shown)
    batches.check_unchanged(waiting)
    done = {entry.subject: entry.data for entry in ledger.entries(kind="maintained", pipeline=PIPELINE)}
    assert done["tables"]["removed"]["half_written_batches"]["count"] == 1
    assert {"reports", "mails", "scratch"} <= set(done["evidence"]["removed"])
    assert done["published"]["missing"] == []
    assert set(live.mails()) == seen, "silence"
    live.succeed(f"{PIPELINE}_maintain")

    broken = ledger.entries(pipeline=PIPELINE, kind="staged", limit=1)[0]
    _edit(broken.seq, "somebody")
    try:
        run = live.run(f"{PIPELINE}_maintain")
        assert live.states(run) == {
            "check_ledger": "failed",
            "clear_tables": "upstream_failed",
            "clear_evidence": "upstream_failed",
            "check_published": "success",
        }
        (subject,) = [str(mail["Subject"]) for name, mail in live.mails().items() if name not in seen]
        assert subject.startswith(
            f"[sluice][ALARM] {PIPELINE} ledger: Entry {broken.seq} of the ledger was edited"
        )
    finally:
        _edit(broken.seq, broken.run)
    live.succeed(f"{PIPELINE}_maintain")
    (over,) = [
        str(mail["Subject"])
        for name, mail in live.mails().items()
        if name not in seen and "RESOLVED" in str(mail["Subject"])
    ]
    assert "ledger" in over


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("old")
    return path


def _edit(seq: int, run: str | None) -> None:
    """As somebody with the database's file could."""
    with sqlite3.connect(settings().home / "ledger.db", timeout=60) as connection:
        (trigger,) = connection.execute(
            "select sql from sqlite_master where name = 'sluice_ledger_no_update'"
        ).fetchone()
        connection.execute("drop trigger sluice_ledger_no_update")
        connection.execute("update sluice_ledger set run = ? where seq = ?", [run, seq])
        connection.execute(trigger)
