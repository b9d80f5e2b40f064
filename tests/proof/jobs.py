"""What the child processes of these tests do: steps of a crossing, readers, and looking at what there is."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sluice import crossing, failpoints, feed, holds, ledger, spec, waivers
from sluice.lake import batches, catalog, quarantine, snapshots, tables
from sluice.settings import settings

# Rows of these columns differ with the process that made them, not with the data.
_OWN = ("run_id", "scored_at", "feature_snapshot_id")
# What differs from one run to the next in a ledger entry that says the same.
_IDS = (
    *("batch_id", "publish_batch_id", "split_of", "verdict_id", "snapshot_id", "waiver", "dag_id"),
    *("report", "evaluated_at", "begun_after", "seconds", "hashes", "content_hash", "sha256"),
)


def _flights() -> spec.Pipeline:
    return spec.load("flights")


def _run(table: str) -> dict[str, str]:
    return {"dag_id": "proof", "run_id": f"proof_{table}", "task_id": table, "try_number": "1"}


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

    from sluice import clock
    from sluice.feed import data
    from sluice.feed.formats import encode
    from sluice.ingest import deliveries
    from sluice.lake.landing import Landing

    flights = _flights()
    from datetime import date

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
    clock.advance(flights, date.fromisoformat(day))


def finish(table: str, day: str, batch_id: str) -> str:
    """What follows a stage: audit and publish."""
    return step("publish", table, day, step("audit", table, day, batch_id))


def release(table: str, day: str) -> str:
    until = "2013-12-31"
    run = _run("release")
    return holds.release(
        _flights(), table, day, by="Test Person", why="a test", until=until, run=run
    ).batch_id


def replay(table: str, day: str) -> str:
    return str(holds.replay(_flights(), table, day, _run("replay")))


def publish_unknown(table: str, day: str, batch_id: str, landed: bool) -> str:
    """Publish through a catalog that does not say whether its first commit landed, as a REST catalog does on a 502."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.exceptions import CommitStateUnknownException

    commit, asked = SqlCatalog.commit_table, []

    def unknown(self: SqlCatalog, *args: Any) -> Any:
        asked.append(args)
        if len(asked) > 1:
            return commit(self, *args)
        if landed:
            commit(self, *args)
        raise CommitStateUnknownException("502 Bad Gateway")

    SqlCatalog.commit_table = unknown  # type: ignore[method-assign]
    return step("publish", table, day, batch_id)


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

    shown_ = tables.published("flights", "schedule", day, day)[day]
    rows = pq.read_table(shown_.file)
    return [_hash(rows), _hash(rows.slice(5))]


def alternate(day: str, times: int, done: str) -> int:
    """Publish two contents of a day by turns, without rest; returns how often."""
    import pyarrow.parquet as pq

    rows = pq.read_table(tables.published("flights", "schedule", day, day)[day].file)
    with catalog.opened() as lake, lake.load_table(("flights", "schedule")).transaction() as change:
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
    from sluice.errors import SluiceError

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
        ledger.append("note", pipeline="flights", subject="arrivals", data={"pid": os.getpid(), "n": number})
    return count


def verify() -> int:
    """How many entries the ledger's chain has."""
    return ledger.verify()


def observe(table: str, day: str) -> dict[str, Any]:
    """All that must be the same whatever happened on the way to it; of other tables, that nothing was published."""
    flights = _flights()
    ledger.verify()
    entries = [[one.kind, one.subject, one.partition, _plain(one.data)] for one in reversed(ledger.entries())]
    told = any(entry[1] == table and waivers.covers(entry[2] or "", day) for entry in entries)
    trace = holds.trace(flights, table, day) if told else None
    return {
        "shown": {table: shown(table)},
        "others": _others(flights, table),
        "quarantine": _quarantined(table),
        "entries": entries,
        # Of what is published: a batch that nobody was told of is an orphan, and is counted apart.
        "conserved": [[one.conserved, one.conservation] for one in trace.batches if one.published]
        if trace
        else [],
        "published": sum(entry[0] == "published" for entry in entries),
        "commits": {table: _commits(table)},
        "held": [[one.kind, one.table, one.partition, one.rows] for one in holds.open_holds(flights)],
        "staged": {table: _staged(table)},
        "parts": sorted(path.name for path in _files(settings().home) if path.name.startswith(".")),
    }


def _others(flights: spec.Pipeline, table: str) -> dict[str, int | None]:
    """Table -> its snapshot; of all but one, and its quarantine."""
    with catalog.opened() as lake:
        found = {name: snapshots.find(lake, "flights", name) for name in flights.tables if name != table}
        return {name: one.metadata.current_snapshot_id for name, one in found.items() if one}


