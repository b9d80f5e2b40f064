"""Writes and failpoints: which there are in a step, and those inside pyiceberg, which has none of its own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sluice.core import failpoints
from sluice.core.settings import settings
from tests.proof.observing import files_of

# pyiceberg has no points of its own: these are put in front of and behind each of its writes.
ICEBERG = {
    "iceberg.file_begun": "a file of a table's metadata is not written yet",
    "iceberg.file_written": "a file of a table's metadata is written",
    "iceberg.catalog_unchanged": "all of a table's new metadata are written, and the catalog names the old ones",
}


# What SQLite keeps beside a database, and MLflow's lock.
_BESIDE = ("-journal", "-wal", "-shm", ".lock")


def inside_pyiceberg() -> None:
    """Give this process failpoints in front of and behind each write that pyiceberg makes."""
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io.pyarrow import PyArrowFile
    from sqlalchemy import event

    failpoints.POINTS.update(ICEBERG)
    create, load = PyArrowFile.create, SqlCatalog.__init__

    def created(self: PyArrowFile, overwrite: bool = False) -> Any:
        failpoints.hit("iceberg.file_begun")
        stream = create(self, overwrite)
        close = stream.close

        class Closing:
            def __getattr__(self, name: str) -> Any:
                return getattr(stream, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                self.close()

            def close(self) -> None:
                close()
                failpoints.hit("iceberg.file_written")

        return Closing()

    def loaded(self: SqlCatalog, *args: Any, **kwargs: Any) -> None:
        load(self, *args, **kwargs)

        @event.listens_for(self.engine, "commit")
        def _about_to_commit(_connection: Any) -> None:
            failpoints.hit("iceberg.catalog_unchanged")

    PyArrowFile.create, SqlCatalog.__init__ = created, loaded  # type: ignore[method-assign]


def watched(work: Callable[[], str]) -> dict[str, Any]:
    """Some work, watched: the points that it passes, and the writes between each two of them.

    A write is what is seen on the disk: a file that is new, gone, renamed or changed. Whatever wrote it, in Python or
    not, is seen. A database is one file with its journal and its lock.
    """
    passed, writes, before = Counter[str](), [], _disk()
    order: list[list[Any]] = []
    last = "the beginning"
    plain_hit = failpoints.hit

    def look(here: str) -> None:
        nonlocal before, last
        now = _disk()
        writes.append([last, here, _changes(before, now)])
        before, last = now, here

    def passes(point: str) -> None:
        passed[point] += 1
        order.append([point, passed[point]])
        look(f"{point}#{passed[point]}")
        plain_hit(point)

    failpoints.hit = passes
    xcom = work()
    look("the end")
    return {"passed": order, "writes": writes, "xcom": xcom}


def _disk() -> dict[str, tuple[int, int, int]]:
    return {str(path): _identity(path) for path in files_of(settings().home)}


def _identity(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    renamed = {now[name]: name for name in now.keys() - before.keys()}
    found = set()
    for name in before.keys() | now.keys():
        if before.get(name) == now.get(name):
            continue
        if name not in now and before[name] in renamed:
            continue  # told where it is now
        found.add(next((name.removesuffix(end) for end in _BESIDE if name.endswith(end)), name))
    return sorted(os.path.relpath(name, settings().home) for name in found)
