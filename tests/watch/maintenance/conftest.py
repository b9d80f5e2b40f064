"""An installation that has grown old: batches of every kind, made through the real lake, crossing and ledger.

Only the gate is left out: its verdicts are appended as it would append them, because what it judges is not the matter here.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

import sluice.core.clock
from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.lake import batches, connection, quarantine, snapshots, tables
from sluice.lake.batches import Manifest
from sluice.ledger.kinds import KINDS
from sluice.watch import maintenance

RUN = Run(dag_id="flights_ingest", run_id="test")
TABLE = "schedule"
LONG_AGO = timedelta(days=100)


class World:
    """What a test does to an installation, and sees of it."""

    def __init__(self, home: Path) -> None:
        flights = spec.load("flights")
        # Of the sources only one: all tables are alike.
        self.home, self.flights = (
            home,
            flights.model_copy(update={"sources": {TABLE: flights.sources[TABLE]}}),
        )
        pipeline_clock.advance(self.flights, date(2013, 2, 1))

    def stage(self, day: str, number: int = 0, table: str = TABLE) -> Manifest:
        """A batch of three rows that only this number has."""
        rows = pa.table(
            {
                "ds": pa.array([date.fromisoformat(day)] * 3, pa.date32()),
                "flight": pa.array([number, number + 1, number + 2], pa.int64()),
            }
        )
        manifest = batches.stage(
            "flights", table, rows, partitions=[day], received=3, dropped={}, inputs=[], run=RUN, sort_by=["flight"]
        )  # fmt: skip
        self.note("staged", table, day, batch_id=manifest.batch_id)
        return manifest

    def judge(self, manifest: Manifest, outcome: str = "PASS") -> str:
        """A verdict, with its page; returns the page's path."""
        day, table = manifest.partitions[0], manifest.table
        page = f"flights/gates/{table}/{day}/{manifest.batch_id}.html"
        for path in (
            settings().home / "reports" / page,
            ((settings().home / "reports") / page).with_suffix(".json"),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        self.note(
            "verdict" if outcome == "PASS" else "held", table, day, batch_id=manifest.batch_id,
            verdict_id=f"{manifest.batch_id}-v", publish_batch_id=manifest.batch_id, outcome=outcome, rules=[],
            reasons=["A test."], report=page, rows=3,
        )  # fmt: skip
        return page

    def publish(self, manifest: Manifest) -> None:
        crossing.publish(self.flights, manifest.table, manifest.batch_id, RUN)

    def publish_on_a_corrected_gate(self, manifest: Manifest) -> None:
        self.judge(manifest)
        self.publish(manifest)

    def cross(self, day: str, number: int = 0) -> Manifest:
        manifest = self.stage(day, number)
        self.judge(manifest)
        self.publish(manifest)
        return manifest

    def rows(self) -> dict[str, list[int]]:
        """What readers see, by day, read from the files."""
        found: dict[str, list[int]] = {}
        for row in tables.scan("flights", TABLE, "2013-01-01", "2013-12-31").to_pylist():
            found.setdefault(row["ds"].isoformat(), []).append(row["flight"])
        return found

    def clear(self, **given) -> dict[str, int]:
        """One run of the maintenance; returns how many of each kind went."""
        gone = [
            *maintenance.clear_tables(self.flights, RUN, **given),
            *maintenance.clear_evidence(self.flights, RUN, **given),
        ]
        return {
            kind: sum(one.kind == kind for one in gone) for kind in dict.fromkeys(one.kind for one in gone)
        }

    def clear_until_nothing_goes(self, **given) -> int:
        """Returns after how many runs."""
        for runs in range(1, 6):
            if not self.clear(**given):
                return runs
        raise AssertionError(f"the maintenance does not come to an end: {self.clear(**given)}")

    def state(self) -> dict[str, object]:
        """Everything but the ledger, the lock of the maintenance, and the names of Iceberg's metadata files, which are random."""
        files = sorted(
            path.relative_to(self.home).as_posix()
            for path in self.home.rglob("*")
            if path.is_file() and not path.name.endswith((".metadata.json", ".db", ".db-journal", ".lock"))
        )
        kept = {one["snapshot_id"] for one in tables.history("flights", TABLE)}
        return {"files": files, "rows": self.rows(), "snapshots": kept}

    def exists(self, manifest: Manifest) -> bool:
        """Whether all of a batch is there, manifest and files."""
        batches.check_unchanged(batches.load("flights", manifest.table, manifest.batch_id))
        return True

    def folder(self, manifest: Manifest) -> Path:
        return Path(manifest.files[manifest.partitions[0]]).parent

    def note(self, kind: str, table: str, day: str, /, **data) -> None:
        ledger.append(KINDS[kind](**data), pipeline="flights", subject=table, partition=day, run="test")


@pytest.fixture
def world(home) -> World:
    return World(home)


def write(path: Path, text: str = "old") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def make_old(folder: Path, by: timedelta = LONG_AGO) -> None:
    then = (datetime.now(UTC) - by).timestamp()
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


@pytest.fixture
def old(world, monkeypatch) -> SimpleNamespace:
    """A hundred days ago: published, replaced, pinned, held, released, set aside, given up, orphaned, left half written."""
    made = SimpleNamespace()
    with monkeypatch.context() as past:
        past.setattr(sluice.core.clock, "utc_now", lambda: datetime.now(UTC) - LONG_AGO)
        made.replaced = world.cross("2013-01-01", 10)
        made.shown = [world.cross("2013-01-01", 11)]
        made.pinned = world.cross("2013-01-02", 20)
        tables.pin("flights", TABLE, "train-2013-01-03")
        made.shown += [world.cross("2013-01-02", 21), world.cross("2013-01-03", 30)]
        made.held = world.stage("2013-01-04", 40)
        made.held_page = world.judge(made.held, "HOLD")
        made.released = world.stage("2013-01-05", 50)
        world.judge(made.released, "HOLD")
        world.note(
            "waiver", TABLE, "2013-01-05", by="operator", why="A test.", until="2013-03-01",
            content_hash=made.released.content_hash, batch_id=made.released.batch_id, rules=[],
            verdict_id=f"{made.released.batch_id}-v",
        )  # fmt: skip
        made.orphan = world.stage("2013-01-06", 60)
        made.orphan_page = world.judge(made.orphan)
        made.given_up = world.stage("2013-01-07", 70)
        world.judge(made.given_up, "HOLD")
        world.note("expired", TABLE, "2013-01-07", kind="held", batch_id=made.given_up.batch_id)
        aside = quarantine.table(
            [
                quarantine.set_aside(
                    {"ds": date(2013, 1, 3), "flight": 99}, ["flight"], rule="r", reason="A test."
                )
            ]
        )
        quarantine.record(made.shown[2], aside, verdict_id="v")
        made.half = world.stage("2013-01-08", 80)
        (world.folder(made.half) / "manifest.json").unlink()
    made.part = write(world.folder(made.shown[2]) / ".manifest.json.0badcafe")
    made.monitor = write(settings().home / "reports" / "flights/monitor/2013-01-01/index.html")
    made.standing = write(settings().home / "reports" / "flights/dbt/index.html")
    made.mail = write(settings().mail / "20130101T000000-aa-hold.eml")
    made.scratch = write(settings().work / "flights-features-x1/dbt.duckdb").parent
    make_old(world.home, timedelta(days=400))
    return made


@pytest.fixture
def copies(world, tmp_path) -> Callable[[], None]:
    """Function: put the home back to what it was when this fixture was made, in the same place."""
    kept = tmp_path / "kept"

    def back() -> None:
        shutil.rmtree(world.home)
        shutil.copytree(kept, world.home)

    def keep() -> None:
        shutil.copytree(world.home, kept)

    back.keep = keep  # type: ignore[attr-defined]
    return back


@pytest.fixture
def in_process(monkeypatch):
    """Function: start a task in a process of its own, with a failpoint armed; returns the process."""
    fork = multiprocessing.get_context("fork")
    started = []

    def start(task: Callable[[], object], failpoint: str = "") -> multiprocessing.Process:
        with monkeypatch.context() as armed:
            armed.setenv("SLUICE_FAILPOINT", failpoint)
            settings.cache_clear()
            process = fork.Process(target=task)
            process.start()
        settings.cache_clear()
        started.append(process)
        return process

    yield start
    for process in started:
        if process.is_alive():
            process.kill()
        process.join()


def snapshots_of(table: str) -> set[int]:
    with connection.opened() as lake:
        found = snapshots.existing(lake, "flights", table)
        return {one.snapshot_id for one in found.snapshots()}


def retention(world: World, **days: int) -> spec.Pipeline:
    """The pipeline with days that no declaration may have, such as 0."""
    declared = world.flights.retention.model_dump() | days
    kept = type(world.flights.retention).model_construct(**declared)
    return world.flights.model_copy(update={"retention": kept})


def counted(given: Mapping[str, int], *kinds: str) -> list[int]:
    return [given.get(kind, 0) for kind in kinds]
