"""Every decision has a record that cannot be edited without it showing."""

from __future__ import annotations

import multiprocessing
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest
from pydantic import ConfigDict

from sluice import ledger
from sluice.core.errors import LedgerEntryInvalidError, LedgerTamperedError
from sluice.core.settings import settings
from sluice.ledger import records
from sluice.ledger.record import Record


class Note(Record, kind="verdict"):
    """An entry that says anything."""

    model_config = ConfigDict(extra="allow")


def decide(number: int = 1, data: dict[str, object] | None = None, **changes) -> ledger.Entry:
    given = {
        "pipeline": "flights",
        "subject": "arrivals",
        "partition": f"2013-02-{number:02}",
        "run": "manual__1",
    }
    said = data or {"outcome": "PASS", "rows": 900 + number, "why": "Zürich", "share": 0.1}
    return ledger.append(Note(**said), **{**given, **changes})


def tamper(*statements: str) -> None:
    """Change the database as someone who first takes the triggers away."""
    with closing(sqlite3.connect(settings().home / "ledger.db")) as connection:
        connection.execute("DROP TRIGGER sluice_ledger_no_update")
        connection.execute("DROP TRIGGER sluice_ledger_no_delete")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_append_returns_what_entries_later_finds(home):
    before = datetime.now(UTC)
    first, second = decide(1), decide(2)

    assert ledger.entries() == [second, first]
    assert (first.seq, second.seq) == (1, 2)
    assert second.prev == first.hash
    assert first.data == {"outcome": "PASS", "rows": 901, "why": "Zürich", "share": 0.1}
    assert before <= first.at <= second.at <= datetime.now(UTC)
    assert ledger.verify() == 2


def test_entries_of_no_ledger_are_none(home):
    assert ledger.entries() == []
    assert ledger.verify() == 0


def test_entries_filters_combine_and_limit_takes_the_newest(home):
    for number in (1, 2, 3):
        decide(number)
    other = ledger.append(
        records.Published(batch_id="b"), pipeline="flights", subject="arrivals", partition="2013-02-02"
    )
    mine = decide(2, pipeline="trains")

    assert [entry.seq for entry in ledger.entries(partition="2013-02-02")] == [mine.seq, other.seq, 2]
    assert ledger.entries(kind="published", partition="2013-02-02") == [other]
    assert ledger.entries(pipeline="trains", subject="arrivals") == [mine]
    assert ledger.entries(subject="weather") == []
    assert [entry.seq for entry in ledger.entries(kind="verdict", pipeline="flights", limit=2)] == [3, 2]


def test_append_once_again_returns_the_first_entry_unchanged(home):
    first = decide(1, once="verdict batch-1")
    decide(2)

    again = decide(3, once="verdict batch-1", data={"outcome": "HOLD"})

    assert again == first
    assert len(ledger.entries()) == 2


@pytest.mark.parametrize("value", [float("nan"), datetime.now(UTC)])
def test_append_what_is_not_json_is_refused_and_leaves_nothing(home, value):
    with pytest.raises(LedgerEntryInvalidError, match="of kind verdict cannot be recorded: value: "):
        decide(data={"value": value})
    assert ledger.entries() == []


def test_entry_that_was_edited_in_place_is_not_acted_on(home):
    decide(1), decide(2)
    tamper("UPDATE sluice_ledger SET partition = '2013-02-09' WHERE seq = 2")

    with pytest.raises(LedgerTamperedError, match="Entry 2 of the ledger was edited"):
        ledger.entries(partition="2013-02-09")
    assert [entry.seq for entry in ledger.entries(partition="2013-02-01")] == [1]


def test_edited_mail_is_found_by_the_chain_and_stops_no_further_mail(home):
    mail = ledger.append(records.Mail(status="sent"), pipeline="flights", subject="arrivals")
    tamper("UPDATE sluice_ledger SET partition = '2013-02-09'")

    assert [entry.seq for entry in ledger.entries(records.Mail)] == [mail.seq]
    with pytest.raises(LedgerTamperedError, match="Entry 1 of the ledger was edited"):
        ledger.verify()


@pytest.mark.parametrize(
    "statement", ["UPDATE sluice_ledger SET kind = 'published'", "DELETE FROM sluice_ledger WHERE seq = 2"]
)
def test_database_refuses_edits_and_deletes(home, statement):
    decide(1), decide(2)

    with (
        closing(sqlite3.connect(home / "ledger.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(statement)
    assert ledger.verify() == 2


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE sluice_ledger SET data = replace(data, 'PASS', 'HOLD') WHERE seq = 3", 3),
        ("UPDATE sluice_ledger SET at = '2013-01-01T00:00:00.000000+00:00' WHERE seq = 2", 2),
        ("UPDATE sluice_ledger SET partition = NULL WHERE seq = 4", 4),
        ("UPDATE sluice_ledger SET once = 'free again' WHERE seq = 1", 1),
        ("UPDATE sluice_ledger SET hash = prev WHERE seq = 2", 2),
        ("DELETE FROM sluice_ledger WHERE seq = 1", 1),
        ("DELETE FROM sluice_ledger WHERE seq = 3", 3),
        ("DELETE FROM sluice_ledger WHERE seq >= 4", 4),
        ("DELETE FROM sluice_ledger", 1),
        ("DELETE FROM sluice_ledger_head", 6),
    ],
)
def test_verify_names_the_entry_that_was_tampered_with(home, statement, seq):
    for number in range(1, 6):
        decide(number)
    assert ledger.verify() == 5

    tamper(statement)

    with pytest.raises(LedgerTamperedError, match=rf"Entry {seq} "):
        ledger.verify()


def test_verify_finds_an_edit_that_comes_with_a_hash_of_its_own(home):
    from sluice.ledger import store

    decide(1), decide(2), decide(3)
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM sluice_ledger WHERE seq = 2").fetchone())
    forged = store._hash({**row, "subject": "weather"})

    tamper(f"UPDATE sluice_ledger SET subject = 'weather', hash = '{forged}' WHERE seq = 2")

    with pytest.raises(LedgerTamperedError, match=r"Entry 3 .*does not follow"):
        ledger.verify()


def test_append_from_four_processes_keeps_the_chain(home):
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        for repeat in range(25):
            decide(number, run=f"run-{number}", data={"repeat": repeat})
            decide(number, once=f"decision {repeat}")

    workers = [fork.Process(target=work, args=(number,)) for number in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert [worker.exitcode for worker in workers] == [0] * 4
    assert ledger.verify() == 4 * 25 + 25
    for number in range(1, 5):
        mine = [entry.data["repeat"] for entry in ledger.entries() if entry.run == f"run-{number}"]
        assert mine == list(range(24, -1, -1))


def test_append_killed_before_its_commit_leaves_no_trace(home, monkeypatch):
    decide(1)
    fork = multiprocessing.get_context("fork")

    def work() -> None:
        monkeypatch.setenv("SLUICE_FAILPOINT", "ledger.before_commit=kill")
        settings.cache_clear()
        decide(2)

    worker = fork.Process(target=work)
    worker.start()
    worker.join()

    assert worker.exitcode == -9
    assert decide(3).seq == 2
    assert ledger.verify() == 2
