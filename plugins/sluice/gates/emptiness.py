"""Days of a batch without rows: which may be published so, which need a waiver, and which are a mistake.

The rule kept here: absence by accident is never let pass. A day of a source is empty on purpose only where its delivery's
own manifest announces no rows; a file that holds fewer rows than announced is refused before. A derived day is, where it
was built from a day without rows of the table that its rows come from (`rows_from`); not of any other table, or a join
that loses every row would pass on such a day. Whatever else has none is held, or an ERROR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.core.partitions import Partition
from sluice.lake import batches, inputs

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest


@dataclass(frozen=True)
class Emptiness:
    """Days without rows that may be published so, and those that a person has to release, with the reason for each."""

    accepted: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def days(self) -> tuple[str, ...]:
        return (*self.accepted, *self.held)


def judge(spec: Pipeline, manifest: Manifest) -> Emptiness:
    """Judge the days of a batch that have no rows, by what is declared and by what they were made from."""
    if not manifest.empty:
        return Emptiness()
    is_source = manifest.table in spec.sources
    candidates = _announced(manifest) if is_source else manifest.empty
    origin = None if is_source else spec.rows_from(manifest.table)
    derived = spec.derived.get(manifest.table)
    # Where each row is awaited as one row, it is known how many there have to be.
    awaited = origin if derived and derived.key_from else None
    if spec.may_be_empty(manifest.table) and not awaited:
        return Emptiness(accepted=candidates)
    accepted = tuple(day for day in candidates if origin and _nothing_left(manifest, origin, day))
    held = tuple(day for day in candidates if day not in accepted)
    if is_source:
        why = "its delivery announces none, and `may_be_empty` is not declared"
    elif origin:
        why = f"its rows come from {origin}, which has some, and "
        why += "one is awaited for each" if awaited else "`may_be_empty` is not declared"
    else:
        why = "neither `rows_from` nor `may_be_empty` is declared"
    return Emptiness(accepted, held, (f"No rows for {_label(held)}: {why}.",) if held else ())


def _announced(manifest: Manifest) -> tuple[str, ...]:
    """Days without rows whose delivery says that it has none."""
    said = {each["day"] for each in manifest.inputs if each.get("kind") == "delivery" and each["rows"] == 0}
    return tuple(day for day in manifest.empty if day in said)


def _nothing_left(manifest: Manifest, table: str, day: str) -> bool:
    """Whether a batch was built from a publication of a table that has no rows for a day, or none but those left out for a reason."""
    for read in inputs.of(manifest, inputs.Snapshot):
        batch_id = (read.batches or {}).get(day)
        if read.table == table and batch_id:
            rows = batches.load(manifest.pipeline, table, batch_id).rows_by_partition[day]
            return rows == (sum(manifest.dropped.values()) if len(manifest.partitions) == 1 else 0)
    return False


def _label(days: tuple[str, ...]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} days, {Partition.of(days)}"
