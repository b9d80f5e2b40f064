"""The chain of the ledger, and the file of every published partition."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import event

from sluice import holds, ledger
from sluice.cli import main
from sluice.core import databases
from sluice.core.errors import LedgerTamperedError
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare.retention import Retention
from sluice.lake import batches
from sluice.ledger import schema
from sluice.notify import report
from sluice.notify.compose import compose
from sluice.watch import maintenance
from tests.watch.maintenance.conftest import RUN, TABLE


def _tamper(seq: int) -> None:
    with sqlite3.connect(settings().home / "ledger.db") as connection:
        connection.execute("drop trigger sluice_ledger_no_update")
        connection.execute("update sluice_ledger set run = 'nobody' where seq = ?", [seq])


def test_intact_chain_is_recorded_with_its_length_and_last_hash(world):
    world.stage("2013-01-01")
    last = world.judge(world.stage("2013-01-02")) and ledger.entries(limit=1)[0]
    assert maintenance.check_chain(world.flights, RUN) == (last.seq, last.hash)
    (entry,) = ledger.entries(kind="maintained", subject="ledger")
    assert (entry.data["entries"], entry.data["head"]) == (last.seq, last.hash)


def test_length_and_last_hash_are_of_one_entry_whoever_writes_meanwhile(world, monkeypatch):
    world.stage("2013-01-01")

    def checking() -> int:
        world.stage("2013-01-02")
        entries = verify()
        world.stage("2013-01-03")
        return entries

    verify = ledger.verify
    monkeypatch.setattr(ledger, "verify", checking)
    entries, head = maintenance.check_chain(world.flights, RUN)
    assert [entry.hash for entry in ledger.entries() if entry.seq == entries] == [head]
    assert entries == 2


def test_broken_chain_is_an_alarm_that_names_the_first_entry(world):
    for day in ("2013-01-01", "2013-01-02", "2013-01-03"):
        world.stage(day)
    _tamper(2)
    with pytest.raises(LedgerTamperedError, match="Entry 2 of the ledger was edited") as caught:
        maintenance.check_chain(world.flights, RUN)
    told = report.of_exception(
        world.flights, caught.value, task_id="check_ledger", run_id="r", partition=None, task_url="http://t"
    )
    mail = compose(told, sender="sluice@localhost", to=["oncall@example.com"])
    assert mail["Subject"].startswith("[sluice][ALARM] flights ledger: Entry 2 of the ledger was edited")
    assert "clears nothing away" in mail.get_body(("plain",)).get_content()


def test_what_becomes_held_while_the_maintenance_looks_is_still_listed(world, monkeypatch):
    world.judge(world.stage("2013-01-01"), "HOLD")
    late = world.stage("2013-01-02")

    def looking(spec):
        found = open_from(spec)
        world.judge(late, "HOLD")
        return found

    open_from = holds.open_from
    monkeypatch.setattr(holds, "open_from", looking)
    maintenance.check_chain(world.flights, RUN)
    monkeypatch.setattr(holds, "open_from", open_from)
    assert [hold.partition for hold in holds.open_holds(world.flights)] == ["2013-01-01", "2013-01-02"]
    world.publish_on_a_corrected_gate(late)
    maintenance.check_chain(world.flights, RUN)
    assert [hold.partition for hold in holds.open_holds(world.flights)] == ["2013-01-01"]


def test_ledger_of_an_earlier_version_gets_its_indexes(world):
    world.stage("2013-01-01")
    with sqlite3.connect(settings().home / "ledger.db") as connection:
        for index in schema.LEDGER.indexes:
            connection.execute(f"drop index {index.name}")
    maintenance.check_chain(world.flights, RUN)
    with sqlite3.connect(settings().home / "ledger.db") as connection:
        found = {
            name for (name,) in connection.execute("select name from sqlite_master where type = 'index'")
        }
    assert {index.name for index in schema.LEDGER.indexes} <= found


@pytest.mark.parametrize(
    "asked",
    [
        {"pipeline": "flights", "subject": TABLE, "partition": "2013-01-01"},
        {
            "kind": "published",
            "pipeline": "flights",
            "subject": TABLE,
            "days": Partition("2013-01-01", "2013-01-02"),
        },
        {"kind": "mail", "pipeline": "flights", "after": 1},
    ],
    ids=["partition", "days", "kind"],
)
def test_what_is_asked_of_the_ledger_is_found_by_an_index(world, asked):
    """Not by reading all entries: the database's own plan says so."""
    world.stage("2013-01-01")
    seen = []
    engine = databases.engine(settings().ledger_url)

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_rest) -> None:
        seen.append((statement, parameters))

    ledger.entries(**asked)
    statement, parameters = seen[-1]
    with sqlite3.connect(settings().home / "ledger.db") as connection:
        plan = [row[3] for row in connection.execute(f"explain query plan {statement}", parameters)]
    assert any("USING INDEX sluice_ledger_by_" in step for step in plan), plan


def test_partition_whose_file_is_gone_is_found_however_old(world):
    gone = world.cross("2013-01-01", 10)
    world.cross("2013-01-20", 20)
    assert maintenance.check_published(world.flights, RUN).rewritten == ()
    Path(gone.files["2013-01-01"]).unlink()

    found = maintenance.check_published(world.flights, RUN)

    assert [(one.table, one.day, one.found.problem) for one in found.rewritten] == [
        (TABLE, "2013-01-01", "removed")
    ]
    assert found.partitions == 2
    assert ledger.entries(kind="maintained", subject="published")[0].data["missing"] == [
        f"{TABLE} 2013-01-01"
    ]
    assert ledger.entries(kind="rewritten", partition="2013-01-01")


def test_what_is_recorded_of_the_day_beside_a_gone_one_is_told_too(world):
    gone, edited = world.cross("2013-01-01", 10), world.cross("2013-01-02", 20)
    world.cross("2013-01-20", 30)
    Path(gone.files["2013-01-01"]).unlink()
    path = Path(edited.files["2013-01-02"])
    pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)

    found = maintenance.check_published(world.flights, RUN)

    recorded = {entry.partition for entry in ledger.entries(kind="rewritten")}
    assert {one.day for one in found.rewritten} == recorded == {"2013-01-01", "2013-01-02"}
    assert ledger.entries(kind="maintained", subject="published")[0].data["missing"] == [
        f"{TABLE} 2013-01-01"
    ]


def test_command_says_what_goes_and_dry_run_leaves_it(world, old):
    dry = CliRunner().invoke(main, ["maintain", "flights", "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "would go: condemned batches: 2" in dry.output
    assert batches.load("flights", TABLE, old.orphan.batch_id)
    done = CliRunner().invoke(main, ["maintain", "flights"])
    assert "  condemned batches: 2" in done.output
    _tamper(1)
    broken = CliRunner().invoke(main, ["maintain", "flights"])
    assert broken.exit_code == 1
    assert "Entry 1 of the ledger was edited" in broken.output


def test_retention_shorter_than_the_grace_period_is_refused():
    with pytest.raises(ValueError, match="batches_days is shorter than grace_days"):
        Retention(batches_days=2, grace_days=3)
