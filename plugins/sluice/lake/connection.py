"""Opening the Iceberg catalog and the warehouse's file system.

The rule kept here: no connection is kept between calls. A catalog is opened for one operation and closed after it,
so that a process that forks (Airflow's workers do) never shares a database connection with its parent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sluice.core import databases, failpoints, retry
from sluice.core.files import replacing
from sluice.core.settings import settings
from sluice.lake import s3

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from pyiceberg.catalog import Catalog

# Each failed attempt means that another process just created one of the catalog's two SQL tables.
_SQL_TABLES = 2


@contextmanager
def opened() -> Iterator[Catalog]:
    """Open the Iceberg catalog of this installation, creating a SQL catalog's own tables on first use.

    pyiceberg's own `PYICEBERG_CATALOG__SLUICE__*` variables add properties, such as credentials of a REST catalog.

    Raises, also for what is done with the catalog meanwhile:
        DatabaseUnavailableError: its database is locked for too long, or does not answer.
        LakeUnreachableError: the warehouse's bucket does not answer.
    """
    url, warehouse = settings().catalog_url, settings().warehouse_path
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    with databases.answering(url, "catalog"), reaching(warehouse), _loaded(url, warehouse) as catalog:
        yield catalog


def _loaded(url: str, warehouse: str) -> Catalog:
    from pyiceberg.catalog import load_catalog
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    # A REST or Glue catalog is no database of ours.
    uri = databases.with_connect_args(url) if url.startswith(("sqlite", "postgresql")) else url
    was_created = retry.attempts(
        _SQL_TABLES + 1,
        IntegrityError,
        OperationalError,
        ProgrammingError,
        only=lambda error: not isinstance(error, OperationalError) or "already exists" in str(error),
    )
    return was_created(load_catalog, "sluice", uri=uri, warehouse=warehouse, **s3.properties(warehouse))


def location(pipeline: str, table: str, *parts: str) -> str:
    """URI of a table, or of something under it."""
    return "/".join((settings().warehouse_path.rstrip("/"), pipeline, table, *parts))


def filesystem(uri: str) -> tuple[FileSystem, str]:
    """The pyarrow file system that holds `uri`, and the path of `uri` in it; made as pyiceberg makes its own."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, host, path = PyArrowFileIO.parse_location(uri)
    return PyArrowFileIO(s3.properties(f"{scheme}://{host}")).fs_by_scheme(scheme, host), path


def local_path(uri: str) -> Path | None:
    """The path of a `file://` URI or plain path; None for a remote one."""
    scheme, found, rest = uri.partition("://")
    if not found:
        return Path(uri)
    return Path(rest) if scheme == "file" else None


def uri(file: str) -> str:
    """The URI of a path, or `file` itself where it is one."""
    return file if "://" in file else f"file://{file}"


def write(uri: str, content: bytes) -> None:
    """Write a whole file so that no reader ever sees half of it.

    Raises:
        LakeUnreachableError: the bucket does not answer.
    """
    path = local_path(uri)
    if path is None:
        failpoints.hit("write.begun")
        s3.write(uri, content)
        return
    failpoints.hit("write.begun")
    with replacing(path) as part:
        part.write_bytes(content)
        failpoints.hit("write.part_written")


def read(uri: str) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none.
        LakeUnreachableError: the bucket does not answer.
    """
    path = local_path(uri)
    return s3.read(uri) if path is None else path.read_bytes()


def remove(uri: str) -> None:
    """Delete a file, if it is (still) there.

    Raises:
        LakeUnreachableError: the bucket does not answer.
    """
    with suppress(FileNotFoundError), reaching(uri):
        fs, path = filesystem(uri)
        fs.delete_file(path)


def remove_empty_folder(uri: str) -> None:
    """Delete a folder with nothing in it; in an object store that is the key that pyarrow leaves for one.

    Raises:
        LakeUnreachableError: the bucket does not answer.
    """
    from pyarrow.fs import FileSelector

    path = local_path(uri)
    if path is not None:
        with suppress(OSError):  # gone already, or somebody has just put something there
            path.rmdir()
        return
    with suppress(FileNotFoundError), reaching(uri):
        fs, key = filesystem(uri)
        if not fs.get_file_info(FileSelector(key, allow_not_found=True)):
            fs.delete_dir(key)


class Listed(NamedTuple):
    """A file under a folder: its path from there, with `/`, and its size in bytes."""

    name: str
    size: int
    modified: datetime


def folders(uri: str) -> list[str]:
    """Names of the folders under `uri`, sorted; empty where `uri` does not exist.

    Raises:
        LakeUnreachableError: the bucket does not answer.
    """
    return listed(uri)[0]


def listed(uri: str, *, below: bool = False) -> tuple[list[str], list[Listed]]:
    """The names of the folders, and the files, under `uri`, both sorted; none where `uri` does not exist.

    Args:
        below: also the files in its folders, at any depth.

    Raises:
        LakeUnreachableError: the bucket does not answer.
    """
    path = local_path(uri)
    if path is None:
        inside, objects = s3.listed(uri, below=below)
        return sorted(inside), sorted(Listed(*found) for found in objects)
    inside, files = [], []
    # Not by `rglob`, which fails where a folder goes meanwhile.
    for folder, names, here in os.walk(path):
        for name in here:
            with suppress(FileNotFoundError):
                found = Path(folder, name).lstat()
                modified = datetime.fromtimestamp(found.st_mtime, UTC)
                files.append(Listed(Path(folder, name).relative_to(path).as_posix(), found.st_size, modified))
        if not below:
            inside = [name for name in names if not Path(folder, name).is_symlink()]
            break
    return sorted(inside), sorted(files)


def reaching(uri: str) -> AbstractContextManager[None]:
    """What is done with a remote file system: see `s3.reaching`. Of a local one nothing is to be explained."""
    return s3.reaching(uri) if local_path(uri) is None else nullcontext()
