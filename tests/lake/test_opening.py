"""An object whose content breaks off is read on from there; one that was replaced meanwhile is not mixed with the new."""

from __future__ import annotations

import os

import boto3
import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from sluice.lake import s3
from sluice.lake.opening import stored_object

MIB = 1024 * 1024
CONTENT = os.urandom(3 * MIB + 7)


@pytest.fixture
def client(bucket):
    """Of a bucket that has the content under `x`."""
    made = boto3.client("s3")
    made.put_object(Bucket=bucket, Key="x", Body=CONTENT)
    return made


class Breaking:
    """The client, over a network that breaks off after a MiB, as often as it is told."""

    def __init__(self, client, times):
        self.client, self.times, self.asked = client, times, []

    def get_object(self, **how):
        answer = self.client.get_object(**how)
        self.asked.append(how.get("Range"))
        if len(self.asked) <= self.times:
            answer["Body"] = _Broken(answer["Body"])
        return answer


class _Broken:
    def __init__(self, body):
        self.body, self.given = body, False

    def read(self, size):
        if self.given:
            raise ResponseStreamingError(error="the connection was reset")
        self.given = True
        return self.body.read(size)


def test_stored_object_that_breaks_off_is_read_on(client, bucket):
    breaking = Breaking(client, times=2)
    opened = stored_object(breaking, bucket, "x")
    assert opened.size == len(CONTENT)
    assert b"".join(opened.pieces) == CONTENT
    assert breaking.asked == [None, f"bytes={MIB}-", f"bytes={2 * MIB}-"]


def test_stored_object_that_breaks_off_ever_again_is_given_up(client, bucket):
    breaking = Breaking(client, times=100)
    with pytest.raises(ResponseStreamingError):
        list(stored_object(breaking, bucket, "x").pieces)
    assert len(breaking.asked) == s3.ATTEMPTS


def test_stored_object_that_was_replaced_meanwhile_is_not_mixed(client, bucket):
    pieces = stored_object(Breaking(client, times=1), bucket, "x").pieces
    assert next(pieces) == CONTENT[:MIB]
    client.put_object(Bucket=bucket, Key="x", Body=CONTENT[::-1])
    with pytest.raises(ClientError, match="PreconditionFailed"):
        next(pieces)