def _staged(table: str) -> list[str]:
    """Ids of the batches that there are; each of them is whole, or this raises."""
    found = batches.staged("flights", table)
    for batch_id in found:
        batches.check_unchanged(batches.load("flights", table, batch_id))
    return found


def shown(table: str) -> dict[str, str]:
    """Day -> hash of the rows that readers see of it."""
    if tables.snapshot_id("flights", table) is None:
        return {}
    rows = tables.scan("flights", table, "2013-01-01", "2013-12-31")
    kept = rows.drop_columns([name for name in _OWN if name in rows.column_names])
    by_day: dict[str, list[Any]] = {}
    for row in kept.to_pylist():
        by_day.setdefault(str(row["ds"]), []).append(row)
    return {
        day: f"{len(found)} rows {hashlib.sha256(repr(found).encode()).hexdigest()[:16]}"
        for day, found in by_day.items()
    }


def _quarantined(table: str) -> list[list[Any]]:
    names = ("ds", "row_key", "rule", "payload", "status")
    rows = quarantine.rows("flights", table, "2013-01-01", "2013-12-31").to_pylist()
    return sorted([table, *(str(row[name]) for name in names)] for row in rows)


def _commits(table: str) -> list[str]:
    """Batches of the snapshots that there are."""
    if tables.snapshot_id("flights", table) is None:
        return []
    return [one["sluice.batch_id"] for one in tables.history("flights", table)]


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items() if name not in _IDS}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data


def trace(name: str, table: str, day: str, batch_id: str | None = None) -> dict[str, Any]:
    """A step, watched: the points that it passes, and the writes between each two of them.

    A write is what is seen on the disk: a file that is new, gone, renamed or changed. Whatever wrote it, in Python or
    not, is seen. A database and its journal are one file.
    """
    passed, writes, before = Counter[str](), [], _disk()
    order: list[list[Any]] = []
    last = "the beginning"
    plain_hit = failpoints.hit

    def look(here: str) -> None:
        nonlocal before, last
        now = _disk()
        writes.append([last, here, _changes(before, now)])
        before, last = now, here

    def watched(point: str) -> None:
        passed[point] += 1
        order.append([point, passed[point]])
        look(f"{point}#{passed[point]}")
        plain_hit(point)

    failpoints.hit = watched
    xcom = step(name, table, day, batch_id)
    look("the end")
    return {"passed": order, "writes": writes, "xcom": xcom}


# pyiceberg has no points of its own: these are put in front of and behind each of its writes.
ICEBERG = {
    "iceberg.file_begun": "a file of a table's metadata is not written yet",
    "iceberg.file_written": "a file of a table's metadata is written",
    "iceberg.catalog_unchanged": "all of a table's new metadata are written, and the catalog names the old ones",
    "iceberg.catalog_changed": "the catalog names the new metadata",
}


def inside_pyiceberg() -> None:
    """Give this process failpoints in front of and behind each write that pyiceberg makes."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io.pyarrow import PyArrowFile
    from sqlalchemy import event

    failpoints.POINTS.update(ICEBERG)
    create, load = PyArrowFile.create, SqlCatalog.__init__

    def created(self: PyArrowFile, overwrite: bool = False) -> Any:
        failpoints.hit("iceberg.file_begun")
        stream = create(self, overwrite)
        close = stream.close

        class Closing:
            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.close()

            def close(self) -> None:
                close()
                failpoints.hit("iceberg.file_written")

        return Closing()

    def loaded(self: SqlCatalog, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)

        @event.listens_for(self.engine, "commit")
        def _about_to_commit(_connection: Any) -> None:
            failpoints.hit("iceberg.catalog_unchanged")

    PyArrowFile.create, SqlCatalog.__init__ = created, loaded  # type: ignore[method-assign]


def instrumented(job_: str, **given: Any) -> Any:
    """A job in an installation that keeps no old snapshot, with failpoints inside pyiceberg too."""
    snapshots._SNAPSHOTS_KEPT, snapshots._SNAPSHOTS_SLACK = 1, 0
    inside_pyiceberg()
    return globals()[job_](**given)


def _disk() -> dict[str, tuple[int, int, int]]:
    return {str(path): _identity(path) for path in _files(settings().home)}


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    renamed = {now[name]: name for name in now.keys() - before.keys()}
    found = set()
    for name in before.keys() | now.keys():
        if before.get(name) == now.get(name):
            continue
        if name not in now and before[name] in renamed:
            continue  # told where it is now
        found.add(name.removesuffix("-journal").removesuffix("-wal").removesuffix("-shm"))
    return sorted(os.path.relpath(name, settings().home) for name in found)


def _files(folder: Path) -> list[Path]:
    """All files but scratch, which is never the truth, and the feed's cache."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("work", "feed-cache")
    ]
