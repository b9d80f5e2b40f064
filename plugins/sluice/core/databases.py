"""The SQL databases of the catalog and the ledger: how long another writer is waited for, and what is said of one that
does not answer.

The rule kept here: a step never waits for ever for somebody else's lock, and what it then says names the database.
SQLite locks the whole file, PostgreSQL rows; both are held for milliseconds by Sluice itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from sluice.core.errors import DatabaseUnavailableError
from sluice.core.settings import settings

# Seconds that a server may take to accept a connection.
_CONNECT_SECONDS = 10
# Seconds after which a silent server is asked whether it is there, between two such questions, and how many.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
# What SQLite calls an operational error, and is a defect of a query or of the database itself.
_DEFECTS = ("no such", "syntax error", "has no column", "already exists")


def _connect_args(url: str) -> Mapping[str, Any]:
    """Arguments of the driver's `connect` that bound every wait; none for a driver that is not known here."""
    made = make_url(url)
    if made.get_backend_name() == "sqlite":
        return {"timeout": settings().lock_seconds}
    if made.get_backend_name() == "postgresql" and made.get_driver_name() in ("psycopg2", "psycopg"):
        locks = f"-c lock_timeout={round(settings().lock_seconds * 1000)}"
        return {"connect_timeout": _CONNECT_SECONDS, "options": locks, **_KEEPALIVE}
    return {}


def with_connect_args(url: str) -> str:
    """The URL with what bounds every wait in its query; what it names itself wins."""
    made = make_url(url)
    own = {name: str(value) for name, value in _connect_args(url).items() if name not in made.query}
    return made.update_query_dict(own).render_as_string(hide_password=False)


@lru_cache(maxsize=4)
def engine(url: str) -> Engine:
    """An engine that keeps no connection, so that a forked process shares none with its parent.

    Of SQLite a transaction begins with its first statement and waits for who writes, unless its option `sluice_reads` says
    that it only reads.
    """
    bounded = with_connect_args(url)
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(bounded, poolclass=NullPool)
    database = make_url(url).database
    if database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    made = create_engine(bounded, poolclass=NullPool)

    # The sqlite3 module begins a transaction only at the first write, which is after append() read the chain's end.
    @event.listens_for(made, "connect")
    def _leave_transactions_to_us(connection, _record) -> None:
        connection.isolation_level = None

    @event.listens_for(made, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("sluice_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return made


@contextmanager
def answering(url: str, what: str) -> Iterator[None]:
    """Say which database it was, where one is locked or does not answer.

    Args:
        what: what is kept in it, such as `catalog`.

    Raises:
        DatabaseUnavailableError: what was not committed has not happened; whether a commit whose answer was lost has,
            is not known.
    """
    try:
        yield
    except DBAPIError as error:
        if not _passes(error):
            raise
        raise _unavailable(url, what, error) from error


def _passes(error: DBAPIError) -> bool:
    """Whether it is about the database's being there, not about what was asked of it."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    return isinstance(error, OperationalError) and not any(word in str(error.orig) for word in _DEFECTS)


def _unavailable(url: str, what: str, error: DBAPIError) -> DatabaseUnavailableError:
    made = make_url(url)
    said = " ".join(str(error.orig).split())
    local = made.get_backend_name() == "sqlite"
    # Without the user and password of a server's URL.
    where = str(made.database) if local else f"{made.host or 'local'}:{made.port or ''}/{made.database}"
    todo = f"find the process that holds it (`fuser {where}`)" if local else "look into pg_stat_activity"
    return DatabaseUnavailableError(
        f"The {what}'s database cannot be used: {said}.",
        where=where,
        allowed=f"a database that answers, with no lock on it for longer than {settings().lock_seconds:g} s",
        todo=f"nothing, if it passes: the task is tried again; else {todo}",
    )
