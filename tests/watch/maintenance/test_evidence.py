"""Pages, mails and scratch: what goes by its age, and what stays as long as what it is about."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta
from pathlib import Path

from sluice import holds, ledger
from sluice.core.settings import settings
from sluice.ledger import records
from sluice.watch import maintenance
from sluice.watch.maintenance import evidence
from tests.watch.maintenance.conftest import RUN, make_old, write


def test_page_of_a_batch_lives_as_long_as_the_batch(world, old):
    reports = settings().home / "reports"
    world.clear()
    assert (reports / old.orphan_page).exists(), "its batch is condemned, and still there"
    make_old(world.home, timedelta(days=400))
    world.clear_until_nothing_goes()
    assert not (reports / old.orphan_page).parent.exists()
    linked = [hold.report for hold in holds.open_holds(world.flights) if hold.report]
    assert old.held_page in linked
    assert all((reports / page).exists() for page in linked), "no dead link from what is held"
    for manifest in (*old.shown, old.pinned):
        page = reports / f"flights/gates/schedule/{manifest.partitions[0]}/{manifest.batch_id}.html"
        assert page.exists(), "what readers see, or a model learned from, has its evidence"


def test_what_stands_alone_goes_by_its_age(world, old):
    fresh = [
        write(settings().home / "reports" / "flights/monitor/2013-01-02/index.html"),
        write(settings().mail / "20130102T000000-bb-hold.eml"),
        write(settings().work / "flights-features-x2/dbt.duckdb"),
    ]
    lock = write(settings().work / "mail/a.lock", "")
    parsed = [write(settings().work / f"dbt/{name}/partial_parse.msgpack").parent for name in ("a", "b")]
    for path, days in ((lock, 400), (parsed[0], 400), (parsed[1], 300)):
        then = time.time() - days * 86400
        for one in (path, *path.rglob("*")):
            os.utime(one, (then, then))

    gone = maintenance.clear_evidence(world.flights, RUN)

    assert not any(path.exists() for path in (old.monitor, old.mail, old.scratch, parsed[0]))
    assert all(path.exists() for path in (*fresh, old.standing, lock, parsed[1]))
    (entry,) = ledger.entries(kind="maintained", subject="evidence")
    assert entry.data["removed"]["mails"] == {"count": 1, "bytes": 3}
    assert {one.kind for one in gone} == {"reports", "mails", "scratch"}


def test_mail_that_another_maintenance_removes_meanwhile_is_no_error(world, monkeypatch):
    mail = write(settings().mail / "20130101T000000-aa-hold.eml")
    make_old(settings().mail)

    def modified(path: Path) -> datetime:
        found = real(path)
        mail.unlink(missing_ok=True)
        return found

    real = evidence._modified
    monkeypatch.setattr(evidence, "_modified", modified)
    maintenance.clear_evidence(world.flights, RUN)
    assert not mail.exists()


class _Listed:
    """What `os.scandir` gave for a folder that has changed since."""

    def __init__(self, entries: list[os.DirEntry]) -> None:
        self._entries = iter(entries)

    def __enter__(self) -> _Listed:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __iter__(self) -> _Listed:
        return self

    def __next__(self) -> os.DirEntry:
        return next(self._entries)


def test_folder_that_a_task_removes_while_it_is_looked_at_is_no_error(world, tmp_path, monkeypatch):
    folder = write(settings().work / "reading-x" / "deep" / "delivered").parent.parent
    make_old(settings().work)

    def listing(path):
        if isinstance(path, int) or Path(path) != folder:
            return real(path)
        if not entries:
            with real(path) as found:
                entries.extend(found)
            (folder / "deep").rename(tmp_path / "gone")
        return _Listed(entries)

    entries: list[os.DirEntry] = []
    real = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", listing)
        maintenance.clear_evidence(world.flights, RUN)
    assert (tmp_path / "gone").exists(), "it was looked at"


def test_page_of_an_alarm_stays(world, old):
    alarm = write(settings().home / "reports" / "flights/alarms/2013-01-01/schedule_abc.html")
    page = "flights/alarms/2013-01-01/schedule_abc.html"
    ledger.append(
        records.Rewritten(report=page), pipeline="flights", subject="schedule", partition="2013-01-01"
    )
    make_old(world.home, timedelta(days=400))
    maintenance.clear_evidence(world.flights, RUN)
    assert alarm.exists()
