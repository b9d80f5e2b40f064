"""What the child processes of these tests do: steps of a crossing, readers, and looking at what there is.

A job is a function of this module, called by its name.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sluice import crossing, holds, ledger
from sluice.core import failpoints
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.retention import Retention
from sluice.lake import batches, connection, snapshots, tables
from sluice.ledger import records
from sluice_lab import feed
from tests.proof.observing import observe as observe  # a job of its own
from tests.proof.watching import inside_pyiceberg, watched


def _flights() -> spec.Pipeline:
    return spec.load("flights")


def _run(table: str) -> Run:
    return Run(dag_id="proof", run_id=f"proof_{table}", task_id=table, try_number=1)


def step(name: str, table: str, day: str, batch_id: str | None = None) -> str:
    """One task of a crossing, as its operator runs it; returns its XCom."""
    flights = _flights()
    if name == "stage":
        return crossing.stage(flights, table, [day], _run(table)).batch_id
    assert batch_id is not None
    if name == "audit":
        verdict = crossing.audit(flights, table, batch_id, _run(table))
        crossing.require_publishable(verdict)
        return verdict.publish_batch_id
    return crossing.publish(flights, table, batch_id, _run(table)).batch_id


def cross(table: str, days: list[str]) -> str:
    """A crossing from end to end; returns the batch that was published."""
    flights, run = _flights(), _run(table)
    staged = crossing.stage(flights, table, days, run)
    verdict = crossing.audit(flights, table, staged.batch_id, run)
    crossing.require_publishable(verdict)
    return crossing.publish(flights, table, verdict.publish_batch_id, run).batch_id


def healthy(days: list[str], tables_: list[str]) -> None:
    """Some delivered days, published."""
    flights = _flights()
    feed.deliver_range(flights, days[0], days[-1])
    for table in tables_:
        cross(table, days)


def deliver(
    source: str, day: str, number: int, unknown_carriers: int = 0, wrong_clocks: int = 0, without: int = 0
) -> None:
    """A delivery of a source for a run day: rows that a gate sets aside, fewer rows, and two rows sent twice."""
    import pyarrow as pa

    from sluice.declare import pipeline_clock
    from sluice.ingest import deliveries
    from sluice.lake.landing import Landing
    from sluice_lab.feed import data
    from sluice_lab.feed.formats import encode

    flights = _flights()
    clean = data.rows(source, date.fromisoformat(flights.data_day(source, day)))
    rows = clean.to_pylist()[without:]
    rows += rows[-2:]
    for row in rows[:unknown_carriers]:
        row["carrier"] = "ZZ"
    for row in rows[unknown_carriers : unknown_carriers + wrong_clocks]:
        row["sched_dep_time"] = 1275
    landing = Landing(flights.landing_url)
    landing.create()
    content = encode(pa.Table.from_pylist(rows, schema=clean.schema), flights.source(source).format)
    at = datetime(2013, 7, 1, 7, number, tzinfo=UTC)
    deliveries.write(landing, flights, source, day, content, rows=len(rows), number=number, delivered_at=at)
    pipeline_clock.advance(flights, date.fromisoformat(day))


def finish(table: str, day: str, batch_id: str) -> str:
    """What follows a stage: audit and publish."""
    return step("publish", table, day, step("audit", table, day, batch_id))


def grant(table: str, day: str) -> int:
    """A release that has not crossed yet: a person's word, as `<pipeline>_release` records it before its run goes on."""
    flights, why = _flights(), {"why": "a test", "until": "2013-12-31"}
    return holds.grant(flights, holds.request(flights, table, day, **why), by="Test Person", **why).seq


def release(table: str, day: str) -> str:
    until = "2013-12-31"
    run = _run("release")
    return holds.release(
        _flights(), table, day, by="Test Person", why="a test", until=until, run=run
    ).batch_id


def replay(table: str, day: str) -> str:
    return str(holds.replay(_flights(), table, day, _run("replay")))


def publish_unknown(table: str, day: str, batch_id: str, landed: bool, of: str) -> str:
    """Publish through a catalog that does not say whether the first commit of a table landed, as a REST catalog on a 502."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitStateUnknownException

    commit, asked = SqlCatalog.commit_table, []

    def unknown(self: SqlCatalog, changed: Any, *args: Any) -> Any:
        if asked or changed.name()[-1] != of:
            return commit(self, changed, *args)
        asked.append(changed)
        if landed:
            commit(self, changed, *args)
        raise CommitStateUnknownException("502 Bad Gateway")

    SqlCatalog.commit_table = unknown  # type: ignore[method-assign]
    published = step("publish", table, day, batch_id)
    assert asked, f"nothing of {of} was committed"
    return published


def limited(limit: int, job_: str, **given: Any) -> Any:
    """A job whose files may not grow beyond `limit` bytes: a real write really fails, in the middle of a file."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return globals()[job_](**given)


