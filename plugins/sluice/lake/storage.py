"""No space left, told as what it is: where, and what to do, whichever library met it.

The rule kept here: a full disk is never taken for a broken gate, a broken model or bad data. What was half written has
a name that nobody reads, so once there is space again the same task gives the same result.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sluice.core.errors import SluiceError, StorageFullError, TransformFailedError
from sluice.core.settings import settings

# No space, no quota, or larger than a file may be.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# PostgreSQL's own class of errors: 53100, disk_full.
_POSTGRES_FULL = "53100"


@contextmanager
def space_needed(where: str) -> Iterator[None]:
    """Say that there is no space left, where something cannot be written for the lack of it.

    Raises:
        StorageFullError: there is no space left. Any other error stays what it is.
    """
    try:
        yield
    except Exception as error:
        lacking = _lacking(error)
        if lacking is None:
            raise
        raise StorageFullError(
            f"There is no space left to write to: {lacking}.",
            where=f"{where}, on this machine's {settings().home} or its temporary folder",
            allowed="enough space for one more batch; nothing of this one is visible",
            todo="free space (`df -h` names the full disk) or raise the quota; the task is tried again by itself, "
            "and after its last attempt by clearing it",
        ) from error


def is_full(error: BaseException) -> bool:
    """Whether an error, or what caused it, is that there is no space left."""
    return _lacking(error) is not None


def _lacking(error: BaseException | None) -> str | None:
    """What an error, or what caused it, says of space; None if it is about something else."""
    while error is not None:
        if not isinstance(error, SluiceError) or isinstance(error, TransformFailedError):
            found = _message(error)
            if found:
                return found
        error = error.__cause__ or error.__context__
    return None


def _message(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        if error.errno in _FULL:
            return f"{os.strerror(error.errno)}{f' ({error.filename})' if error.filename else ''}"
        return None
    # SQLAlchemy keeps the driver's own error.
    driver = getattr(error, "orig", error)
    if getattr(driver, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return f"the database {driver}"
    if getattr(driver, "pgcode", None) == _POSTGRES_FULL:
        return f"PostgreSQL: {driver}".strip()
    # DuckDB, and dbt with it, tell the number's meaning only.
    if type(error).__module__.split(".")[0] in ("duckdb", "_duckdb") or isinstance(
        error, TransformFailedError
    ):
        return next((os.strerror(code) for code in _FULL if os.strerror(code) in str(error)), None)
    return None
