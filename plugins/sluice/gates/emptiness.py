"""Days of a batch without rows: which may be published so, which need a person's word, and which are a mistake.

The rule kept here: absence by accident is never let pass. A day of a source is empty on purpose only where its delivery's
own manifest announces no rows; a file that holds fewer rows than announced is refused before. A derived day is, where the
day of a source that it is built from is published without rows. Whatever else has none is held, or an ERROR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.lake import tables
from sluice.partitions import partition_label

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.spec import Pipeline


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
    if spec.may_be_empty(manifest.table):
        return Emptiness(accepted=candidates)
    accepted = () if is_source else tuple(day for day in candidates if _input_is_empty(spec, manifest, day))
    held = tuple(day for day in candidates if day not in accepted)
    why = "its delivery announces none" if is_source else "what it is built from has rows"
    return Emptiness(
        accepted,
        held,
        (f"No rows for {_label(held)}: {why}, and `may_be_empty` is not declared.",) if held else (),
    )


def _announced(manifest: Manifest) -> tuple[str, ...]:
    """Days without rows whose delivery says that it has none."""
    said = {each["day"] for each in manifest.inputs if each.get("kind") == "delivery" and each["rows"] == 0}
    return tuple(day for day in manifest.empty if day in said)


def _input_is_empty(spec: Pipeline, manifest: Manifest, day: str) -> bool:
    """Whether a table that a derived one was built from is published without rows for the same day."""
    read = [each["table"] for each in manifest.inputs if each.get("kind") == "snapshot"]
    daily = [name for name in read if name not in spec.sources or spec.sources[name].cadence == "daily"]
    for name in daily:
        shown = tables.published(spec.pipeline, name, day, day).get(day)
        if shown is not None and shown.rows == 0:
            return True
    return False


def _label(days: tuple[str, ...]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} days, {partition_label(days)}"
