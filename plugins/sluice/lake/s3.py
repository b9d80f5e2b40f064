"""S3 as the lake and the landing zone use it: how long an answer is waited for, how often it is asked for again, and
whole objects in and out.

The rule kept here: an object is written by one request, so that it is there whole or not at all, and what was read of
one is the whole of it. (A pyarrow output stream is a multipart upload that is completed by closing it, also when an
exception closes it half-way; and where an answer breaks off in its head, pyarrow takes the object for empty.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluice.core import retry
from sluice.core.errors import LakeUnreachableError
from sluice.core.settings import settings

if TYPE_CHECKING:
    from pyarrow.fs import S3RetryStrategy
    from tenacity import Retrying

# boto3's default is the legacy retry mode and a minute for each connection attempt. Where three requests of ten fail,
# four attempts leave 0.8% of them; they are over within 7 s where nobody answers (waits of up to 1, 2 and 4 s), so that
# a task fails within its own retry, where a person can see it.
ATTEMPTS = 4
CONNECT_SECONDS = 5
# A commit makes some forty requests through pyarrow, whose own default is three attempts: where three of ten fail, two
# commits of three would. Seven attempts leave 0.02% a request, and give up 3 s (50, 100, 200 ms, ...) after the first.
_PYARROW_ATTEMPTS = 7


# What S3 calls an object that is not there; an answer to HEAD has no body to say it in.
_MISSING = ("NoSuchKey", "404")


def client() -> Any:
    """A new boto3 client; endpoint, region and credentials come from boto3's own chain."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        config=Config(
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=settings().s3_seconds,
        ),
    )


