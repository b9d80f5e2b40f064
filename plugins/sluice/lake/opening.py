"""A file of the landing zone, opened to be read a piece at a time: whatever its size, one piece is in memory.

Anybody may put something into a landing zone. What is opened is a plain file that lies inside of it: not a pipe, on
which a reader would wait for ever, no device, and no link to what this process may read and the producer may not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice.core.errors import DeliveryUnreadableError
from sluice.lake import s3

_PIECE = 1024 * 1024
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True)
class Opened:
    """Size in bytes, as announced before reading, and the content in pieces."""

    size: int
    pieces: Iterator[bytes]


@contextmanager
def plain_file(root: Path, path: Path) -> Iterator[Opened]:
    """Open a file under a folder.

    Raises:
        DeliveryUnreadableError: it is no plain file, or a link to one outside of the folder.
        OSError: it cannot be opened or read; as FileNotFoundError where there is none.
    """
    _require_plain(os.stat(path), path)
    # Not blocking: it may have become a pipe since.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        _require_plain(found, path)
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(root)) or not os.path.samestat(os.stat(real), found):
            raise _refused("a link that leaves the landing zone", path)
        yield Opened(found.st_size, iter(lambda: file.read(_PIECE), b""))


def stored_object(client: Any, bucket: str, key: str) -> Opened:
    """Open an object; where its content breaks off, it is asked for from there on.

    Raises, also while it is read:
        botocore.exceptions.ClientError, BotoCoreError: it cannot be read; `NoSuchKey` where there is none.
    """
    first = s3.ask(client, bucket, key)

    def pieces() -> Iterator[bytes]:
        answer: dict[str, Any] | None = first
        offset = 0
        for attempt in s3.attempts():
            with attempt:
                left, answer = answer, None
                left = left or s3.ask(client, bucket, key, Range=f"bytes={offset}-", IfMatch=first["ETag"])
                while piece := left["Body"].read(_PIECE):
                    offset += len(piece)
                    yield piece

    return Opened(first["ContentLength"], pieces())


def _require_plain(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(_KINDS.get(stat.S_IFMT(found.st_mode), "no plain file"), path)


def _refused(what: str, path: Path) -> DeliveryUnreadableError:
    return DeliveryUnreadableError(
        f"{path.name} is {what}.",
        where=str(path),
        allowed="a plain file inside the landing zone",
        todo="have the producer deliver the file itself, with the next number",
    )
