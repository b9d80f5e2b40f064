"""What the maintenance clears away of the tables, and what it never touches."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from sluice import holds, ledger
from sluice.core.errors import BatchUnknownError
from sluice.declare.spec import MONITORING
from sluice.lake import batches, connection, quarantine, snapshots, tables
from sluice.ledger import records
from sluice.ledger.model_records import EnteredShadow, ScoredInShadow
from sluice.models.shadow import SCORES
from sluice.watch import maintenance
from tests.watch.maintenance.conftest import RUN, TABLE, make_old, retention, snapshots_of

SOON = datetime.now(UTC) + timedelta(days=31)


def test_only_what_nobody_needs_goes_and_in_two_steps(world, old):
    seen, before = world.rows(), world.state()
    staying = [*old.shown, old.pinned, old.held, old.released, old.replaced]

    first = world.clear()

    assert (first["condemned_batches"], first["half_written_batches"], first["part_files"]) == (2, 1, 1)
    for manifest in (old.orphan, old.given_up):
        with pytest.raises(BatchUnknownError):
            batches.load("flights", TABLE, manifest.batch_id)
        assert Path(manifest.files[manifest.partitions[0]]).exists(), "whoever had begun can end"
    make_old(world.home, timedelta(days=400))
    assert world.clear()["batches"] == 2
    assert world.clear_until_nothing_goes() == 1
    gone = [old.orphan, old.given_up, old.half]
    assert not any(world.folder(manifest).exists() for manifest in gone)
    assert all(world.exists(manifest) for manifest in staying)
    assert world.rows() == seen
    assert len(quarantine.rows("flights", TABLE, "2013-01-01", "2013-01-31")) == 1
    assert set(world.state()["files"]) < set(before["files"])


def test_snapshots_go_by_days_and_count_and_never_what_is_pinned(world, old):
    pinned = tables.pin("flights", TABLE, "train-2013-01-03")
    before = snapshots_of(TABLE)
    world.clear()
    assert snapshots_of(TABLE) == before, "all are among the newest thirty"

    few = retention(world, snapshots_count=1)
    gone = maintenance.clear_tables(few, RUN, now=SOON)

    after = snapshots_of(TABLE)
    assert sum(one.kind == "snapshots" and f"{TABLE} " in one.name for one in gone) == len(before - after) > 0
    assert pinned in after
    assert tables.snapshot_id("flights", TABLE) in after
    as_pinned = tables.scan("flights", TABLE, "2013-01-01", "2013-01-31", snapshot_id=pinned)
    assert sorted(as_pinned["flight"].to_pylist()) == [11, 12, 13, 20, 21, 22]
    assert any(one.kind == "metadata_files" and one.size > 0 for one in gone), "only they referred to them"
    assert any(one.kind == "condemned_batches" and old.replaced.batch_id in one.name for one in gone)


def test_publishing_forgets_no_snapshot_that_retention_keeps(world, monkeypatch):
    monkeypatch.setattr(snapshots, "_SLACK", 0)
    world.flights = retention(world, snapshots_count=1, snapshots_days=90)
    for number in range(1, 5):
        world.cross(f"2013-01-0{number}", number * 10)
    assert len(snapshots_of(TABLE)) == 4

    world.flights = retention(world, snapshots_count=1, snapshots_days=0)
    world.cross("2013-01-05", 50)
    assert len(snapshots_of(TABLE)) == 2, "the current one and one more"


@pytest.mark.parametrize("keep", [1, 2])
def test_snapshots_that_no_name_refers_to_are_kept_to_their_count(world, old, keep):
    with connection.opened() as lake:
        table = snapshots.existing(lake, "flights", TABLE)
        named = {ref.snapshot_id for ref in table.refs().values()}
        newest_first = sorted(table.snapshots(), key=lambda one: one.timestamp_ms, reverse=True)
    loose = [one.snapshot_id for one in newest_first if one.snapshot_id not in named]
    assert len(loose) > keep

    maintenance.clear_tables(retention(world, snapshots_count=keep), RUN, now=SOON)

    assert snapshots_of(TABLE) == {*named, *loose[:keep]}


def test_what_is_held_can_be_released_and_what_is_released_can_be_published_however_old(world, old):
    world.clear_until_nothing_goes()
    assert {hold.batch_id for hold in holds.open_holds(world.flights) if hold.kind == "held"} == {
        old.held.batch_id,
        old.released.batch_id,
    }
    word = {"by": "operator", "why": "A test.", "until": "2013-03-01"}
    holds.release(world.flights, TABLE, "2013-01-04", run=RUN, **word)
    world.publish(old.released)
    assert {"2013-01-04", "2013-01-05"} <= set(world.rows())


def test_batch_that_was_spoken_of_lately_stays(world, old):
    world.note("staged", TABLE, "2013-01-06", batch_id=old.orphan.batch_id)
    world.clear_until_nothing_goes()
    world.publish(old.orphan)
    assert world.rows()["2013-01-06"] == [60, 61, 62]


def test_condemned_batch_comes_back_when_it_is_needed_after_all(world, old):
    world.clear()
    world.note("staged", TABLE, "2013-01-06", batch_id=old.orphan.batch_id)
    assert world.clear()["restored_batches"] == 1
    assert world.exists(old.orphan)
    assert world.clear_until_nothing_goes() <= 2


def test_files_of_another_writer_are_not_touched(world, old):
    foreign = Path(world.folder(old.shown[0])).parent / "ds=2013-01-01" / "part-0.parquet"
    foreign.parent.mkdir()
    foreign.write_bytes(b"not ours")
    notes = world.home / "lake/flights/schedule/metadata/notes.txt"
    notes.write_text("not ours")
    make_old(world.home, timedelta(days=400))
    world.clear_until_nothing_goes()
    assert foreign.exists()
    assert notes.exists()


def test_dry_run_says_what_a_run_does_and_touches_nothing(world, old):
    before, entries = world.state(), ledger.entries(limit=1)
    would = world.clear(dry_run=True)
    assert world.state() == before
    assert ledger.entries(limit=1) == entries
    assert would == world.clear() != {}


def test_everything_that_went_is_in_the_ledger(world, old):
    gone = maintenance.clear_tables(world.flights, RUN)
    done, meant = ledger.entries(pipeline="flights", subject="tables")
    assert (meant.kind, done.kind) == ("maintaining", "maintained")
    for entry in (meant, done):
        assert sum(one["count"] for one in entry.data["removed"].values()) == len(gone)
        assert (
            sum(one["bytes"] for one in entry.data["removed"].values()) == sum(one.size for one in gone) > 0
        )
    assert f"{TABLE} {old.orphan.batch_id}" in done.data["batches"]
    assert "2 condemned_batches" in done.data["reasons"][0]
    assert any(line.startswith("condemned batches: 2") for line in maintenance.lines(gone))


def test_table_of_monitoring_is_cleared_as_any_other(world):
    rows = pa.table({"ds": pa.array([date(2013, 1, 5)], pa.date32()), "entry": pa.array([1], pa.int64())})
    about = {"partitions": ["2013-01-05"], "received": 1, "dropped": {}, "inputs": [], "run": RUN}
    first, second = (batches.stage("flights", MONITORING, rows, sort_by=["entry"], **about) for _ in range(2))
    for manifest in (first, second):
        tables.publish(manifest, verdict_id="entry 1 of the ledger")
    make_old(world.home, timedelta(days=100))
    maintenance.clear_tables(retention(world, snapshots_count=1), RUN, now=SOON)
    with pytest.raises(BatchUnknownError):
        batches.load("flights", MONITORING, first.batch_id)
    assert world.exists(second)
    assert tables.scan("flights", MONITORING, "2013-01-05", "2013-01-05").num_rows == 1


def test_scores_of_a_challenger_stay_while_it_is_in_shadow_and_go_some_time_after(world):
    shadowed = world.flights.model.model_copy(update={"shadow_days": 14})
    world.flights = world.flights.model_copy(update={"model": shadowed})
    scores = world.stage("2013-01-03", table=SCORES)
    about = {"pipeline": "flights", "subject": shadowed.name, "partition": "2013-01-03"}
    entered = ledger.append(EnteredShadow(version=2, champion=None, since=0, decision=1), **about)
    scored = ScoredInShadow(version=2, predictions="p", batch_id=scores.batch_id, entered_shadow=entered.seq)
    ledger.append(scored, **about)
    make_old(world.home, timedelta(days=400))

    later = datetime.now(UTC) + timedelta(days=world.flights.retention.batches_days + 1)
    assert "condemned_batches" not in world.clear(now=later)
    assert world.exists(scores)

    ledger.append(records.Refused(version=2), **about)
    assert "condemned_batches" not in world.clear(), "an entry of the last days names it"
    assert world.clear(now=later)["condemned_batches"] == 1
    make_old(world.home, timedelta(days=400))
    assert world.clear(now=later)["batches"] == 1
    assert not world.folder(scores).exists()