def attempts() -> Retrying:
    """Return what asks again where an answer breaks off: in its head, which boto3 does not notice, or in its content."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    return retry.attempts(ATTEMPTS, HTTPClientError, IncompleteReadError)


def ask(client: Any, bucket: str, key: str, operation: str = "get_object", **how: str) -> dict[str, Any]:
    """The answer to a `get_object`; asked for again where it breaks off in its head, which boto3 does not notice.

    Args:
        operation: `head_object`, where only what is in the head is wanted.

    Raises:
        botocore.exceptions.ClientError, BotoCoreError: there is none; `NoSuchKey`, or 404, where there is no object.
    """
    from botocore.exceptions import IncompleteReadError

    def answer() -> dict[str, Any]:
        found: dict[str, Any] = getattr(client, operation)(Bucket=bucket, Key=key, **how)
        if "ContentLength" not in found:
            raise IncompleteReadError(actual_bytes=0, expected_bytes="unknown")
        return found

    return attempts()(answer)


def get(client: Any, bucket: str, key: str) -> bytes:
    """The whole content of an object; asked for again where it breaks off, which boto3 does not do.

    Raises:
        botocore.exceptions.ClientError, BotoCoreError: it cannot be read; `NoSuchKey` where there is none.
    """
    return attempts()(lambda: ask(client, bucket, key)["Body"].read())


def read(uri: str) -> bytes:
    """The content of an object.

    Raises:
        FileNotFoundError: there is none.
        LakeUnreachableError: the bucket does not answer.
    """
    bucket, key = _parts(uri)
    with reaching(uri):
        return get(_kept_client(os.getpid(), bucket), bucket, key)


def size(uri: str) -> int:
    """Bytes of an object.

    Raises:
        FileNotFoundError: there is none.
        LakeUnreachableError: the bucket does not answer.
    """
    bucket, key = _parts(uri)
    with reaching(uri):
        found: int = ask(_kept_client(os.getpid(), bucket), bucket, key, "head_object")["ContentLength"]
    return found


def listed(uri: str, *, below: bool = False) -> tuple[list[str], list[tuple[str, int, datetime]]]:
    """What lies under a URI: the names of folders, and of objects their path from there, size in bytes and time.

    Args:
        below: every object, at any depth, and no folders.

    Raises:
        LakeUnreachableError: the bucket does not answer, or is not there.
    """
    bucket, key = _parts(uri)
    prefix = f"{key.rstrip('/')}/" if key else ""
    folders: list[str] = []
    objects: list[tuple[str, int, datetime]] = []
    with reaching(uri):
        pages = _kept_client(os.getpid(), bucket).get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="" if below else "/"):
            folders += [one["Prefix"][len(prefix) : -1] for one in page.get("CommonPrefixes", ())]
            # Consoles create a key that ends in "/" for a folder.
            objects += [
                (one["Key"][len(prefix) :], one["Size"], one["LastModified"])
                for one in page.get("Contents", ())
                if not one["Key"].endswith("/")
            ]
    return folders, objects


def write(uri: str, content: bytes) -> None:
    """Write or replace an object.

    Raises:
        LakeUnreachableError: the bucket does not answer; whether the object is there is not known.
    """
    bucket, key = _parts(uri)
    with reaching(uri):
        _kept_client(os.getpid(), bucket).put_object(Bucket=bucket, Key=key, Body=content)


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Say what could not be reached, where a bucket does not answer; an object that is not there stays that.

    Raises:
        FileNotFoundError: there is no such object.
        LakeUnreachableError: the bucket does not answer, or not in time, or not to these credentials.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from pyarrow import ArrowInvalid

    try:
        yield
    except FileNotFoundError:
        raise
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and error.response["Error"]["Code"] in _MISSING:
            raise FileNotFoundError(f"There is no object {uri}.") from error
        raise _unreachable(uri, error) from error
    except ArrowInvalid as error:
        # Nobody writes half a file: more likely an answer broke off. Where it did not, trying again says the same.
        raise _unreachable(uri, error) from error
    except OSError as error:
        # pyarrow gives what S3 answers no number; what has one is about this machine, such as a full disk.
        if error.errno is not None:
            raise
        raise _unreachable(uri, error) from error


@lru_cache(maxsize=4)
def properties(uri: str) -> dict[str, str]:
    """What pyiceberg is told of the bucket of a URI; nothing where it is none.

    Endpoint and region of a bucket outside Amazon are those that boto3's own chain names (`AWS_ENDPOINT_URL_S3`, ...):
    pyarrow does not read these, and pyiceberg would ask Amazon for the region. Inside Amazon both find their way.
    """
    if not uri.startswith("s3"):
        return {}
    found = {
        "py-io-impl": "sluice.lake.s3_io.WholeFileIO",
        "s3.connect-timeout": str(CONNECT_SECONDS),
        "s3.request-timeout": str(settings().s3_seconds),
        "s3.retry-strategy-impl": f"{__name__}.retry_strategy",
    }
    meta = client().meta
    if ".amazonaws.com" not in meta.endpoint_url:
        found |= {"s3.endpoint": meta.endpoint_url, "s3.region": meta.region_name}
    return found


def retry_strategy() -> S3RetryStrategy:
    """How pyarrow repeats a request; called by pyiceberg, by its name."""
    from pyarrow.fs import AwsDefaultS3RetryStrategy

    return AwsDefaultS3RetryStrategy(max_attempts=_PYARROW_ATTEMPTS)


@lru_cache(maxsize=4)
def _kept_client(pid: int, bucket: str) -> Any:
    """A client of this process only: a fork must not use its parent's connections."""
    return client()


def _parts(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _unreachable(uri: str, error: Exception) -> LakeUnreachableError:
    bucket, _ = _parts(uri)
    said = " ".join(str(error).split())
    # What differs from object to object is no part of what is wrong: it is one fault, whichever task meets it.
    return LakeUnreachableError(
        f"The bucket {bucket!r} cannot be used.",
        where=f"{uri} ({type(error).__name__}: {said})",
        allowed="a bucket that answers and that these credentials may list, read and write",
        todo="nothing, if it passes: the task is tried again; else check the bucket, AWS_ENDPOINT_URL_S3, the "
        "network and the credentials",
    )
