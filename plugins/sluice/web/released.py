"""What of a pipeline is seen on a person's word: shown on the index, and above every page about such a day."""

from __future__ import annotations

from dataclasses import dataclass

from sluice import ledger, spec, waivers
from sluice.partitions import covers, days_of
from sluice.web.index import DAY, GATES


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


def read(pipeline: str) -> tuple[Released, ...]:
    """The partitions of a pipeline that rest on a waiver, by table and day; none of one that is no longer declared.

    Raises:
        SpecInvalidError: its YAML cannot be read.
    """
    if pipeline not in spec.pipeline_names():
        return ()
    days: dict[str, set[str]] = {}
    for entry in ledger.entries(kind="waiver", pipeline=pipeline):
        days.setdefault(entry.subject, set()).update(days_of(entry.partition or ""))
    if not days:
        return ()
    declared = spec.load(pipeline)
    return tuple(
        Released(
            table=table,
            day=day,
            batch_id=waiver.data["batch_id"],
            by=waiver.data["by"],
            until=waiver.data["until"],
            why=waiver.data["why"],
            expired=waivers.expired(declared, waiver),
        )
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
    return tuple(one for one in read(pipeline) if table in (None, one.table) and covers(label, one.day))
