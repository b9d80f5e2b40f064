"""Opening the Iceberg catalog and the warehouse's file system.

The rule kept here: no connection is kept between calls. A catalog is opened for one operation and closed after it,
so that a process that forks (Airflow's workers do) never shares a database connection with its parent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.settings import settings

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from pyiceberg.catalog import Catalog

# Each failed attempt means that another process just created one of the catalog's two SQL tables.
_SQL_TABLES = 2


@contextmanager
def opened() -> Iterator[Catalog]:
    """Open the Iceberg catalog of this installation, creating a SQL catalog's own tables on first use.

    pyiceberg's own `PYICEBERG_CATALOG__SLUICE__*` variables add properties, such as credentials of a REST catalog.
    """
    from pyiceberg.catalog import load_catalog
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    uri, warehouse = settings().catalog_url, settings().warehouse_path
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        # Seconds to wait for another process's commit (it takes milliseconds; the default is 5).
        uri += "" if "?" in uri else "?timeout=60"
    for attempt in range(_SQL_TABLES + 1):
        try:
            catalog = load_catalog("sluice", uri=uri, warehouse=warehouse, **_s3_properties(warehouse))
            break
        except (IntegrityError, OperationalError, ProgrammingError):
            if attempt == _SQL_TABLES:
                raise
    with catalog:
        yield catalog


def location(pipeline: str, table: str, *parts: str) -> str:
    """URI of a table, or of something under it."""
    return "/".join((settings().warehouse_path.rstrip("/"), pipeline, table, *parts))


def filesystem(uri: str) -> tuple[FileSystem, str]:
    """The pyarrow file system that holds `uri`, and the path of `uri` in it; made as pyiceberg makes its own."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    scheme, host, path = PyArrowFileIO.parse_location(uri)
    return PyArrowFileIO(_s3_properties(settings().warehouse_path)).fs_by_scheme(scheme, host), path


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
    """Write a whole file so that no reader ever sees half of it (an object store's put already is so)."""
    path = local_path(uri)
    if path is None:
        fs, key = filesystem(uri)
        with fs.open_output_stream(key) as stream:
            stream.write(content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def read(uri: str) -> bytes:
    """The content of a file.

    Raises:
        FileNotFoundError: there is none.
    """
    fs, path = filesystem(uri)
    with fs.open_input_stream(path, compression=None) as stream:
        return stream.readall()


def folders(uri: str) -> list[str]:
    """Names of the folders under `uri`, sorted; empty where `uri` does not exist."""
    from pyarrow.fs import FileSelector, FileType

    fs, path = filesystem(uri)
    found = fs.get_file_info(FileSelector(path, allow_not_found=True))
    return sorted(info.base_name for info in found if info.type == FileType.Directory)


@lru_cache(maxsize=4)
def _s3_properties(warehouse: str) -> dict[str, str]:
    """Endpoint and region of a bucket outside Amazon, as boto3's own chain names them (`AWS_ENDPOINT_URL_S3`, ...).

    pyarrow does not read these, and pyiceberg would ask Amazon for the region. Inside Amazon both find their way.
    """
    if not warehouse.startswith("s3"):
        return {}
    import boto3

    found = boto3.client("s3").meta
    if ".amazonaws.com" in found.endpoint_url:
        return {}
    return {"s3.endpoint": found.endpoint_url, "s3.region": found.region_name}
