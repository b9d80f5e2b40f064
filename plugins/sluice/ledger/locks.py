"""Work that one process at a time does, of all machines that share a ledger: locks in its database.

The rule kept here: a ledger that does not answer keeps nobody from working, because a fault that nobody hears of is worse than
a mail that comes twice. Then, and where the ledger is SQLite, it is one process of this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqlalchemy import func, select

from sluice.core import databases, locks
from sluice.core.errors import DatabaseUnavailableError
from sluice.core.settings import settings
from sluice.ledger import schema

# The first of a lock's two numbers; the lock of the chain has one number, and PostgreSQL keeps both kinds apart.
_KIND = 1


@contextmanager
def alone(key: str, file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Keep other processes from the same work meanwhile; the lock dies with its holder.

    Args:
        key: names the work in the ledger's database.
        file: stands for the work on this machine: see `core.locks.alone`.
        wait: for those that hold the lock, in the database for SLUICE_LOCK_SECONDS.

    Yields: whether the lock is held; always, if `wait`.
    """
    with locks.alone(file, wait=wait) as is_alone, ExitStack() as held:
        yield is_alone and held.enter_context(_in_database(key, wait=wait))


@contextmanager
def _in_database(key: str, *, wait: bool) -> Iterator[bool]:
    ask = func.pg_advisory_lock if wait else func.pg_try_advisory_lock
    is_held = True
    with ExitStack() as held:
        with suppress(DatabaseUnavailableError), databases.answering(settings().ledger_url, "ledger"):
            # Of the connection, and not of a transaction that would stay open meanwhile.
            if connection := held.enter_context(schema.session()):
                is_held = connection.scalar(select(ask(_KIND, func.hashtext(key)))) is not False
        yield is_held
