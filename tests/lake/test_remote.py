"""The same lake on S3: a real HTTP server, found by the AWS variables alone."""

from __future__ import annotations

import secrets
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from sluice.errors import BatchDamagedError
from sluice.lake import batches, catalog, tables
from sluice.settings import settings

YEAR = ("2013-01-01", "2013-12-31")


@pytest.fixture
def bucket(home, monkeypatch):
    """An S3 client, and the new bucket where the warehouse is put."""
    # moto keeps buckets in the process, not in the server.
    name = f"sluice-{secrets.token_hex(4)}"
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for variable, value in {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SLUICE_WAREHOUSE": f"s3://{name}/lake",
    }.items():
        monkeypatch.setenv(variable, value)
    settings.cache_clear()
    client = boto3.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client, name
    server.stop()


def test_publish_to_a_bucket_is_read_back_and_copied_once(bucket, stage, tmp_path):
    manifest = stage("2013-01-01", "2013-01-02")
    assert manifest.files["2013-01-01"].startswith(f"s3://{bucket[1]}/lake/flights/weather/data/")
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


def test_publish_object_that_is_gone_is_refused(bucket, stage):
    manifest = stage("2013-01-01")
    client, name = bucket
    client.delete_object(Bucket=name, Key=manifest.files["2013-01-01"].removeprefix(f"s3://{name}/"))

    with pytest.raises(BatchDamagedError, match="missing"):
        tables.publish(manifest, verdict_id="verdict-1")


def test_staged_in_an_empty_bucket_is_nothing(bucket):
    assert batches.staged("flights", "weather") == []
    assert catalog.folders(f"s3://{bucket[1]}/lake") == []
