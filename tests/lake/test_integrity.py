"""Every way to change a published partition behind the ledger's back shows; a correction does not."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sluice import ledger
from sluice.core.errors import HistoryRewrittenError
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import connection, rewrites, tables
from sluice.lake import integrity as integrity_of_lake
from sluice.ledger import records

DAY, NEXT = "2013-01-02", "2013-01-03"


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


@pytest.fixture
def weather(flights, stage, rows):
    """Two published days of weather, recorded as a crossing records them."""

    def publish(manifest):
        tables.publish(manifest, verdict_id="v")
        return ledger.append(
            records.Published(batch_id=manifest.batch_id, **rewrites.publication(flights, manifest)),
            pipeline="flights",
            subject="weather",
            partition=str(Partition.of(manifest.partitions)),
        )

    manifest = stage(DAY, NEXT)
    publish(manifest)
    return manifest, publish


def _warmer(rows: pa.Table, count: int) -> pa.Table:
    """The same rows, the first `count` of them one degree warmer."""
    first = pa.array([index < count for index in range(rows.num_rows)])
    temp = pc.if_else(
        first, pc.add(pc.cast(rows["temp"], pa.float64()), 1.0), pc.cast(rows["temp"], pa.float64())
    )
    return rows.set_column(rows.column_names.index("temp"), "temp", temp)


def _check(flights, until=NEXT):
    return rewrites.check(flights, 5, until=until, tables=["weather"])


def test_check_published_and_corrected_history_raises_nothing(flights, weather, stage, rows):
    _, publish = weather
    assert _check(flights) == []
    corrected = publish(stage(DAY, data=_warmer(rows(DAY), 3)))
    assert _check(flights) == []
    assert ledger.entries(kind="rewritten") == []
    assert corrected.data["diff"]["changed"] == 3
    assert corrected.data["diff"]["columns"] == {"temp": 3}
    assert "temp" in corrected.data["diff"]["examples"][0]["before"]
    assert list(corrected.data["replaced"]) == [DAY], "the other day is as it was"
    assert "was corrected" in (settings().home / "reports" / corrected.data["report"]).read_text()


def test_check_file_edited_in_place_is_found_and_named_once(flights, weather):
    manifest, _ = weather
    path = Path(manifest.files[DAY])
    pq.write_table(_warmer(pq.read_table(path, partitioning=None), 20).slice(2), path)

    (rewrite,) = _check(flights)
    _check(flights)

    assert (rewrite.table, rewrite.day, rewrite.found.problem) == ("weather", DAY, "edited")
    assert rewrite.diff is None, "the original rows are gone"
    (entry,) = ledger.entries(kind="rewritten")
    assert entry.partition == DAY
    assert entry.data["recorded"] == manifest.hashes[DAY] != entry.data["found"]
    assert (entry.data["recorded_rows"], entry.data["found_rows"]) == (72, 70)


def test_check_table_overwritten_by_a_stranger_shows_the_rows(flights, weather, rows):
    manifest, _ = weather
    with connection.opened() as lake:
        table = lake.load_table("flights.weather")
        changed = _warmer(tables.scan("flights", "weather", DAY, DAY), 20)
        table.overwrite(changed.cast(table.schema().as_arrow()), overwrite_filter=f"ds = '{DAY}'")

    (rewrite,) = _check(flights)

    assert rewrite.found.problem == "overwritten"
    assert rewrite.diff is not None
    assert (rewrite.diff["changed"], rewrite.diff["added"], rewrite.diff["removed"]) == (20, 0, 0)
    assert "20 rows changed" in rewrite.sentence()
    assert manifest.hashes[DAY][:16] in rewrite.sentence()
    assert (settings().home / "reports" / rewrite.report).is_file()


def test_check_rows_added_beside_a_published_file_are_found(flights, weather):
    """Readers of ours take one file a day; anybody else's would see both."""
    with connection.opened() as lake:
        table = lake.load_table("flights.weather")
        one = tables.scan("flights", "weather", DAY, DAY).slice(0, 1)
        table.append(one.cast(table.schema().as_arrow()))
    (rewrite,) = _check(flights)
    assert (rewrite.found.problem, rewrite.found.shown.rows) == ("overwritten", 73)


@pytest.mark.parametrize("how", ["deleted", "file_lost", "table_dropped"])
def test_check_removed_partition_is_found(flights, weather, how):
    manifest, _ = weather
    with connection.opened() as lake:
        if how == "deleted":
            lake.load_table("flights.weather").delete(f"ds = '{DAY}'")
        elif how == "table_dropped":
            lake.drop_table("flights.weather")
        else:
            Path(manifest.files[DAY]).unlink()
    found = {rewrite.day: rewrite.found.problem for rewrite in _check(flights)}
    assert found == ({DAY: "removed", NEXT: "removed"} if how == "table_dropped" else {DAY: "removed"})


def test_check_partition_that_nobody_published_is_found(flights, weather, stage):
    tables.publish(stage("2013-01-01"), verdict_id="by hand")
    (rewrite,) = _check(flights)
    assert (rewrite.day, rewrite.found.problem) == ("2013-01-01", "unknown")


