"""What older snapshots show, which are kept, and what a pin holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice.core import clock
from sluice.core.errors import TableMissingError
from sluice.declare.retention import Retention
from sluice.lake import connection, snapshots, tables
from tests.lake.conftest import DAY, NEXT, YEAR, publish, shown


def test_scan_of_an_older_snapshot_sees_what_was_visible_then(stage, rows, tmp_path):
    old = stage(DAY)
    before = publish(old).snapshot_id
    publish(stage(DAY, data=rows(DAY).slice(5)))

    then = tables.scan("flights", "weather", *YEAR, snapshot_id=before)

    assert then.num_rows == rows(DAY).num_rows
    assert then.equals(pq.ParquetFile(old.files[DAY]).read())
    assert tables.files("flights", "weather", *YEAR, into=tmp_path, snapshot_id=before) == [old.files[DAY]]


def test_pin_repeated_names_the_first_snapshot_though_the_table_moved_on(stage):
    publish(stage(DAY))
    pinned = tables.pin("flights", "weather", "flights_late_arrival-1")
    publish(stage(NEXT))

    assert tables.pin("flights", "weather", "flights_late_arrival-1") == pinned
    assert tables.pin("flights", "weather", "flights_late_arrival-2") != pinned
    with connection.opened() as lake:
        refs = lake.load_table(("flights", "weather")).refs()
    assert refs["flights_late_arrival-1"].snapshot_id == pinned
    assert refs["flights_late_arrival-1"].max_ref_age_ms is None


def test_pin_same_tag_from_four_processes_while_publishing_agrees(stage, in_processes):
    publish(stage(DAY))
    new = stage(NEXT)

    *pinned, _ = in_processes(*[lambda: tables.pin("flights", "weather", "tag")] * 3, lambda: publish(new))

    assert set(pinned) == {tables.pin("flights", "weather", "tag")}
    assert shown(NEXT).batch_id == new.batch_id


def test_publish_again_forgets_the_snapshots_that_the_first_one_did_not_come_to(stage, monkeypatch):
    for day in (DAY, NEXT):
        publish(stage(day))
    manifest = stage("2013-01-03")
    publish(manifest)
    monkeypatch.setattr(snapshots, "_SLACK", 0)
    assert len(tables.history("flights", "weather")) == 3

    # Beside the current one.
    assert publish(manifest, Retention(snapshots_count=1)).repeated

    assert len(tables.history("flights", "weather")) == 2
    assert shown(DAY)


def test_newest_snapshots_are_kept_after_every_publish(stage, monkeypatch):
    monkeypatch.setattr(snapshots, "_SLACK", 2)
    published, kept = [], []
    for number in range(1, 13):
        published.append(publish(stage(f"2013-01-{number:02}"), Retention(snapshots_count=3)).snapshot_id)
        found = [each["snapshot_id"] for each in reversed(tables.history("flights", "weather"))]
        assert found == published[-len(found) :]
        kept.append(len(found))
    # The current one, and up to five others, of which the newest three stay when the rest is forgotten.
    assert kept == [1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6]


def test_publish_forgets_no_snapshot_of_the_days_that_are_kept(stage, monkeypatch):
    monkeypatch.setattr(snapshots, "_SLACK", 0)
    for number in range(1, 5):
        publish(stage(f"2013-01-{number:02}"), Retention(snapshots_days=1, snapshots_count=1))
    assert len(tables.history("flights", "weather")) == 4

    monkeypatch.setattr(clock, "system_now", lambda: datetime.now(UTC) + timedelta(days=2))
    publish(stage("2013-01-05"), Retention(snapshots_days=90, snapshots_count=1))
    assert len(tables.history("flights", "weather")) == 5
    publish(stage("2013-01-06"), Retention(snapshots_days=1, snapshots_count=1))
    assert len(tables.history("flights", "weather")) == 2, "the current one and one more"


def test_publish_a_month_day_by_day_keeps_metadata_flat(stage, rows, monkeypatch):
    monkeypatch.setattr(snapshots, "_SLACK", 3)
    few = Retention(snapshots_count=5)
    first = stage(DAY)
    publish(first)
    pinned = tables.pin("flights", "weather", "model-1")
    forgotten = publish(stage("2013-01-02")).snapshot_id
    for number in range(3, 32):
        last = publish(stage(f"2013-01-{number:02}"), few)

    with connection.opened() as lake:
        table = lake.load_table(("flights", "weather"))
        manifests = table.current_snapshot().manifests(table.io)
        kept = {snapshot.snapshot_id for snapshot in table.snapshots()}
    # Merged as they come: one manifest of the first twenty days, then one a day.
    assert len(manifests) < 20
    assert 5 <= len(kept) <= 5 + 3 + 1
    assert {pinned, last.snapshot_id} <= kept
    assert len(list(Path(connection.local_path(table.location()), "metadata").glob("*.json"))) <= 21

    with pytest.raises(TableMissingError, match="expired"):
        tables.scan("flights", "weather", *YEAR, snapshot_id=forgotten)

    # Nothing that is visible or pinned was forgotten.
    assert len(tables.published("flights", "weather", *YEAR)) == 31
    assert tables.scan("flights", "weather", *YEAR, snapshot_id=pinned).num_rows == rows(DAY).num_rows
    assert publish(first).repeated


def test_old_snapshot_shows_the_rows_of_a_day_that_was_published_without_rows_after_it(stage, rows):
    """The later batch may have been staged long before, and held: a training rebuilt from its pinned snapshot sees no change."""
    publish(stage(DAY))
    empty = stage(DAY, data=rows(DAY).slice(0, 0))
    publish(stage(NEXT))
    pinned = tables.snapshot_id("flights", "weather")

    tables.publish(empty, verdict_id="verdict-1", empty=[DAY])

    then = tables.published("flights", "weather", *YEAR, snapshot_id=pinned)
    assert {day: each.rows for day, each in then.items()} == {day: rows(day).num_rows for day in (DAY, NEXT)}
    assert tables.scan("flights", "weather", DAY, DAY, snapshot_id=pinned).num_rows == rows(DAY).num_rows
    now = tables.snapshot_id("flights", "weather")
    assert tables.published("flights", "weather", DAY, DAY, snapshot_id=now)[DAY].rows == shown().rows == 0
