"""A bucket holds names that no folder can hold, and files that are read from it while they arrive."""

from __future__ import annotations

import boto3
import pytest

from sluice.core.errors import DeliveryUnreadableError, LimitExceededError
from sluice.core.settings import settings
from sluice.ingest.deliveries import MANIFEST
from tests.ingest import strangers
from tests.ingest.hostile import HEADER, MIB

FOLDER = f"texts/{strangers.DAY}"
NAME = f"{FOLDER}/texts_{strangers.DAY}.csv"


@pytest.fixture
def zone(home, bucket, tmp_path, monkeypatch):
    """Functions: put a delivery into a bucket; and the pipeline that lands from there."""
    client = boto3.client("s3")
    pipeline = strangers.declare(tmp_path / "pipelines", monkeypatch, strangers.LIMITS)
    monkeypatch.setenv("SLUICE_LANDING", str(tmp_path / "made"))
    settings.cache_clear()

    def put(data, key=NAME):
        made = strangers.place(pipeline, "texts", data)
        manifest = made.with_name(made.name + MANIFEST).read_bytes()
        client.put_object(Bucket=bucket, Key=key, Body=data)
        client.put_object(Bucket=bucket, Key=key + MANIFEST, Body=manifest)

    def land_from_bucket():
        monkeypatch.setenv("SLUICE_LANDING", f"s3://{bucket}")
        settings.cache_clear()
        return pipeline

    return put, land_from_bucket


@pytest.mark.parametrize(
    "key",
    [f"{FOLDER}/../../lines/x.csv", f"{FOLDER}//x.csv", f"{FOLDER}/x\u202e.csv", f"{FOLDER}/C:\\x.csv"],
    ids=ascii,
)
def test_stage_key_of_an_odd_name_is_refused(zone, proofs, key):
    put, land_from_bucket = zone
    put(HEADER + b"1,x\n")
    put(HEADER + b"1,x\n", key)
    told = strangers.refused(land_from_bucket(), "texts", proofs, f"key {key!a}")
    assert "is not named as a delivery of 'texts'" in told.what


def test_stage_object_that_is_too_large_is_refused(zone, proofs):
    put, land_from_bucket = zone
    put(HEADER + b"1,x\n" * (5 * MIB))
    told = strangers.refused(land_from_bucket(), "texts", proofs, "object too large")
    assert isinstance(told, LimitExceededError)
    assert "too large: 20.0 MiB" in told.what


def test_stage_hostile_object_is_refused(zone, proofs):
    put, land_from_bucket = zone
    put(HEADER + b"1,\0\n")
    told = strangers.refused(land_from_bucket(), "texts", proofs, "object with NUL bytes")
    assert isinstance(told, DeliveryUnreadableError)
    assert "a NUL byte, in line 2" in told.what
