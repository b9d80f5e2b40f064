"""What the warehouse's own reads and writes are like, in this process, where S3 fails."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import LakeUnreachableError, RetryableError
from sluice.core.settings import settings
from sluice.lake import cleanup, connection, s3
from sluice.lake.s3_io import WholeFileIO
from tests.proof.faulty_s3 import FAULTS, FaultyS3

pytestmark = pytest.mark.slow


@pytest.fixture
def faulty(warehouse, s3_server, monkeypatch):
    """The warehouse's bucket, behind a proxy, as this process sees it."""
    proxy = FaultyS3(s3_server)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setenv("SLUICE_S3_SECONDS", "0.5")
    # How long it is waited between two tries is botocore's affair; the number of tries is ours.
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    settings.cache_clear()
    yield f"s3://{warehouse}/lake", proxy
    proxy.close()


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("slow", "late")])
def test_object_is_written_whole_or_not_at_all_and_read_whole_or_not_at_all(faulty, fault):
    """Every request fails in the same way: what was done all the same is whole; what was not, is not there."""
    root, proxy = faulty
    content = os.urandom(100_000)
    connection.write(f"{root}/before", content)
    proxy.fail(1, fault)
    with suppress(LakeUnreachableError):
        connection.write(f"{root}/written", content)
    with pytest.raises(LakeUnreachableError, match=root.split("/")[2]) as refused:
        connection.read(f"{root}/before")
    assert isinstance(refused.value, RetryableError)
    with pytest.raises(LakeUnreachableError):
        connection.folders(root)

    proxy.fail(0)
    assert connection.read(f"{root}/before") == content
    try:
        assert connection.read(f"{root}/written") == content
    except FileNotFoundError:
        assert fault in ("slowdown", "reset_request")


@pytest.mark.parametrize("fault", ["truncated", "reset_answer"])
def test_object_whose_first_answer_breaks_off_is_asked_for_again(faulty, fault):
    """boto3 takes an answer for given when its head is there."""
    root, proxy = faulty
    content = os.urandom(100_000)
    connection.write(f"{root}/before", content)
    proxy.seen.clear()
    proxy.fail(0.5, fault, seed=3)  # the first request fails, the next two do not

    assert connection.read(f"{root}/before") == content
    assert proxy.seen == {fault: 1, "passed": 1}


def test_pyarrow_still_shows_what_an_exception_left_half_written(faulty):
    """If this fails, closing a stream that an exception interrupted writes nothing: `s3.write` may use one."""
    root, _ = faulty
    fs, path = connection.filesystem(f"{root}/half")

    def interrupted() -> None:
        with fs.open_output_stream(path) as stream:
            stream.write(b"the first half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert connection.read(f"{root}/half") == b"the first half"


def test_pyarrow_still_takes_an_answer_without_its_head_for_an_empty_object(faulty):
    """If this fails, pyarrow has learnt to tell a broken answer from an empty object: `WholeFileIO` may go."""
    root, proxy = faulty
    connection.write(f"{root}/before", b"something")
    fs, path = connection.filesystem(f"{root}/before")
    proxy.fail(1, "truncated")
    with fs.open_input_stream(path, compression=None) as stream:
        assert stream.readall() == b""


def test_size_of_an_object_is_never_taken_from_half_an_answer(faulty):
    """pyiceberg writes sizes of files into a table's metadata, where other engines rely on them."""
    root, proxy = faulty
    fs, path = connection.filesystem(f"{root}/one.parquet")
    pq.write_table(pa.table({"x": [1]}), path, filesystem=fs)
    there = WholeFileIO(s3.properties(root)).new_input(f"{root}/one.parquet")
    size = len(there)
    for ask in (lambda: len(there), lambda: there.open().size()):
        proxy.fail(0.5, "truncated", seed=3)  # the first request fails, the next two do not
        assert ask() == size > 0
    proxy.fail(1, "truncated")
    with pytest.raises(LakeUnreachableError):
        len(there)
    proxy.fail(0)
    with pytest.raises(FileNotFoundError):
        len(WholeFileIO(s3.properties(root)).new_output(f"{root}/nothing"))


def test_maintenance_of_a_bucket_that_is_gone_says_so(faulty):
    root, proxy = faulty
    connection.write(f"{root}/flights/schedule/data/x", b"something")
    proxy.go()
    for ask in (
        lambda: cleanup.inventory("flights", "schedule", keep=1, before=datetime.now(UTC)),
        lambda: connection.remove(f"{root}/flights/schedule/data/x"),
        lambda: connection.remove_empty_folder(f"{root}/flights/schedule/data"),
    ):
        with pytest.raises(LakeUnreachableError, match=root.split("/")[2]):
            ask()
    proxy.come_back()
    assert connection.read(f"{root}/flights/schedule/data/x") == b"something"


def test_object_that_is_not_there_is_missing_and_not_out_of_reach(faulty):
    with pytest.raises(FileNotFoundError):
        connection.read(f"{faulty[0]}/nothing")
