"""A backup that is taken while others write is of one moment, or there is none."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack

import pytest

from sluice import ledger
from sluice.core.errors import BackupFailedError
from sluice.core.settings import ROOT
from sluice.lake import connection, snapshots, tables
from sluice.ledger import records
from sluice.local import home as homes
from sluice.local.home.adoption import databases
from sluice.watch import maintenance
from tests.local.home.publishing import TABLES

pytestmark = pytest.mark.slow

# The module: in its package the name is that of the function.
copying = importlib.import_module("sluice.local.home.backup")

DAYS = ("2013-04-01", "2013-04-02")
BACKUPS = 3


@pytest.fixture
def publishers(home):
    """Two processes that publish, each for a day of its own; both have begun."""
    with ExitStack() as stack:
        started = []
        for day in DAYS:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.local.home.publishing", day],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.stdout.close)
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdout.readline() == "1\n", "it has published"
        yield started


def test_backup_while_others_publish_shows_what_its_ledger_says_was_published(
    home, publishers, use, tmp_path
):
    for number in range(BACKUPS):
        use(home)
        before = ledger.entries(limit=1)[0].seq
        folder = homes.backup(tmp_path / f"backup{number}")
        while ledger.entries(limit=1)[0].seq == before:
            assert publishers[0].stdout.readline(), "it goes on"

        use(folder)
        assert list(homes.adopt())
        use(folder)
        assert ledger.verify() >= before
        for table in TABLES:
            for day in DAYS:
                said = ledger.entries(kind="published", subject=table, partition=day, limit=1)[0]
                shown = tables.published("flights", table, day, day)[day]
                assert shown.batch_id >= said.data["batch_id"]
                rows = tables.scan("flights", table, day, day)["number"].to_pylist()
                assert (len(rows), len(set(rows))) == (5, 1), "one publication as a whole"
            with connection.opened() as lake:
                found = snapshots.existing(lake, "flights", table)
                for snapshot in found.snapshots():
                    rows = found.scan(snapshot_id=snapshot.snapshot_id).to_arrow().num_rows
                    assert rows == int(snapshot.summary["total-records"]), "it can be read whole"
        shutil.rmtree(folder)


def test_nothing_is_removed_while_a_backup_is_taken(home, tmp_path, monkeypatch):
    ledger.append(records.DayCompleted(first_day="2013-04-01"), pipeline="flights", subject="day")
    whole = copying._copy
    asked = []

    def copy(*arguments) -> None:
        with (home / "run" / "maintenance.lock").open("w") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        asked.append(arguments)
        whole(*arguments)

    monkeypatch.setattr(copying, "_copy", copy)
    homes.backup(tmp_path / "backup")
    assert asked
    with maintenance.keep_all():
        pass


def test_backup_whose_tables_lost_their_metadata_meanwhile_is_refused_and_leaves_nothing(
    home, publishers, tmp_path, monkeypatch
):
    """As where one table is published twenty times within the moment between catalog and metadata."""
    for process in publishers:
        process.kill()
    whole = copying._current

    def lost(*arguments):
        found = whole(*arguments)
        for name in found:
            (home / name).unlink()
        return found

    monkeypatch.setattr(copying, "_current", lost)
    with pytest.raises(BackupFailedError, match="their metadata are gone") as refused:
        homes.backup(tmp_path / "backup")
    assert "run the backup again" in refused.value.todo
    assert list(tmp_path.glob("*backup*")) == []


def test_databases_are_found_while_folders_come_and_go(home):
    """Each task has scratch folders; SQLite's journals come and go with each transaction."""
    ledger.append(records.DayCompleted(first_day="2013-04-01"), pipeline="flights", subject="day")
    code = """if True:
        import shutil, sys
        from pathlib import Path
        work = Path(sys.argv[1])
        print("begun", flush=True)
        while True:
            for name in "abcdef":
                (work / name / "inner").mkdir(parents=True)
                (work / name / "x.db-journal").touch()
                shutil.rmtree(work / name)
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home / "work")], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            found = [[path.relative_to(home).as_posix() for path in databases(home)] for _ in range(1000)]
        finally:
            process.kill()
    assert {tuple(each) for each in found} == {("ledger.db",)}
