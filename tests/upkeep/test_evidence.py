"""Pages, mails and scratch: what goes by its age, and what stays as long as what it is about."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from sluice import holds, ledger, upkeep
from sluice.settings import settings
from tests.upkeep.conftest import RUN, make_old, write


def test_page_of_a_batch_lives_as_long_as_the_batch(world, old):
    reports = settings().reports
    world.clear()
    assert (reports / old.orphan_page).exists(), "its batch is condemned, and still there"
    make_old(world.home, timedelta(days=400))
    world.clear_until_nothing_goes()
    assert not (reports / old.orphan_page).parent.exists()
    for hold in holds.open_holds(world.flights):
        if hold.report:
            assert (reports / hold.report).exists(), "no dead link from what is held"
    for manifest in (*old.shown, old.pinned):
        page = reports / f"flights/gates/schedule/{manifest.partitions[0]}/{manifest.batch_id}.html"
        assert page.exists(), "what readers see, or a model learned from, has its evidence"


def test_what_stands_alone_goes_by_its_age(world, old):
    fresh = [
        write(settings().reports / "flights/monitor/2013-01-02/index.html"),
        write(settings().mail / "20130102T000000-bb-hold.eml"),
        write(settings().work / "flights-features-x2/dbt.duckdb"),
    ]
    lock = write(settings().work / "mail/a.lock", "")
    parsed = [write(settings().work / f"dbt/{name}/partial_parse.msgpack").parent for name in ("a", "b")]
    for path, days in ((lock, 400), (parsed[0], 400), (parsed[1], 300)):
        then = time.time() - days * 86400
        for one in (path, *path.rglob("*")):
            os.utime(one, (then, then))

    gone = upkeep.clear_evidence(world.flights, RUN)

    assert not any(path.exists() for path in (old.monitor, old.mail, old.scratch, parsed[0]))
    assert all(path.exists() for path in (*fresh, old.standing, lock, parsed[1]))
    (entry,) = ledger.entries(kind="maintained", subject="evidence")
    assert entry.data["removed"]["mails"] == {"count": 1, "bytes": 3}
    assert {one.kind for one in gone} == {"reports", "mails", "scratch"}


def test_page_of_an_alarm_stays(world, old):
    alarm = write(settings().reports / "flights/alarms/2013-01-01/schedule_abc.html")
    page = "flights/alarms/2013-01-01/schedule_abc.html"
    ledger.append(
        "rewritten", pipeline="flights", subject="schedule", partition="2013-01-01", data={"report": page}
    )
    make_old(world.home, timedelta(days=400))
    upkeep.clear_evidence(world.flights, RUN)
    assert alarm.exists()
