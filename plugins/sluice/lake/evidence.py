"""Evidence, pages and what they show as JSON, at one address that every component reaches: a folder, or a prefix of a bucket.

A name is relative to that address and uses `/`: <pipeline>/<kind>/<partition>/<file>. A file appears whole or not at all. Several
machines share evidence only in a bucket (or a shared disk): what one worker writes, the API server of another machine serves.

Every function raises LakeUnreachableError where the bucket does not answer.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sluice.core.settings import settings
from sluice.lake import connection

# Files that are read at a time from a bucket, where each takes a round trip; boto3 keeps ten connections.
_AT_A_TIME = 10


@dataclass(frozen=True)
class File:
    """One file: `name` as in the module, `size` in bytes."""

    name: str
    size: int
    modified: datetime


def address(name: str = "") -> str:
    """Where a file is, for people and for whatever opens it."""
    return f"{settings().evidence_address}/{name}".rstrip("/")


def write(name: str, content: bytes) -> None:
    """Write or replace a file, in one step."""
    connection.write(address(name), content)


def read(name: str) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none, or it would lie elsewhere: through `..` or, in a folder, a link.
    """
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise FileNotFoundError(f"There is no evidence {name!r}.")
    folder = connection.local_path(address())
    if folder is None:
        return connection.read(address(name))
    root, real = (Path(os.path.realpath(one)) for one in (folder, folder / name))
    # Not the folder that a link of the pipeline's name leads to: that may be another pipeline's.
    if not real.is_relative_to(root / name.split("/")[0]):
        raise FileNotFoundError(f"There is no evidence {name!r}.")
    return real.read_bytes()


def read_all(names: Iterable[str]) -> Iterator[bytes | None]:
    """The contents of files, in their order; None of one that cannot be read."""

    def attempt(name: str) -> bytes | None:
        try:
            return read(name)
        except OSError:
            return None

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        yield from pool.map(attempt, names)


def data_of(page: str) -> str:
    """The name of what a page shows, as JSON."""
    return f"{page.removesuffix('.html')}.json"


def remove(name: str) -> None:
    """Delete a file, if it is (still) there, and the folder that it leaves empty."""
    connection.remove(address(name))
    connection.remove_empty_folder(address(name.rpartition("/")[0]))


def folders(name: str = "") -> list[str]:
    """Names of the folders in a folder, sorted, without what is above them; none where there is no such folder."""
    return listed(name)[0]


def files(name: str = "", *, below: bool = False) -> list[File]:
    """The files in a folder, by name; none where there is no such folder.

    Args:
        below: also those in its folders, at any depth.
    """
    return listed(name, below=below)[1]


def listed(name: str = "", *, below: bool = False) -> tuple[list[str], list[File]]:
    """`folders` and `files` of a folder, asked for once."""
    inside, found = connection.listed(address(name), below=below)
    return (
        [one for one in inside if not one.startswith(".")],
        [
            File(f"{name}/{file.name}".lstrip("/"), file.size, file.modified)
            for file in found
            if not any(part.startswith(".") for part in file.name.split("/"))
        ],
    )


def files_of(names: Sequence[str]) -> list[list[File]]:
    """`files` of each of some folders, asked for together; none of ""."""
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return list(pool.map(lambda name: files(name) if name else [], names))


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A folder of evidence as one of this machine, for what writes files; of a bucket, a copy that is put back at the end.

    A block that fails puts nothing back.
    """
    path = connection.local_path(address(name))
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        yield path
        return
    before = {file.name.removeprefix(f"{name}/"): read(file.name) for file in files(name)}
    settings().work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="evidence-", dir=settings().work) as copy:
        for file, content in before.items():
            Path(copy, file).write_bytes(content)
        yield Path(copy)
        after = {path.name: path.read_bytes() for path in Path(copy).iterdir()}
    for file, content in after.items():
        if content != before.get(file):
            write(f"{name}/{file}", content)
    for file in before.keys() - after.keys():
        connection.remove(address(f"{name}/{file}"))