def test_check_publish_that_is_not_recorded_yet_is_no_alarm(flights, weather, stage, rows):
    """A commit comes before its entry in the ledger; the verdict that allows it is there already."""
    manifest = stage(DAY, data=_warmer(rows(DAY), 3))
    ledger.append(
        records.Verdict(batch_id=manifest.batch_id, outcome="PASS"),
        pipeline="flights",
        subject="weather",
        partition=DAY,
    )
    tables.publish(manifest, verdict_id="v")
    assert _check(flights) == []


def test_check_older_batch_brought_back_by_a_stranger_is_found(flights, weather, stage, rows):
    manifest, publish = weather
    publish(stage(DAY, data=_warmer(rows(DAY), 3)))
    with connection.opened() as lake, lake.load_table("flights.weather").transaction() as change:
        change.delete(f"ds = '{DAY}'")
        change.add_files([connection.uri(manifest.files[DAY])], check_duplicate_files=False)
    (rewrite,) = _check(flights)
    assert rewrite.found.problem == "overwritten"


def test_check_reads_only_its_window(flights, weather):
    manifest, _ = weather
    os.unlink(manifest.files[DAY])
    assert rewrites.check(flights, 1, until=NEXT, tables=["weather"]) == []


def test_require_intact_names_the_partition_and_the_way_back(flights, weather):
    manifest, _ = weather
    rewrites.require_intact(flights, 5, until=NEXT)
    Path(manifest.files[DAY]).unlink()
    with pytest.raises(HistoryRewrittenError, match=f"weather {DAY} was removed") as caught:
        rewrites.require_intact(flights, 5, until=NEXT)
    assert "flights_ingest with partition key 2013-01-03" in caught.value.todo


@pytest.mark.parametrize("recorded_late", [False, True], ids=["corrected_later", "recorded_after_the_pin"])
def test_check_of_a_pinned_snapshot_goes_by_what_was_published_then(
    flights, weather, stage, rows, recorded_late
):
    """Also where the publication that it shows was committed before the pin, and recorded after it."""
    manifest, publish = weather
    corrected = stage(DAY, data=_warmer(rows(DAY), 3))
    before = ledger.entries(limit=1)[0].seq
    if recorded_late:
        tables.publish(corrected, verdict_id="v")
    snapshot = tables.pin("flights", "weather", "train")
    publish(corrected)
    pinned = rewrites.Pinned({"weather": snapshot}, before)
    publish(stage(DAY, data=_warmer(rows(DAY), 5)))

    assert rewrites.check(flights, 5, until=NEXT, tables=["weather"], pinned=pinned) == []
    assert ledger.entries(kind="rewritten") == []

    path = Path((corrected if recorded_late else manifest).files[DAY])
    pq.write_table(_warmer(pq.read_table(path, partitioning=None), 20), path)
    (rewrite,) = rewrites.check(flights, 5, until=NEXT, tables=["weather"], pinned=pinned)
    assert (rewrite.day, rewrite.found.shown.files) == (DAY, (str(path),))


@pytest.mark.parametrize(
    ("until", "found"), [("2013-01-01", [DAY]), ("2012-12-31", []), ("2013-01-03", [DAY]), ("2013-01-04", [])]
)
def test_check_looks_at_the_days_of_its_window_and_the_day_after_it(flights, weather, until, found):
    os.unlink(weather[0].files[DAY])
    assert [one.day for one in rewrites.check(flights, 2, until=until, tables=["weather"])] == found


def test_check_file_edited_between_its_commit_and_its_record_is_found(flights, weather, stage, rows):
    manifest = stage(DAY, data=_warmer(rows(DAY), 3))
    judged = {"batch_id": manifest.batch_id, "outcome": "PASS"}
    ledger.append(records.Verdict(**judged), pipeline="flights", subject="weather", partition=DAY)
    tables.publish(manifest, verdict_id="v")
    path = Path(manifest.files[DAY])
    pq.write_table(_warmer(pq.read_table(path, partitioning=None), 20), path)
    assert [one.day for one in _check(flights)] == [DAY]


def test_check_rows_masked_by_a_delete_file_are_found(flights, weather, monkeypatch):
    """The platform's own library writes none: what another engine would have added is put into the plan."""
    plan = integrity_of_lake.snapshots.all_tasks

    def masked(*args):
        found = plan(*args)
        object.__setattr__(found[DAY][0], "delete_files", {found[DAY][0].file})
        return found

    monkeypatch.setattr(integrity_of_lake.snapshots, "all_tasks", masked)
    assert [(one.day, one.found.problem) for one in _check(flights)] == [(DAY, "edited")]


def test_diff_of_a_source_with_personal_data_shows_no_row(flights, weather, stage, rows):
    source = flights.source("weather").model_copy(update={"pii": "direct"})
    secret = flights.model_copy(update={"sources": {**flights.sources, "weather": source}})
    manifest = stage(DAY, data=_warmer(rows(DAY), 3))
    data = rewrites.publication(secret, manifest)
    assert (data["diff"]["changed"], data["diff"]["examples"]) == (3, [])
