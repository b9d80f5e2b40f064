"""A bucket holds names that no folder can hold, and files that are read from it while they arrive."""

from __future__ import annotations

import os
import uuid

import boto3
import pytest
from moto.server import ThreadedMotoServer

from sluice.errors import DeliveryUnreadableError, LimitExceededError
from sluice.ingest.deliveries import MANIFEST
from sluice.settings import settings
from tests.ingest import strangers
from tests.ingest.hostile import HEADER, MIB

FOLDER = f"texts/{strangers.DAY}"
NAME = f"{FOLDER}/texts_{strangers.DAY}.csv"


@pytest.fixture
def bucket(home, tmp_path, monkeypatch):
    """A pipeline that lands from a bucket, a good delivery in it, and a function that puts a key."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://{}:{}".format(*server.get_host_and_port()))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    zone = f"zone-{uuid.uuid4().hex}"  # moto keeps buckets in the process, not in the server
    client.create_bucket(Bucket=zone)
    pipeline = strangers.declare(tmp_path / "pipelines", monkeypatch, strangers.LIMITS)
    monkeypatch.setenv("SLUICE_LANDING", str(tmp_path / "made"))
    settings.cache_clear()

    def put(data, key=NAME):
        made = strangers.place(pipeline, "texts", data)
        manifest = made.with_name(made.name + MANIFEST).read_bytes()
        client.put_object(Bucket=zone, Key=key, Body=data)
        client.put_object(Bucket=zone, Key=key + MANIFEST, Body=manifest)

    def land_from_bucket():
        monkeypatch.setenv("SLUICE_LANDING", f"s3://{zone}")
        settings.cache_clear()
        return pipeline

    yield put, land_from_bucket
    server.stop()


@pytest.mark.parametrize(
    "key",
    [f"{FOLDER}/../../lines/x.csv", f"{FOLDER}//x.csv", f"{FOLDER}/x\u202e.csv", f"{FOLDER}/C:\\x.csv"],
    ids=ascii,
)
def test_stage_key_of_an_odd_name_is_refused(bucket, proofs, key):
    put, land_from_bucket = bucket
    put(HEADER + b"1,x\n")
    put(HEADER + b"1,x\n", key)
    told = strangers.refused(land_from_bucket(), "texts", proofs, f"key {key!a}")
    assert "is not named as a delivery of 'texts'" in told.what


def test_stage_object_that_is_too_large_is_refused(bucket, proofs):
    put, land_from_bucket = bucket
    put(HEADER + b"1,x\n" * (5 * MIB))
    told = strangers.refused(land_from_bucket(), "texts", proofs, "object too large")
    assert isinstance(told, LimitExceededError)
    assert "too large: 20.0 MiB" in told.what


def test_stage_hostile_object_is_refused(bucket, proofs):
    put, land_from_bucket = bucket
    put(HEADER + b"1,\0\n")
    told = strangers.refused(land_from_bucket(), "texts", proofs, "object with NUL bytes")
    assert isinstance(told, DeliveryUnreadableError)
    assert "a NUL byte, in line 2" in told.what