def fill(path: str, leave: int) -> int:
    """Take all space of a disk but `leave` bytes."""
    found = os.statvfs(Path(path).parent)
    size = max(0, found.f_bavail * found.f_frsize - leave)
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size or 1)
    return size


def remove(path: str) -> None:
    Path(path).unlink()


def versions(day: str) -> list[str]:
    """Two different contents of a day's schedule, staged; and their hashes, as a reader finds them."""
    import pyarrow.parquet as pq

    shown = tables.published("flights", "schedule", day, day)[day]
    rows = pq.read_table(shown.file)
    return [_hash(rows), _hash(rows.slice(5))]


def alternate(day: str, times: int, done: str) -> int:
    """Publish two contents of a day by turns, without rest; returns how often."""
    import pyarrow.parquet as pq

    rows = pq.read_table(tables.published("flights", "schedule", day, day)[day].file)
    with connection.opened() as lake, lake.load_table(("flights", "schedule")).transaction() as change:
        change.set_properties({"write.metadata.previous-versions-max": "1"})
    for number in range(times):
        data = rows.slice(5) if number % 2 == 0 else rows
        staged = batches.stage(
            "flights",
            "schedule",
            data,
            partitions=[day],
            received=data.num_rows,
            dropped={},
            inputs=[],
            run=_run("alternate"),
            sort_by=_flights().sources["schedule"].key,
        )
        tables.publish(staged, verdict_id="proof")
    Path(done).touch()
    return times


def read(day: str, done: str, through: str, into: str) -> dict[str, int]:
    """Read a day until `done` is there; returns hash of what was seen -> how often."""
    import duckdb

    seen = Counter[str]()
    last = False
    while not last:
        last = Path(done).exists()
        if through == "scan":
            seen[_hash(tables.scan("flights", "schedule", day, day))] += 1
        else:
            paths = tables.files("flights", "schedule", day, day, into=Path(into))
            with duckdb.connect(config={"threads": 1}) as con:
                seen[_hash(con.read_parquet(paths, hive_partitioning=False).to_arrow_table())] += 1
    return dict(seen)


def read_late(day: str, gate: str) -> list[str]:
    """Read a day through metadata that were loaded before `gate` was opened: first what was current, then by its id."""
    from sluice.core.errors import SluiceError

    existing = snapshots.existing
    held = tables.snapshot_id("flights", "schedule")

    def waits(*args: Any) -> Any:
        found = existing(*args)
        failpoints._wait_for(Path(gate))
        return found

    snapshots.existing = waits
    answers = [_hash(tables.scan("flights", "schedule", day, day))]
    snapshots.existing = existing
    try:
        answers.append(_hash(tables.scan("flights", "schedule", day, day, snapshot_id=held)))
    except SluiceError as error:
        answers.append(type(error).__name__)
    return answers


def read_slowly(day: str, gate: str) -> str:
    """Read a day; between the catalog's answer and reading the metadata that it named, wait for `gate`."""
    from pyiceberg.serializers import FromInputFile

    read_now = FromInputFile.table_metadata

    def waits(*args: Any, **kwargs: Any) -> Any:
        failpoints._wait_for(Path(gate))
        return read_now(*args, **kwargs)

    FromInputFile.table_metadata = waits  # type: ignore[method-assign]
    return _hash(tables.scan("flights", "schedule", day, day))


def _hash(rows: Any) -> str:
    return hashlib.sha256(repr(rows.select(sorted(rows.column_names)).to_pylist()).encode()).hexdigest()[:16]


def note(count: int) -> int:
    """So many entries of the ledger; returns how many."""
    for number in range(count):
        entry = records.Started(because=(str(os.getpid()),), attempt=number)
        ledger.append(entry, pipeline="flights", subject="arrivals")
    return count


def verify() -> int:
    """How many entries the ledger's chain has."""
    return ledger.verify()


def trace(name: str, table: str, day: str, batch_id: str | None = None) -> dict[str, Any]:
    """A step, watched."""
    return watched(lambda: step(name, table, day, batch_id))


def instrumented(job_: str, **given: Any) -> Any:
    """A job in an installation that keeps no old snapshot, with failpoints inside pyiceberg too."""
    snapshots._SLACK, expire = 0, snapshots.expire
    snapshots.expire = lambda table, _declared: expire(table, Retention(snapshots_count=1))
    inside_pyiceberg()
    return globals()[job_](**given)
