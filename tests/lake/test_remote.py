"""The same lake on S3: a real HTTP server, found by the AWS variables alone."""

from __future__ import annotations

from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import BatchDamagedError
from sluice.lake import batches, connection, tables

YEAR = ("2013-01-01", "2013-12-31")


def test_publish_to_a_bucket_is_read_back_and_copied_once(warehouse, stage, tmp_path):
    manifest = stage("2013-01-01", "2013-01-02")
    assert manifest.files["2013-01-01"].startswith(f"s3://{warehouse}/lake/flights/weather/data/")
    assert batches.load("flights", "weather", manifest.batch_id) == manifest
    assert batches.staged("flights", "weather") == [manifest.batch_id]

    done = tables.publish(manifest, verdict_id="verdict-1")

    assert tables.publish(manifest, verdict_id="verdict-1").repeated
    shown = tables.published("flights", "weather", *YEAR)
    assert {day: one.file for day, one in shown.items()} == manifest.files
    assert tables.scan("flights", "weather", *YEAR, snapshot_id=done.snapshot_id).num_rows == manifest.rows

    copies = tables.files("flights", "weather", *YEAR, into=tmp_path / "work")
    assert [pq.ParquetFile(copy).metadata.num_rows for copy in copies] == list(
        manifest.rows_by_partition.values()
    )
    written = [Path(copy).stat().st_mtime_ns for copy in copies]
    assert tables.files("flights", "weather", *YEAR, into=tmp_path / "work") == copies
    assert [Path(copy).stat().st_mtime_ns for copy in copies] == written


def test_publish_object_that_is_gone_is_refused(warehouse, stage):
    manifest = stage("2013-01-01")
    key = manifest.files["2013-01-01"].removeprefix(f"s3://{warehouse}/")
    boto3.client("s3").delete_object(Bucket=warehouse, Key=key)

    with pytest.raises(BatchDamagedError, match="missing"):
        tables.publish(manifest, verdict_id="verdict-1")


def test_staged_in_an_empty_bucket_is_nothing(warehouse):
    assert batches.staged("flights", "weather") == []
    assert connection.folders(f"s3://{warehouse}/lake") == []
