"""One batch becomes visible once, whole, or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import Table

from sluice.core.errors import (
    BatchDamagedError,
    BatchSupersededError,
    ContractBrokenError,
    GateBrokenError,
    PublishConflictError,
    TableMissingError,
    VerdictMissingError,
)
from sluice.declare.retention import Retention
from sluice.lake import connection, snapshots, tables
from tests.lake.conftest import DAY, NEXT, YEAR, publish, shown


def test_publish_first_batch_creates_the_table_and_shows_it(stage, rows, tmp_path):
    manifest = stage(DAY, NEXT)

    done = publish(manifest)

    assert (done.repeated, done.replaced) == (False, {})
    assert done.snapshot_id == tables.snapshot_id("flights", "weather")
    assert shown() == tables.Published(manifest.batch_id, manifest.files[DAY], rows(DAY).num_rows)
    assert list(tables.published("flights", "weather", "0001-01-01", "9999-12-31")) == [DAY, NEXT]
    # Metadata only: readers get the very files that were staged, in the order of days.
    assert tables.files("flights", "weather", *YEAR, into=tmp_path) == [
        manifest.files[DAY],
        manifest.files[NEXT],
    ]
    read = tables.scan("flights", "weather", *YEAR)
    assert {field.name: str(field.type) for field in read.schema} == manifest.columns
    assert read.num_rows == manifest.rows


def test_publish_again_changes_nothing(stage):
    manifest = stage(DAY)
    first = publish(manifest)
    publish(stage(NEXT))
    before = tables.snapshot_id("flights", "weather")

    again = publish(manifest)

    assert again == tables.Publication(first.snapshot_id, manifest.batch_id, repeated=True)
    assert tables.snapshot_id("flights", "weather") == before


def test_publish_correction_replaces_only_its_day(stage, rows):
    old = stage(DAY, NEXT)
    publish(old)
    new = stage(DAY, data=rows(DAY).slice(3))

    done = publish(new)

    assert done.replaced == {DAY: old.batch_id}
    assert (shown().batch_id, shown().rows) == (new.batch_id, rows(DAY).num_rows - 3)
    assert shown(NEXT).batch_id == old.batch_id


def test_publish_older_batch_after_a_newer_one_is_refused(stage):
    old, new = stage(DAY, NEXT), stage(NEXT)
    publish(new)

    with pytest.raises(BatchSupersededError, match=new.batch_id):
        publish(old)

    assert shown() is None
    assert shown(NEXT).batch_id == new.batch_id


def test_publish_without_a_verdict_or_rows_is_refused(stage, rows):
    with pytest.raises(VerdictMissingError):
        tables.publish(stage(DAY), verdict_id="")
    with pytest.raises(GateBrokenError, match=NEXT):
        publish(stage(DAY, NEXT, data=rows(DAY)))
    assert tables.snapshot_id("flights", "weather") is None


def test_publish_file_changed_after_staging_is_refused(stage, rows):
    manifest = stage(DAY)
    pq.write_table(rows(DAY).slice(1), manifest.files[DAY])

    with pytest.raises(BatchDamagedError):
        publish(manifest)
    assert shown() is None


def test_publish_other_columns_names_each_difference(stage, rows):
    publish(stage(DAY))
    data = rows(NEXT).drop_columns("visib")
    data = data.set_column(data.column_names.index("temp"), "temp", data["temp"].cast(pa.string()))

    with pytest.raises(
        ContractBrokenError, match=r"temp is string in the batch and double in the table.*visib is missing"
    ):
        publish(stage(NEXT, data=data))
    assert shown(NEXT) is None


def test_publish_puts_the_evidence_into_the_snapshot(stage, rows):
    manifest = stage(DAY, received=rows(DAY).num_rows + 2, dropped={"exact_duplicate": 2})
    publish(manifest)
    publish(stage(DAY))

    newest, first = tables.history("flights", "weather")

    assert first["committed_at"] <= newest["committed_at"]
    assert {key: value for key, value in first.items() if key.startswith("sluice.")} == {
        "sluice.batch_id": manifest.batch_id,
        "sluice.verdict_id": "verdict-1",
        "sluice.run_id": "manual__1",
        "sluice.rows": str(manifest.rows),
        "sluice.received": str(manifest.rows + 2),
        "sluice.dropped": '{"exact_duplicate": 2}',
        "sluice.quarantined": "{}",
        "sluice.content_hash": manifest.content_hash,
    }


@pytest.mark.parametrize("moment", ["before", "after"])
def test_publish_killed_around_the_commit_is_completed_by_a_repeat(stage, in_processes, monkeypatch, moment):
    manifest, commit = stage(DAY), Table._do_commit

    def killed(*args, **kwargs):
        if moment == "after":
            commit(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "_do_commit", killed)
        assert in_processes(lambda: publish(manifest)) == [None]
    assert (shown() is not None) == (moment == "after")

    assert publish(manifest).repeated == (moment == "after")
    assert shown().batch_id == manifest.batch_id
    assert len(tables.history("flights", "weather")) == 1


def test_publish_same_batch_from_four_processes_happens_once(stage, in_processes):
    manifest = stage(DAY, NEXT)

    done = in_processes(*[lambda: publish(manifest)] * 4)

    assert sorted(one.repeated for one in done) == [False, True, True, True]
    assert {one.snapshot_id for one in done} == {tables.snapshot_id("flights", "weather")}
    assert len(tables.history("flights", "weather")) == 1
    assert tables.scan("flights", "weather", *YEAR).num_rows == manifest.rows


def test_publish_other_batches_of_a_day_from_four_processes_ends_with_the_newest(stage, in_processes):
    staged = [stage(DAY) for _ in range(4)]

    done = in_processes(*[lambda manifest=manifest: publish(manifest) for manifest in reversed(staged)])

    assert shown().batch_id == staged[-1].batch_id
    assert tables.scan("flights", "weather", *YEAR).num_rows == staged[-1].rows
    lost = [one for one in done if not isinstance(one, tables.Publication)]
    assert all(isinstance(one, BatchSupersededError) for one in lost), lost
    assert len(tables.history("flights", "weather")) == 4 - len(lost)


@pytest.mark.parametrize("kept", [100, 1])
def test_publish_other_days_from_four_processes_shows_all(stage, in_processes, monkeypatch, kept):
    # Also where every commit expires the snapshots that the other processes started from.
    monkeypatch.setattr(snapshots, "_SLACK", kept - 1)
    few = Retention(snapshots_count=kept)
    days = [f"2013-01-0{number}" for number in range(1, 9)]
    staged = [stage(day) for day in days]

    def work(mine):
        return [publish(manifest, few).repeated for manifest in mine]

    done = in_processes(*[lambda mine=staged[start::4]: work(mine) for start in range(4)])

    assert done == [[False, False]] * 4
    visible = tables.published("flights", "weather", *YEAR)
    assert {day: one.batch_id for day, one in visible.items()} == {
        day: manifest.batch_id for day, manifest in zip(days, staged, strict=True)
    }


def test_publish_that_loses_every_time_says_so(stage, monkeypatch):
    from pyiceberg.exceptions import CommitFailedException

    def lost(*_args, **_kwargs):
        raise CommitFailedException("another process was faster")

    monkeypatch.setattr(snapshots, "commit", lost)
    with pytest.raises(PublishConflictError, match="retry"):
        publish(stage(DAY))


def test_scan_while_a_writer_replaces_sees_one_batch_at_a_time(stage, rows, in_processes):
    numbered = [
        rows(DAY, NEXT).append_column("version", pa.array([number] * rows(DAY, NEXT).num_rows))
        for number in range(8)
    ]
    staged = [stage(DAY, NEXT, data=data) for data in numbered]
    publish(staged[0])

    finished = multiprocessing.get_context("fork").Event()

    def write():
        try:
            for manifest in staged[1:]:
                publish(manifest)
        finally:
            finished.set()

    def read():
        seen, last = [], False
        while not last:
            last = finished.is_set()
            now = tables.scan("flights", "weather", *YEAR, columns=["version"])
            seen.append(
                pc.unique(now["version"]).to_pylist() if now.num_rows == staged[0].rows else now.num_rows
            )
        return seen

    _, seen = in_processes(write, read)

    assert seen[-1] == [7]
    assert all(isinstance(one, list) and len(one) == 1 for one in seen), seen
    assert seen == sorted(seen)


def test_scan_returns_days_in_order_and_only_the_columns_asked_for(stage):
    for day in (NEXT, "2013-01-03", DAY):
        publish(stage(day))

    read = tables.scan("flights", "weather", DAY, NEXT, columns=["hour", "ds"])

    assert read.column_names == ["hour", "ds"]
    assert [str(day) for day in pc.unique(read["ds"]).to_pylist()] == [DAY, NEXT]


def test_scan_of_no_table_names_it(stage):
    for ask in (
        tables.history,
        lambda *name: tables.scan(*name, *YEAR),
        lambda *name: tables.pin(*name, "tag"),
    ):
        with pytest.raises(TableMissingError, match=r"flights\.weather"):
            ask("flights", "weather")
    stage(DAY)
    with pytest.raises(TableMissingError):
        tables.scan("flights", "weather", *YEAR)


def test_day_that_another_writer_added_rows_to_is_no_batchs_and_gives_way_to_any(stage, rows):
    manifest = stage(DAY)
    publish(manifest)
    with connection.opened() as lake:
        table = lake.load_table(("flights", "weather"))
        one = tables.scan("flights", "weather", DAY, DAY).slice(0, 1)
        table.append(one.cast(table.schema().as_arrow()))
    assert shown().batch_id == ""

    assert not publish(manifest).repeated

    assert shown() == tables.Published(manifest.batch_id, manifest.files[DAY], rows(DAY).num_rows)


def test_day_without_rows_is_shown_at_once_where_ids_are_ahead_of_the_clock(stage, rows, home):
    """Ids sort after those of a host whose clock is ahead: when a batch was published, its id does not tell."""
    (home / "lake" / "flights" / "weather" / "data" / "20990101T000000000000-aaaaaa").mkdir(parents=True)
    empty = stage(DAY, data=rows(DAY).slice(0, 0))
    assert empty.batch_id > "2099"

    done = tables.publish(empty, verdict_id="verdict-1", empty=[DAY])

    assert shown().batch_id == empty.batch_id
    assert list(tables.published("flights", "weather", DAY, DAY, snapshot_id=done.snapshot_id)) == [DAY]
