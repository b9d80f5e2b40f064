"""Writers of one table at the same time: Iceberg lets one commit win, and the others look at the table again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sluice.core import retry
from sluice.core.errors import PublishConflictError

T = TypeVar("T")

# pyiceberg itself retries a lost commit; these are re-reads of the table after it gave up or met another writer.
_ATTEMPTS = 5


def look_again(change: Callable[[], T], *lost: type[Exception], what: str, where: str) -> T:
    """Change a table; where another writer was faster, look at it again and decide anew what is to be changed.

    Args:
        change: looks at the table, and changes it.
        lost: what it raises where another writer was faster.

    Raises:
        PublishConflictError: others kept winning.
    """
    try:
        return retry.attempts(_ATTEMPTS, *lost)(change)
    except lost as error:
        raise PublishConflictError(
            f"{what} lost {_ATTEMPTS} times against other writers of the table.",
            where=where,
            todo="retry; if it happens again, look for what keeps writing this table",
        ) from error
