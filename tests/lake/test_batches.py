"""A batch is complete, immutable and invisible until it is published."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

import sluice.core.clock
from sluice.core.errors import BatchDamagedError, BatchUnknownError, ContractBrokenError
from sluice.lake import batches, connection, tables


def test_stage_two_days_writes_a_file_a_day_and_a_manifest(stage, rows):
    manifest = stage("2013-01-02", "2013-01-01")

    assert manifest.partitions == ("2013-01-01", "2013-01-02")
    assert (
        manifest.rows == sum(manifest.rows_by_partition.values()) == rows("2013-01-01", "2013-01-02").num_rows
    )
    for day, file in manifest.files.items():
        read = pq.ParquetFile(file).read()
        assert {str(value) for value in read["ds"].to_pylist()} == {day}
        assert read.num_rows == manifest.rows_by_partition[day]
        assert Path(file).parent.joinpath("manifest.json").is_file()
    assert batches.load("flights", "weather", manifest.batch_id) == manifest


def test_stage_any_number_of_batches_shows_nothing_to_readers(stage, tmp_path):
    stage("2013-01-01")

    assert tables.published("flights", "weather", "2013-01-01", "2013-12-31") == {}
    assert tables.files("flights", "weather", "2013-01-01", "2013-12-31", into=tmp_path) == []
    assert tables.snapshot_id("flights", "weather") is None


def test_stage_same_rows_in_another_order_has_the_same_content(stage, rows):
    one = stage("2013-01-01", "2013-01-02")
    day = rows("2013-01-01", "2013-01-02")
    # The key repeats nothing, but even rows that are equal in it must not depend on their order.
    two = stage(
        "2013-01-01", "2013-01-02", data=day.take(list(reversed(range(day.num_rows)))), sort_by=["origin"]
    )
    three = stage("2013-01-01", "2013-01-02", data=day, sort_by=["origin"])

    assert two.content_hash == three.content_hash
    assert one.batch_id < two.batch_id < three.batch_id
    assert batches.staged("flights", "weather") == [three.batch_id, two.batch_id, one.batch_id]
    assert stage("2013-01-01", "2013-01-02", data=day).content_hash == one.content_hash


def test_stage_changed_value_has_another_content(stage, rows):
    day = rows("2013-01-01")
    warmer = day.set_column(day.column_names.index("temp"), "temp", pa.array([99.0] * day.num_rows))

    assert stage("2013-01-01", data=warmer).content_hash != stage("2013-01-01").content_hash


def test_stage_row_of_another_day_is_refused(stage, rows):
    with pytest.raises(ContractBrokenError, match="2013-01-02"):
        stage("2013-01-01", data=rows("2013-01-01", "2013-01-02"))
    assert batches.staged("flights", "weather") == []


@pytest.mark.parametrize("counts", [{"received": 24}, {"dropped": {"exact_duplicate": 1}}])
def test_stage_rows_that_do_not_add_up_are_refused(stage, counts):
    with pytest.raises(ValidationError, match="not conserved"):
        stage("2013-01-01", **counts)
    assert batches.staged("flights", "weather") == []


def test_stage_partition_without_rows_gets_an_empty_file(stage, rows):
    manifest = stage("2013-01-01", "2013-01-02", data=rows("2013-01-01"))

    assert manifest.rows_by_partition["2013-01-02"] == 0
    assert pq.ParquetFile(manifest.files["2013-01-02"]).metadata.num_rows == 0


def test_stage_types_are_the_ones_that_the_lake_stores(stage, rows):
    day = rows("2013-01-01")
    instant = datetime(2013, 1, 1, 9, tzinfo=UTC)
    data = (
        day.append_column("station", day["origin"].cast(pa.large_string()).dictionary_encode())
        .append_column("seen_at", pa.array([instant] * day.num_rows, pa.timestamp("ns", "America/New_York")))
        .append_column("small", pa.array([1] * day.num_rows, pa.int8()))
    )

    manifest = stage("2013-01-01", data=data)

    stored = pq.ParquetFile(manifest.files["2013-01-01"]).read()
    assert {name: str(stored.schema.field(name).type) for name in stored.column_names} == manifest.columns
    assert manifest.columns["station"] == "string"
    assert manifest.columns["seen_at"] == "timestamp[us, tz=UTC]"
    assert manifest.columns["small"] == "int32"
    assert stored["seen_at"][0].as_py() == instant


def test_stage_type_that_cannot_be_stored_is_named(stage, rows):
    day = rows("2013-01-01")

    with pytest.raises(ContractBrokenError, match=r"readings \(list<"):
        stage("2013-01-01", data=day.append_column("readings", pa.array([[1.0]] * day.num_rows)))
    with pytest.raises(ContractBrokenError, match="'ds'"):
        stage("2013-01-01", data=day.drop_columns("ds"))


def test_load_unknown_batch_names_the_ones_that_exist(stage):
    known = stage("2013-01-01").batch_id

    with pytest.raises(BatchUnknownError, match=known):
        batches.load("flights", "weather", "20130101T000000000000-000000")


def test_stage_killed_before_the_manifest_leaves_no_batch(stage, in_processes, monkeypatch):
    write = connection.write

    def killed_at_the_manifest(uri, content):
        if uri.endswith("manifest.json"):
            os.kill(os.getpid(), signal.SIGKILL)
        write(uri, content)

    with monkeypatch.context() as patch:
        patch.setattr(connection, "write", killed_at_the_manifest)
        assert in_processes(lambda: stage("2013-01-01")) == [None]

    assert len(connection.folders(connection.location("flights", "weather", "data"))) == 1
    assert batches.staged("flights", "weather") == []
    again = stage("2013-01-01")
    assert batches.staged("flights", "weather") == [again.batch_id]


@pytest.mark.parametrize("damage", ["edited", "deleted"])
def test_check_unchanged_damaged_file_is_refused(stage, damage):
    manifest = stage("2013-01-01")
    batches.check_unchanged(manifest)
    file = Path(manifest.files["2013-01-01"])
    if damage == "edited":
        file.write_bytes(file.read_bytes()[:-5] + b"0" + file.read_bytes()[-4:])
    else:
        file.unlink()

    with pytest.raises(BatchDamagedError, match=manifest.batch_id):
        batches.check_unchanged(manifest)


@pytest.fixture
def clock(monkeypatch):
    """Function: set the clock of the host by so many hours, from now on."""

    def ahead(hours: int) -> None:
        monkeypatch.setattr(sluice.core.clock, "utc_now", lambda: datetime.now(UTC) + timedelta(hours=hours))

    return ahead


def test_publish_of_a_correction_from_a_host_whose_clock_is_behind_replaces(stage, rows, clock):
    clock(1)
    first = stage("2013-01-01")
    tables.publish(first, verdict_id="v")
    clock(0)
    correction = stage("2013-01-01", data=rows("2013-01-01").slice(3))
    tables.publish(correction, verdict_id="v")
    clock(-1)
    second = stage("2013-01-01", data=rows("2013-01-01").slice(4))
    tables.publish(second, verdict_id="v")

    assert first.batch_id < correction.batch_id < second.batch_id
    assert (
        tables.published("flights", "weather", "2013-01-01", "2013-01-01")["2013-01-01"].rows == second.rows
    )


def test_new_id_of_what_follows_from_a_batch_sorts_after_it_and_before_the_next_batch(stage, clock):
    clock(1)
    full = stage("2013-01-01")
    split = stage("2013-01-01", after=full.batch_id)
    clock(-1)
    again = stage("2013-01-01", after=full.batch_id)
    following = stage("2013-01-01")

    assert full.batch_id < split.batch_id < again.batch_id < following.batch_id
    assert batches.full_id(again.batch_id) == full.batch_id
