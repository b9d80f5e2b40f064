"""A copied home and its original: what either does, maintenance included, leaves the other as it was."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sluice import crossing, ledger
from sluice.core.errors import HomeMovedError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.lake import batches, connection, snapshots, tables
from sluice.local import find_value, home
from tests.watch.maintenance.conftest import TABLE, make_old, snapshots_of


@pytest.fixture
def at(monkeypatch):
    """Function: let this process use another home."""

    def use(folder: Path) -> None:
        monkeypatch.setenv("SLUICE_HOME", str(folder))
        settings.cache_clear()

    return use


@pytest.fixture
def copy(world, old, at, tmp_path) -> Path:
    """A copy of the aged installation, adopted; this process still uses the original."""
    # Publishing often enough that manifests are merged, and their entries are no longer new.
    for number in range(25):
        world.cross(f"2013-01-{10 + number % 5:02d}", 1000 + number)
    make_old(world.home)
    folder = tmp_path / "copy of home"
    shutil.copytree(world.home, folder, symlinks=True)
    at(folder)
    list(home.adopt())
    at(world.home)
    return folder


def _all_there(world, old) -> dict[str, object]:
    """Everything that an installation must be able to read, and what it reads."""
    with connection.opened() as lake:
        found = snapshots.existing(lake, "flights", TABLE)
        refs = {name: ref.snapshot_id for name, ref in found.refs().items()}
        meta = found.metadata.model_dump(exclude={"location", "metadata_log", "snapshots", "last_updated_ms"})
    pinned = tables.scan("flights", TABLE, "2013-01-02", "2013-01-02", snapshot_id=refs["train-2013-01-03"])
    for batch_id in batches.staged("flights", TABLE):
        batches.check_unchanged(batches.load("flights", TABLE, batch_id))
    return {
        "rows": world.rows(),
        "refs": refs,
        "metadata": str(meta),
        "pinned": pinned.to_pydict(),
        "each": {
            one: tables.scan("flights", TABLE, "2013-01-01", "2013-12-31", snapshot_id=one).to_pydict()
            for one in snapshots_of(TABLE)
        },
        "batches": batches.staged("flights", TABLE),
        "ledger": ledger.verify(),
        "quarantine": tables.scan("flights", f"{TABLE}__quarantine", "2013-01-01", "2013-12-31").to_pydict(),
    }


def test_copy_adopted_original_deleted_everything_reads(world, old, copy, at):
    before = _all_there(world, old)
    original = world.home.rename(world.home.with_name("gone"))
    at(copy)
    assert _all_there(world, old) == before
    world.cross("2013-02-01", 7)
    assert world.rows()["2013-02-01"] == [7, 8, 9]
    assert not find_value.find_value(copy, {"the original": str(world.home)})
    shutil.rmtree(original)


def test_both_alive_maintenance_of_either_takes_nothing_of_the_other(world, old, copy, at):
    alone = _all_there(world, old)
    at(copy)
    world.clear_until_nothing_goes()
    world.cross("2013-01-01", 500)
    at(world.home)
    assert _all_there(world, old) == alone
    world.clear_until_nothing_goes()
    kept = _all_there(world, old)
    at(copy)
    assert world.rows()["2013-01-01"] == [500, 501, 502]
    world.clear_until_nothing_goes()
    assert _all_there(world, old)["pinned"] == kept["pinned"]
    at(world.home)
    assert _all_there(world, old) == kept


def test_copy_not_adopted_touches_nothing(world, old, at, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(world.home, folder)
    at(folder)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(HomeMovedError, match="home adopt"):
        world.clear()
    with pytest.raises(HomeMovedError):
        crossing.stage(world.flights, TABLE, ["2013-01-01"], Run(run_id="test"))
    with pytest.raises(HomeMovedError):
        ledger.entries()
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_adoption_interrupted_anywhere_is_finished_by_the_next(world, old, at, tmp_path, monkeypatch):
    from sluice.local.home import adoption

    reference = _all_there(world, old)
    calls = 0
    while True:
        folder = tmp_path / f"copy{calls}"
        shutil.copytree(world.home, folder)
        at(folder)
        left = calls

        def die(self, target, replace=Path.replace):
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return replace(self, target)

        with monkeypatch.context() as armed:
            armed.setattr(Path, "replace", die)
            try:
                list(adoption.adopt())
                whole = True
            except KeyboardInterrupt:
                whole = False
        if whole:
            break
        settings.cache_clear()
        with pytest.raises(HomeMovedError):
            ledger.entries()
        list(adoption.adopt())
        settings.cache_clear()
        assert _all_there(world, old) == reference, f"died at {calls}"
        calls += 9
    assert calls > 6


def test_lengths_of_manifests_are_those_of_their_files(world, old, copy, at):
    """Spark opens a manifest with the length that its list names."""
    at(copy)
    with connection.opened() as lake:
        found = snapshots.existing(lake, "flights", TABLE)
        named = [manifest for one in found.snapshots() for manifest in one.manifests(found.io)]
    assert named
    for manifest in named:
        assert Path(manifest.manifest_path.removeprefix("file://")).stat().st_size == manifest.manifest_length


def test_backup_of_a_home_in_use_is_restored_at_its_place(world, old, at, tmp_path):
    before = _all_there(world, old)
    folder = home.backup(tmp_path / "backup")
    assert folder.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(world.home)
    shutil.copytree(folder, world.home)
    at(world.home)
    assert _all_there(world, old) == before
    world.clear_until_nothing_goes()


def test_backup_has_ledger_and_catalog_of_one_moment(world, old, in_process, tmp_path):
    def publish() -> None:
        for number in range(40):
            world.cross("2013-01-20", 2000 + number)

    process = in_process(publish)
    taken = [home.backup(tmp_path / f"backup{number}") for number in range(3)]
    process.join()
    assert process.exitcode == 0
    for folder in taken:
        with closing(sqlite3.connect(folder / "ledger.db")) as database:
            query = "select count(*) from sluice_ledger where kind = 'published' and partition = '2013-01-20'"
            recorded = database.execute(query).fetchone()[0]
        settings.cache_clear()
        shown = _publications(folder, world.home)
        # A publication is committed, then recorded: at most the last one is between the two.
        assert recorded <= shown <= recorded + 1


def _publications(folder: Path, home_: Path) -> int:
    import json

    with closing(sqlite3.connect(folder / "catalog.db")) as database:
        query = "select metadata_location from iceberg_tables where table_name = ?"
        location = database.execute(query, (TABLE,)).fetchone()[0]
    text = (folder / location.removeprefix(f"file://{home_}/")).read_text()
    told = [one["summary"].get("sluice.batch_id") for one in json.loads(text)["snapshots"]]
    days = {one: batches.load("flights", TABLE, one).partitions for one in told if one}
    return sum(day == ("2013-01-20",) for day in days.values())


def test_backup_into_itself_or_over_something_is_refused(world, old, tmp_path):
    from sluice.core.errors import BackupFailedError

    for folder in (world.home / "backup", tmp_path):
        with pytest.raises(BackupFailedError, match="a new folder outside"):
            home.backup(folder)
