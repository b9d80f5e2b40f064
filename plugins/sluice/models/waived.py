"""Training, monitoring and waivers: what rests on a waiver is said with the model and with the day's numbers.

A model may learn from released rows while their waiver is valid: the waivers are named in its record and in the registry.
No waiver outlives its end: once one is over, nothing is learned from its rows, nor from what was made of them before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sluice import ledger, waivers
from sluice.core.errors import WaiverExpiredError
from sluice.core.partitions import days_later
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake.waived import WaivedInput
from sluice.ledger import records
from sluice.waivers import inherited

# Partitions that an error names one by one.
_NAMED = 5


def require_valid(
    spec: Pipeline, days: int, *, until: str, snapshots: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """The waivers that the `days` days to `until` of all tables that a model is made from rest on, as JSON.

    Args:
        snapshots: of the tables whose rows are learned from, as they were pinned: what those rows rest on through their
            inputs counts too, whether or not readers still see the released rows.

    Returns: one item a waiver: its number (`waiver`), what it released (`table`, `partition`), `by`, `until`, and
        `days`, table to the days that rest on it.
    Raises:
        WaiverExpiredError: one of them is over; names the partitions.
    """
    wanted = [days_later(until, -back) for back in range(days)]
    found: dict[int, dict[str, list[str]]] = {}
    for table in spec.tables:
        if table != PREDICTIONS:
            for day, waiver in waivers.of_partitions(spec, table, wanted).items():
                found.setdefault(waiver.seq, {}).setdefault(table, []).append(day)
    for table, snapshot in (snapshots or {}).items():
        rest = inherited.of_days(spec, table, wanted[-1], wanted[0], snapshot_id=snapshot)
        for day, waived in rest.items():
            for one in waived:
                found.setdefault(one.waiver, {}).setdefault(table, []).append(day)
    granted = {entry.seq: entry for entry in ledger.entries(records.Waiver, pipeline=spec.pipeline)}
    over = {seq for seq in found if waivers.expired(spec, waivers.newest_of_same(spec, granted[seq]))}
    if over:
        _refuse(spec, days, until, [(waivers.read(granted[seq]), found[seq]) for seq in sorted(over)])
    return [
        {
            "waiver": seq,
            "table": granted[seq].subject,
            "partition": granted[seq].partition,
            "by": granted[seq].record.by,
            "until": granted[seq].record.until,
            "days": {table: sorted(set(listed)) for table, listed in found[seq].items()},
        }
        for seq in sorted(found)
    ]


def _refuse(
    spec: Pipeline, days: int, until: str, over: list[tuple[waivers.Waiver, dict[str, list[str]]]]
) -> None:
    partitions = [
        f"{table} {day} (by {waiver.by} until {waiver.until})"
        if table == waiver.table
        else f"{table} {day} (made from {waiver.table} {waiver.partition}, by {waiver.by} until {waiver.until})"
        for waiver, listed in over
        for table, found in listed.items()
        for day in sorted(set(found))
    ]
    more = f" and {len(partitions) - _NAMED} more" if len(partitions) > _NAMED else ""
    raise WaiverExpiredError(
        f"{len(partitions)} partition(s) rest on a waiver that is over: {', '.join(partitions[:_NAMED])}{more}.",
        where=f"{spec.pipeline}, the {days} days to {until}",
        allowed="partitions that passed their gate, or that a valid waiver still covers",
        todo="correct the data or the rule and replay them, or release them again with a new end; then build again what "
        f"`sluice held {spec.pipeline}` lists as to be rebuilt",
    )


def of_monitored_day(spec: Pipeline, day: str) -> tuple[WaivedInput, ...]:
    """The waivers that the predictions and the outcomes of a day rest on; not those that only the model learned from.

    A model that learned from released rows is what monitoring judges. Rows that came by a release are not its fault.
    """
    found: dict[int, WaivedInput] = {}
    for table in (PREDICTIONS, spec.model.outcomes_table):
        for one in inherited.of_days(spec, table, day, day).get(day, ()):
            if not one.through or set(one.through) & set(spec.tables):
                found.setdefault(one.waiver, one)
    return tuple(found[seq] for seq in sorted(found))


def named(found: Iterable[Mapping[str, Any]]) -> str:
    """The waivers that `require_valid` found, on one line for the registry."""
    return ", ".join(f"{one['table']} {one['partition']} by {one['by']}" for one in found) or "none"
