"""The databases of the catalog and the ledger: locked by somebody else, gone, their connections cut; SQLite and
PostgreSQL.

Whatever happens to them, a publish waits or fails with an error that may be tried again and names the database, nothing
is shown in part, and the next try ends like an undisturbed one.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sluice.core import databases
from tests.proof.postgres import Postgres, binaries

pytestmark = pytest.mark.slow

DAYS = ("2013-07-04", "2013-07-05")
# Seconds that a step waits for a lock in these tests; a minute otherwise.
LOCK_SECONDS = 1
# For what waits for others that do get on.
PATIENT = {"SLUICE_LOCK_SECONDS": "60"}


@dataclass
class Installation(ABC):
    """Two days that are staged and audited, and not published."""

    lake: Any
    home: Path
    env: dict[str, str]
    batch_ids: list[str] = field(default_factory=list)

    def publish(self, day: int = 0, failpoint: str = "") -> dict[str, Any]:
        """The job that publishes one of the days."""
        batch_id = self.batch_ids[day]
        given = {"name": "publish", "table": "arrivals", "day": DAYS[day], "batch_id": batch_id}
        return {"job": "step", "env": self.env, "failpoint": failpoint, **given}

    def seen(self) -> dict[str, Any]:
        found = self.lake.do("observe", env=self.env, table="arrivals", day=DAYS[0]).require()
        return {name: found[name] for name in ("shown", "quarantine", "published", "commits")}

    def nothing_is_shown(self) -> bool:
        return not self.seen()["shown"]["arrivals"]

    # What differs between the two.

    @abstractmethod
    def locked(self, what: str) -> AbstractContextManager[None]:
        """While it lasts, nobody else can write to the `catalog` or the `ledger`."""

    @abstractmethod
    def where(self, what: str) -> str:
        """What an error about it names."""


class Sqlite(Installation):
    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        with closing(sqlite3.connect(self.home / f"{what}.db", isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield

    def where(self, what: str) -> str:
        return str(self.home / f"{what}.db")


@dataclass
class InPostgres(Installation):
    server: Postgres | None = None

    def locked(self, what: str) -> AbstractContextManager[None]:
        assert self.server
        tables = {"catalog": ["iceberg_tables", "iceberg_namespace_properties"]}
        tables["ledger"] = ["sluice_ledger", "sluice_ledger_head"]
        return self.server.locked(what, *tables[what])

    def where(self, what: str) -> str:
        assert self.server
        return f"127.0.0.1:{self.server.port}/{what}"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    folder = binaries()
    if folder is None:
        pytest.skip("NOT TRIED: no PostgreSQL (initdb, postgres) in PATH or under /usr/lib/postgresql")
    made = Postgres(folder)
    yield made
    made.close()


def _prepared(
    lake: Any, folder: Path, feed_cache: Path, env: dict[str, str], kind: type[Installation]
) -> Installation:
    home = folder / "home"
    home.mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    made = kind(lake, home, {"SLUICE_HOME": str(home), "SLUICE_LOCK_SECONDS": str(LOCK_SECONDS), **env})
    for day in DAYS:
        given = {"source": "arrivals", "day": day, "number": 1, "unknown_carriers": 5, "wrong_clocks": 2}
        lake.do("deliver", env=made.env, **given).require()
        step = {"job": "step", "env": made.env, "table": "arrivals", "day": day}
        staged = lake.at_once({**step, "name": "stage"})[0].require()
        made.batch_ids.append(lake.at_once({**step, "name": "audit", "batch_id": staged})[0].require())
    shutil.copytree(home, folder / "saved", symlinks=True)
    return made


def _restore(made: Installation) -> None:
    """The same folder again: manifests hold absolute paths."""
    shutil.rmtree(made.home)
    shutil.copytree(made.home.parent / "saved", made.home, symlinks=True)


@pytest.fixture(scope="module")
def _in_sqlite(lake, tmp_path_factory, feed_cache) -> Installation:
    return _prepared(lake, tmp_path_factory.mktemp("sqlite"), feed_cache, {}, Sqlite)


@pytest.fixture(scope="module")
def _in_postgres(lake, server, tmp_path_factory, feed_cache) -> Installation:
    for name in ("catalog", "ledger"):
        server.do(f"create database {name}")
    env = {"SLUICE_CATALOG_URI": server.url("catalog"), "SLUICE_LEDGER_URI": server.url("ledger")}
    made = _prepared(lake, tmp_path_factory.mktemp("postgres"), feed_cache, env, InPostgres)
    made.server = server
    for name in ("catalog", "ledger"):
        server.do(f"create database saved_{name} template {name}")
    return made


@pytest.fixture
def in_sqlite(_in_sqlite: Sqlite) -> Sqlite:
    _restore(_in_sqlite)
    return _in_sqlite


@pytest.fixture
def in_postgres(_in_postgres: InPostgres) -> InPostgres:
    _restore(_in_postgres)
    for name in ("catalog", "ledger"):
        _in_postgres.server.do(f"drop database {name} with (force)")
        _in_postgres.server.do(f"create database {name} template saved_{name}")
    return _in_postgres


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def installation(request) -> Installation:
    return request.getfixturevalue(f"in_{request.param}")


@pytest.fixture
def undisturbed(in_sqlite: Sqlite) -> dict[str, Any]:
    for day in (0, 1):
        in_sqlite.lake.at_once(in_sqlite.publish(day))[0].require()
    return in_sqlite.seen()


def is_unavailable(ended: Any, installation: Installation, what: str) -> bool:
    """Whether a step ended with an error that says which database it was, and that may be tried again."""
    assert ended.raised == "DatabaseUnavailableError", ended.trace
    return (
        ended.retryable and f"The {what}'s database" in ended.said and installation.where(what) in ended.said
    )


@pytest.mark.parametrize("what", ["catalog", "ledger"])
def test_publish_while_a_database_is_locked_fails_retryably_and_the_next_try_publishes(
    installation, what, proofs
):
    lake = installation.lake
    lake.at_once(installation.publish(1))[0].require()
    before = installation.seen()
    with installation.locked(what):
        started = time.monotonic()
        (ended,) = lake.at_once(installation.publish(0))
        took = time.monotonic() - started

    assert is_unavailable(ended, installation, what)
    assert installation.seen() == before, "nothing in part"
    lake.at_once(installation.publish(0))[0].require()
    after = installation.seen()
    assert len(after["shown"]["arrivals"]) == 2
    assert len(after["commits"]["arrivals"]) == 2
    assert after["published"] == 2
    proofs("outage", f"{what} locked, {type(installation).__name__}", failed_after=f"{took:.0f} s")


@pytest.mark.parametrize(
    ("point", "what", "shown"),
    [("publish.before_commit", "catalog", 0), ("publish.committed", "ledger", 1)],
)
def test_database_locked_in_the_middle_of_a_publish_leaves_all_or_nothing(
    installation, tmp_path, point, what, shown, proofs
):
    """`publish.committed`: the commit has landed, and its record cannot be made. It is neither repeated nor undone."""
    lake, gate = installation.lake, tmp_path / "gate"
    (pid,) = lake.start(installation.publish(0, f"{point}=wait:{gate}"))
    lake.until_waiting(gate)
    with installation.locked(what):
        gate.touch()
        (ended,) = lake.wait(pid)

    assert is_unavailable(ended, installation, what)
    assert len(installation.seen()["shown"]["arrivals"]) == shown
    lake.at_once(installation.publish(0))[0].require()
    after = installation.seen()
    assert (len(after["commits"]["arrivals"]), after["published"]) == (1, 1)
    proofs("outage", f"{what} locked at {point}, {type(installation).__name__}")


def test_what_a_url_says_itself_wins_in_the_catalog_and_in_the_ledger():
    url = "postgresql+psycopg2://somebody@server/d?options=-csearch_path%3Dsluice&connect_timeout=3"
    engine = databases.engine(url)
    _, given = engine.dialect.create_connect_args(engine.url)
    assert (given["options"], given["connect_timeout"]) == ("-csearch_path=sluice", "3")
    assert given["keepalives_idle"] == "30", "what it does not say is bounded all the same"
    assert engine.url.render_as_string(hide_password=False) == databases.with_connect_args(url)


@pytest.mark.long
def test_publish_waits_for_a_lock_that_is_released_in_time(installation, tmp_path, proofs):
    """What is waited for is the lock: the publish cannot end before it is released, and ends well after."""
    lake, gate = installation.lake, tmp_path / "gate"
    env = {**installation.env, **PATIENT}
    (pid,) = lake.start({**installation.publish(0, f"publish.before_commit=wait:{gate}"), "env": env})
    lake.until_waiting(gate)
    with installation.locked("catalog"):
        gate.touch()
    lake.wait(pid)[0].require()
    assert installation.seen()["published"] == 1
    proofs("outage", f"catalog locked for less than a publish waits, {type(installation).__name__}")


@pytest.mark.long
def test_postgres_publishes_what_sqlite_does(in_postgres, undisturbed, proofs):
    lake = in_postgres.lake
    for day in (0, 1):
        lake.at_once(in_postgres.publish(day))[0].require()
    seen = in_postgres.seen()
    assert {name: seen[name] for name in ("shown", "quarantine", "published")} == {
        name: undisturbed[name] for name in ("shown", "quarantine", "published")
    }
    proofs("outage", "none, on PostgreSQL")


@pytest.mark.parametrize(
    "processes", [pytest.param(8, id="8"), pytest.param(16, id="16", marks=pytest.mark.long)]
)
def test_postgres_same_publish_from_many_processes_takes_effect_once(in_postgres, processes, proofs):
    """On a catalog whose own tables nobody has made yet, too."""
    in_postgres.server.do("drop database catalog with (force)")
    in_postgres.server.do("create database catalog")
    env = {**in_postgres.env, **PATIENT}
    jobs = [{**in_postgres.publish(n % 2), "env": env} for n in range(processes)]
    ended = in_postgres.lake.at_once(*jobs)

    assert all(one.retryable or not one.raised for one in ended), [one.trace for one in ended if one.raised]
    seen = in_postgres.seen()
    assert len(seen["shown"]["arrivals"]) == 2
    assert len(seen["commits"]["arrivals"]) == 2
    assert seen["published"] == 2
    lost = sum(one.retryable for one in ended)
    proofs("race", f"PostgreSQL, 2 publishes from {processes} processes", tried_again=lost)


@pytest.mark.long
def test_postgres_ledger_of_many_writers_is_one_chain(in_postgres, proofs):
    env = {**in_postgres.env, **PATIENT}
    jobs = [{"job": "note", "env": env, "count": 25} for _ in range(8)]
    ended = in_postgres.lake.at_once(*jobs)
    assert [one.require() for one in ended] == [25] * 8
    assert in_postgres.lake.do("verify", env=in_postgres.env).require() == 200 + 4
    proofs("race", "PostgreSQL, ledger, 8 writers of 25 entries")


@pytest.mark.long
def test_postgres_stopped_between_two_steps_fails_retryably_and_goes_on(in_postgres, proofs):
    lake = in_postgres.lake
    in_postgres.server.stop()
    try:
        (ended,) = lake.at_once(in_postgres.publish(0))
    finally:
        in_postgres.server.start()

    assert is_unavailable(ended, in_postgres, "ledger")
    assert in_postgres.nothing_is_shown()
    lake.at_once(in_postgres.publish(0))[0].require()
    assert in_postgres.seen()["published"] == 1
    proofs("outage", "PostgreSQL stopped between two steps")


@pytest.mark.long
@pytest.mark.parametrize(
    ("point", "database", "shown"),
    [
        ("publish.before_commit", "catalog", 0),
        ("publish.committed", "catalog", 1),
        ("ledger.before_commit", "ledger", 1),
    ],
)
def test_postgres_connection_cut_in_the_middle_leaves_all_or_nothing(
    in_postgres, tmp_path, point, database, shown, proofs
):
    lake, gate = in_postgres.lake, tmp_path / "gate"
    (pid,) = lake.start(in_postgres.publish(0, f"{point}=wait:{gate}"))
    lake.until_waiting(gate)
    cut = in_postgres.server.cut(database)
    gate.touch()
    (ended,) = lake.wait(pid)

    assert cut, "there was a connection"
    assert ended.retryable or not ended.raised, ended.trace
    assert len(in_postgres.seen()["shown"]["arrivals"]) in (shown, 1)
    lake.at_once(in_postgres.publish(0))[0].require()
    after = in_postgres.seen()
    assert (len(after["commits"]["arrivals"]), after["published"]) == (1, 1)
    proofs("outage", f"PostgreSQL connections cut at {point}", cut=cut, ended=ended.raised or "well")
