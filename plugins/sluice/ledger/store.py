"""The ledger: every decision, in order, each entry bound to the one before by its hash.

The rule kept here: entries are only ever added, one writer at a time. Whoever edits, removes or reorders one breaks
the chain, and `verify` names where. The chain has no secret: someone who may rewrite the whole database can also
recompute it, so note the last hash elsewhere (it is in every `Entry`) if that is a concern.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Generic, TypedDict, TypeVar, Unpack, overload

from sqlalchemy import Row, func, insert, select, update

from sluice.core import clock, failpoints
from sluice.core.errors import LedgerTamperedError
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.ledger.kinds import KINDS
from sluice.ledger.record import Record, unreadable
from sluice.ledger.records import ClosedUpTo, Mail
from sluice.ledger.schema import HEAD, LEDGER, reading, writing

R = TypeVar("R", bound=Record)

# What the hash of an entry is over.
_HASHED = sorted(column.name for column in LEDGER.c if column is not LEDGER.c.hash)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
# The `prev` of the first entry.
_GENESIS = "0" * 64
# Of a day, YYYY-MM-DD.
_DAY_CHARS = 10


@dataclass(frozen=True)
class Entry(Generic[R]):
    """One decision."""

    # Counts from 1 without gaps.
    seq: int
    at: datetime
    kind: str
    pipeline: str
    # What was decided on, such as a table or a model.
    subject: str
    partition: str | None
    run: str | None
    # As it is stored; `record` is the same with types.
    data: dict[str, Any]
    # SHA-256 of the entry before, and of this one with it.
    prev: str
    hash: str

    @cached_property
    def record(self) -> R:
        """What it says, by the model of its kind.

        Raises:
            LedgerEntryInvalidError: it does not fit the model.
        """
        return KINDS.get(self.kind, Record).read(self.data, _name(self))  # type: ignore[return-value]

    @cached_property
    def days(self) -> Partition:
        """The days of its partition.

        Raises:
            LedgerEntryInvalidError: it is about no partition.
        """
        if self.partition is None:
            raise unreadable(_name(self), "it is about no partition")
        return Partition.parse(self.partition)

    def covers(self, day: str) -> bool:
        """Whether it is about a day (YYYY-MM-DD), alone or among others."""
        return self.partition is not None and day in self.days


class Filters(TypedDict, total=False):
    """What entries can be asked for; they match all that is given."""

    pipeline: str | None
    subject: str | None
    partition: Partition | str | None
    # The `seq` that they follow.
    after: int | None
    # The instant from which on they were made.
    since: datetime | None
    # Entries whose partition shares a day with this one.
    days: Partition | None
    limit: int | None


def append(
    record: R,
    *,
    pipeline: str,
    subject: str,
    partition: Partition | str | None = None,
    run: str | None = None,
    once: str | None = None,
) -> Entry[R]:
    """Add an entry and return it.

    Args:
        record: what it says, of the model of its kind.
        once: key of the decision. A second append with it changes nothing and returns the first one's entry, so that
            a step that is repeated records its decision once.

    Raises:
        LedgerEntryInvalidError: the record has what JSON cannot hold, such as NaN.
    """
    body = record.text()
    with writing() as connection:
        if once is not None:
            first = connection.execute(select(LEDGER).where(LEDGER.c.once == once)).one_or_none()
            if first is not None:
                return _entry(first)
        end = connection.execute(select(HEAD.c.seq, HEAD.c.hash)).one_or_none()
        row: dict[str, Any] = {
            "seq": end.seq + 1 if end else 1,
            "at": clock.utc_now().isoformat(timespec="microseconds"),
            "kind": record.entry_kind,
            "pipeline": pipeline,
            "subject": subject,
            "partition": None if partition is None else str(partition),
            "run": run,
            "data": body,
            "once": once,
            "prev": end.hash if end else _GENESIS,
        }
        row["hash"] = _hash(row)
        new = connection.execute(insert(LEDGER).returning(LEDGER), row).one()
        head = {"seq": row["seq"], "hash": row["hash"]}
        connection.execute(update(HEAD).values(head) if end else insert(HEAD).values(id=1, **head))
        failpoints.hit("ledger.before_commit")
    failpoints.hit("ledger.appended")
    return _entry(new)


@overload
def entries(kind: type[R], **filters: Unpack[Filters]) -> list[Entry[R]]: ...
@overload
def entries(kind: str | None = None, **filters: Unpack[Filters]) -> list[Entry[Any]]: ...
def entries(kind: type[Record] | str | None = None, **filters: Unpack[Filters]) -> list[Entry[Any]]:
    """Entries of a kind, or of all, that match all that is given, newest first.

    Args:
        kind: its model, or its name where that is not known before.
    """
    name = kind if kind is None or isinstance(kind, str) else kind.entry_kind
    after, since, days = filters.get("after"), filters.get("since"), filters.get("days")
    wanted = {"kind": name, **{each: filters.get(each) for each in ("pipeline", "subject", "partition")}}
    query = select(LEDGER).order_by(LEDGER.c.seq.desc()).limit(filters.get("limit"))
    for column, value in wanted.items():
        if value is not None:
            query = query.where(LEDGER.c[column] == str(value))
    if after is not None:
        query = query.where(LEDGER.c.seq > after)
    if since is not None:
        query = query.where(LEDGER.c.at >= since.astimezone(UTC).isoformat(timespec="microseconds"))
    if days is not None:
        query = query.where(func.substr(LEDGER.c.partition, 1, _DAY_CHARS) <= days.last)
        last = func.substr(LEDGER.c.partition, func.length(LEDGER.c.partition) - _DAY_CHARS + 1)
        query = query.where(last >= days.first)
    with reading() as connection:
        return [_entry(row) for row in connection.execute(query)] if connection else []


def mark_closed(pipeline: str, looked_at: int, open_from: Mapping[str, int | None]) -> Entry[ClosedUpTo]:
    """Record up to where all is over, so that whoever looks for what is open need not read what was before.

    Args:
        looked_at: number of the ledger's last entry before anybody looked; of later ones nothing is known.
        open_from: name of what can be open -> number of the first entry about something that is; None if nothing is.
    """
    upto = {name: looked_at if seq is None else min(seq - 1, looked_at) for name, seq in open_from.items()}
    return append(ClosedUpTo(upto=upto), pipeline=pipeline, subject="ledger")


def closed_up_to(pipeline: str, what: str) -> int:
    """The number of the last entry up to which nothing of a kind (see `mark_closed`) is open any more; 0 if none is known."""
    found = entries(ClosedUpTo, pipeline=pipeline, subject="ledger", limit=1)
    return found[0].record.upto.get(what, 0) if found else 0


def verify() -> int:
    """Check every entry against its hash and the chain; return how many there are.

    Raises:
        LedgerTamperedError: names the first entry that was edited, removed or put in.
    """
    with reading() as connection:
        if connection is None:
            return 0
        end = connection.execute(select(HEAD.c.seq, HEAD.c.hash)).one_or_none()
        rows = connection.execution_options(yield_per=1000).execute(select(LEDGER).order_by(LEDGER.c.seq))
        seq, last = _walk(rows)
    if (seq, last) != (tuple(end) if end else (0, _GENESIS)):
        raise _tampered(seq + 1, "is missing: the ledger ends before its recorded end")
    return seq


def _walk(rows: Iterable[Row]) -> tuple[int, str]:
    """Seq and hash of the last entry."""
    seq, last = 0, _GENESIS
    for row in rows:
        seq += 1
        if row.seq != seq:
            raise _tampered(seq, f"is missing: {row.seq} comes next")
        if row.prev != last:
            raise _tampered(seq, "does not follow from the entry before")
        if row.hash != _hash(row._asdict()):
            raise _edited(seq)
        last = row.hash
    return seq, last


def _hash(row: Mapping[str, Any]) -> str:
    """SHA-256 over everything stored of an entry but its hash; `data` as the very text that is stored."""
    return hashlib.sha256(_CANONICAL({name: row[name] for name in _HASHED}).encode()).hexdigest()


def _entry(row: Row) -> Entry:
    """Raises LedgerTamperedError where the row is not what was appended: nobody decides by it.

    But for a mail, which decides on mails alone: the one that tells of an edited ledger has to go out.
    """
    if row.kind != Mail.entry_kind and row.hash != _hash(row._asdict()):
        raise _edited(row.seq)
    try:
        stored = {**row._mapping, "at": datetime.fromisoformat(row.at), "data": json.loads(row.data)}
    except ValueError as error:
        raise unreadable(_name(row), str(error)) from None
    del stored["once"]
    return Entry(**stored)


def _name(entry: Entry | Row) -> str:
    return f"Entry {entry.seq} of the ledger, of kind {entry.kind},"


def _edited(seq: int) -> LedgerTamperedError:
    return _tampered(seq, "was edited: its content does not match its hash")


def _tampered(seq: int, problem: str) -> LedgerTamperedError:
    return LedgerTamperedError(
        f"Entry {seq} of the ledger {problem}.",
        # Without the user and password of a server's URL.
        where=settings().ledger_url,
        todo="restore the ledger from a backup, and find out who wrote to it",
    )
