"""What of a pipeline is seen under a waiver, and what was made from it: shown on the index, and above every page
about such a day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sluice import ledger, waivers
from sluice.core.links import DAY, GATES
from sluice.core.partitions import Partition
from sluice.declare import spec
from sluice.ledger import records
from sluice.waivers import inherited


@dataclass(frozen=True)
class Released:
    """A partition that readers see although its gate held it."""

    table: str
    day: str
    batch_id: str
    by: str
    until: str
    why: str
    expired: bool
    # What readers see that was made from it: tables with their days. On a page, of what the page is about.
    made: tuple[str, ...] = ()


def read(pipeline: str) -> tuple[Released, ...]:
    """The partitions of a pipeline that rest on a waiver, by table and day; none of one that is no longer declared.

    Raises:
        SpecInvalidError: its YAML cannot be read.
    """
    if pipeline not in spec.pipeline_names():
        return ()
    days: dict[str, set[str]] = {}
    for entry in ledger.entries(records.Waiver, pipeline=pipeline):
        days.setdefault(entry.subject, set()).update(entry.days)
    if not days:
        return ()
    declared = spec.load(pipeline)
    made = inherited.derived_from(declared)
    return tuple(
        _released(declared, waiver, day, _listed(made.get(waiver.seq, ())))
        for table, found in sorted(days.items())
        for day, waiver in waivers.of_partitions(declared, table, sorted(found)).items()
    )


def of_page(path: str) -> tuple[Released, ...]:
    """What a page is about that rests on a waiver: the table and days of a gate, or all tables of a day."""
    pipeline, *folders = path.split("/")[:-1]
    label = next((name for name in folders if DAY.fullmatch(name)), None)
    if label is None:
        return ()
    table = folders[1] if folders[0] == GATES else None
    own = (one for one in read(pipeline) if table in (None, one.table) and one.day in Partition.parse(label))
    return (*(replace(one, made=()) for one in own), *_made(pipeline, table, label))


def _made(pipeline: str, table: str | None, label: str) -> Iterator[Released]:
    """What was released that a table's rows, or all rows of some days, were made from."""
    if pipeline not in spec.pipeline_names():
        return
    declared = spec.load(pipeline)
    for seq, derived in sorted(inherited.derived_from(declared).items()):
        here = [
            (name, day) for name, day in derived if table in (None, name) and day in Partition.parse(label)
        ]
        if here:
            (waiver,) = [one for one in ledger.entries(records.Waiver, pipeline=pipeline) if one.seq == seq]
            yield _released(declared, waiver, waiver.partition or "", _listed(here))


def _released(declared: spec.Pipeline, entry: ledger.Entry, day: str, made: tuple[str, ...]) -> Released:
    waiver = waivers.read(entry)
    return Released(
        table=waiver.table,
        day=day,
        batch_id=entry.record.batch_id,
        by=waiver.signed,
        until=waiver.until,
        why=waiver.why,
        expired=waivers.expired(declared, entry),
        made=made,
    )


def _listed(derived: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Each table with its day, or with its first and last one."""
    days: dict[str, list[str]] = {}
    for table, day in derived:
        days.setdefault(table, []).append(day)
    return tuple(
        f"{table} {found[0]}"
        if len(found) == 1
        else f"{table} {min(found)} to {max(found)} ({len(found)} days)"
        for table, found in sorted(days.items())
    )
