"""Several writers of one table at a time: Iceberg lets one commit win, and the others read the table again and retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sluice.core import retry
from sluice.core.errors import PublishConflictError

T = TypeVar("T")

# pyiceberg itself retries a lost commit; these are re-reads of the table after it gave up or met another writer.
_ATTEMPTS = 5


def retry_on_conflict(change: Callable[[], T], *conflicts: type[Exception], what: str, where: str) -> T:
    """Change a table; where another writer was faster, read it again and decide anew what is to be changed.

    Args:
        change: reads the table, and changes it.
        conflicts: what it raises where another writer was faster.

    Raises:
        PublishConflictError: others kept winning.
    """
    try:
        return retry.attempts(_ATTEMPTS, *conflicts)(change)
    except conflicts as error:
        raise PublishConflictError(
            f"{what} lost {_ATTEMPTS} times against other writers of the table.",
            where=where,
            todo="retry; if it happens again, look for what keeps writing this table",
        ) from error
