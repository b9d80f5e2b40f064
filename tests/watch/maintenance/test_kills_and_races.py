"""The maintenance killed at every point, and beside publishes that are under way, in real processes."""

from __future__ import annotations

import multiprocessing
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from sluice.core import failpoints
from sluice.lake import batches, tables
from sluice.lake.batches import Manifest
from sluice.watch import maintenance
from sluice.watch.maintenance.record import POINTS
from tests.watch.maintenance.conftest import RUN, TABLE, make_old, retention


def _everything(world) -> None:
    """As soon as possible: what was condemned a moment ago is old enough."""
    few = retention(world, snapshots_count=1, snapshots_days=0)
    make_old(world.home, timedelta(days=400))
    maintenance.clear_tables(few, RUN)
    maintenance.clear_evidence(few, RUN)


def _to_the_end(world) -> dict:
    # Condemned, then removed, then the pages of what was removed.
    for _ in range(3):
        _everything(world)
    return world.state()


def test_points_are_those_of_the_registry():
    assert {point for point in failpoints.POINTS if point.startswith("maintenance.")} == set(POINTS)


@pytest.mark.parametrize(
    "points",
    [
        ["maintenance.condemning", "maintenance.file_removed"],
        pytest.param(list(POINTS), marks=pytest.mark.long),
    ],
    ids=["sample", "all"],
)
def test_killed_anywhere_a_rerun_ends_where_an_undisturbed_run_ends(
    world, old, copies, in_process, proofs, points
):
    copies.keep()
    undisturbed = _to_the_end(world)
    for point in points:
        copies()
        if point == "maintenance.file_removed":
            _everything(world)  # so that it is a condemned batch that is removed
        seen = world.rows()
        # Some are reached only when there is something condemned to remove.
        for _ in range(3):
            killed = in_process(lambda: _everything(world), f"{point}=kill")
            killed.join()
            if killed.exitcode == -signal.SIGKILL:
                break
        assert killed.exitcode == -signal.SIGKILL, f"{point} was not reached"
        assert world.rows() == seen, point
        assert all(world.exists(one) for one in (*old.shown, old.pinned, old.held, old.released)), point
        for aside in world.home.rglob("condemned.json"):
            manifest = Manifest.model_validate_json(aside.read_bytes())
            assert all(Path(file).exists() for file in manifest.files.values()), (
                "what could come back is whole"
            )
        ended = _to_the_end(world)
        assert ended == undisturbed, point
        proofs("crash point", point, violations=int(ended != undisturbed))


@pytest.mark.parametrize(
    "point", ["publish.before_commit", pytest.param("publish.committed", marks=pytest.mark.long)]
)
def test_batch_that_is_being_published_is_never_lost(world, old, in_process, tmp_path, proofs, point):
    """Its publish began before the batch was condemned, and commits after: readers are sent to files that are there."""
    gate = tmp_path / "gate"
    publisher = in_process(lambda: world.publish(old.orphan), f"{point}=wait:{gate}")
    _until(lambda: gate.with_name("gate.reached").exists())
    gone = maintenance.clear_tables(world.flights, RUN)
    condemned = any(one.kind == "condemned_batches" and old.orphan.batch_id in one.name for one in gone)
    assert condemned == (point == "publish.before_commit"), "once it is visible it is needed"
    gate.touch()
    publisher.join()
    assert publisher.exitcode == 0
    assert world.rows()["2013-01-06"] == [60, 61, 62]
    maintenance.clear_tables(world.flights, RUN)
    assert world.exists(old.orphan), "its manifest is there"
    world.clear_until_nothing_goes()
    lost = len(maintenance.check_published(world.flights, RUN).rewritten)
    proofs("race", f"maintenance and publish, {point}", violations=lost)
    assert lost == 0


def test_publish_that_begins_after_the_batch_was_condemned_is_refused(world, old, in_process):
    seen = world.rows()
    maintenance.clear_tables(world.flights, RUN)
    publisher = in_process(lambda: world.publish(old.orphan))
    publisher.join()
    assert publisher.exitcode == 1
    assert world.rows() == seen


@pytest.mark.parametrize("days", [4, pytest.param(40, marks=pytest.mark.long)])
def test_publishes_beside_the_maintenance_all_take_effect(world, old, in_process, proofs, days):
    """One process publishes day after day, one pins, one clears as often as it can: everything that can expire does."""
    fork = multiprocessing.get_context("fork")
    over = fork.Event()
    few = retention(world, snapshots_count=1, snapshots_days=0)

    def maintain() -> None:
        while not over.is_set():
            maintenance.clear_tables(few, RUN)

    def pin() -> None:
        for number in range(days):
            tables.pin("flights", TABLE, f"train-{number}")

    maintainer, pinner = in_process(maintain), in_process(pin)
    wanted = {
        f"2013-03-{number + 1:02d}" if number < 31 else f"2013-04-{number - 30:02d}": number
        for number in range(days)
    }
    for day, number in wanted.items():
        world.cross(day, 100 * number)
    over.set()
    maintainer.join()
    pinner.join()
    assert (maintainer.exitcode, pinner.exitcode) == (0, 0)
    rows = world.rows()
    lost = [day for day, number in wanted.items() if rows.get(day) != [100 * number + i for i in range(3)]]
    proofs("race", f"maintenance beside {days} publishes and pins", violations=len(lost))
    assert lost == []
    for number in range(days):
        snapshot = tables.pin("flights", TABLE, f"train-{number}")
        assert tables.scan("flights", TABLE, "2013-01-01", "2013-12-31", snapshot_id=snapshot).num_rows > 0
    assert len(batches.staged("flights", TABLE)) >= days + 5


def _until(done) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # how often to look; what is waited for is the condition
