"""The ledger's tables, made on first use, and the database's own guard against edits.

The rule kept here: only SQL that SQLite and Postgres both know, except for locks and triggers, which say which
database they are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Connection,
    Index,
    MetaData,
    String,
    Table,
    Text,
    event,
    inspect,
    text,
)

from sluice.core import databases
from sluice.core.settings import settings

# Any number will do that nothing else in the same Postgres database locks.
_POSTGRES_LOCK = 7_548_237_511

metadata = MetaData()

LEDGER = Table(
    "sluice_ledger",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("pipeline", String(128), nullable=False),
    Column("subject", String(256), nullable=False),
    Column("partition", String(64)),
    Column("run", String(512)),
    Column("data", Text, nullable=False),
    Column("once", String(512), unique=True),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    # What is asked for: the story of a partition, and the entries of a kind, of a pipeline, of a table, of some days.
    # Without them the cost of a day grows with all days before it.
    Index("sluice_ledger_by_partition", "pipeline", "subject", "partition", "seq"),
    Index("sluice_ledger_by_kind", "kind", "pipeline", "subject", "partition", "seq"),
)

# Where the chain ends, so that cutting off its last entries shows too. One row.
HEAD = Table(
    "sluice_ledger_head",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

for _action in ("UPDATE", "DELETE"):
    event.listen(
        LEDGER,
        "after_create",
        DDL(
            f"CREATE TRIGGER sluice_ledger_no_{_action.lower()} BEFORE {_action} ON sluice_ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )
event.listen(
    LEDGER,
    "after_create",
    DDL(
        "CREATE OR REPLACE FUNCTION sluice_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    ).execute_if(dialect="postgresql"),
)
event.listen(
    LEDGER,
    "after_create",
    DDL(
        "CREATE TRIGGER sluice_ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sluice_ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION sluice_ledger_refuse()"
    ).execute_if(dialect="postgresql"),
)


@contextmanager
def writing() -> Iterator[Connection]:
    """A transaction that is alone in writing the ledger, with its tables there; committed at the end."""
    url = settings().ledger_url
    with (
        databases.answering(url, "ledger"),
        databases.engine(url).connect() as connection,
        connection.begin(),
    ):
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        metadata.create_all(connection)
        yield connection


def lacking() -> set[str]:
    """Return the indexes that a ledger lacks which an earlier version made; none where there is no ledger yet."""
    with reading() as connection:
        there = inspect(connection).get_indexes(LEDGER.name) if connection else None
    return (
        set() if there is None else {str(one.name) for one in LEDGER.indexes} - {one["name"] for one in there}
    )


def complete() -> None:
    """Add the indexes that a ledger lacks which an earlier version made."""
    with writing() as connection:
        for index in LEDGER.indexes:
            index.create(connection, checkfirst=True)


@contextmanager
def reading() -> Iterator[Connection | None]:
    """A consistent view of the ledger; None where it has no tables yet."""
    url = settings().ledger_url
    engine = databases.engine(url)
    reads = {"sluice_reads": True, **_SNAPSHOT.get(engine.name, {})}
    with databases.answering(url, "ledger"), engine.connect().execution_options(**reads) as connection:
        yield connection if engine.dialect.has_table(connection, LEDGER.name) else None


@contextmanager
def session() -> Iterator[Connection | None]:
    """A connection without a transaction, for locks that last as long as it does; None where the ledger is a file."""
    engine = databases.engine(settings().ledger_url)
    if engine.name != "postgresql":
        yield None
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


# SQLite already reads one snapshot in a transaction; Postgres must be asked to.
_SNAPSHOT = {"postgresql": {"isolation_level": "REPEATABLE READ"}}
