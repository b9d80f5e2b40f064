"""The batch that may be published for the one that was judged: itself, or its good rows as a split.

The rule kept here: whatever was judged before, the answer fits what readers see now. Where they see a split of the same
batch that would come out the same again, that is the answer, so that a repetition changes nothing; where they see
another one (a rule was corrected since), the good rows become a new split, even if these are all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.gates.quarantined_rows import QuarantinedRows
from sluice.gates.verdict import RuleResult
from sluice.lake import batches, quarantine, splits, tables
from sluice.lake.batches import Manifest

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def publishable(
    spec: Pipeline, manifest: Manifest, quarantined: QuarantinedRows, results: Sequence[RuleResult]
) -> tuple[Manifest, list[str]]:
    """The batch to publish, and the days of which nothing would be left; where there are any, no row is set aside."""
    failed = [
        one.rule for one in results if one.severity == "quarantine" and not one.passed and not one.holds
    ]
    shown = _shown_splits(manifest)
    if not failed and not shown:
        return manifest, []
    good, found = quarantined.parted(failed)
    left = set(good[batches.DAY].unique().to_pylist())
    emptied = [
        day
        for day in manifest.partitions
        if day not in manifest.empty and not any(str(one) == day for one in left)
    ]
    if emptied:
        return manifest, emptied
    key = spec.key_of(manifest.table)
    rows = [
        quarantine.set_aside(row, key, rule=rule.meta.rule, reason=rule.meta.why)
        for rule, mine in found
        for row in mine
    ]
    # Readers see one batch for all of its days, or it has to be published anew in any case.
    same = shown[0] if len(shown) == 1 and _shows_all(manifest, shown[0]) else None
    return splits.make(manifest, good, quarantine.table(rows), sort_by=key, shown=same), []


def _shown_splits(manifest: Manifest) -> list[Manifest]:
    """The splits of this batch that readers see for any of its days."""
    seen = {one.batch_id for one in _seen(manifest).values()} - {manifest.batch_id}
    return [
        batches.load(manifest.pipeline, manifest.table, batch_id)
        for batch_id in sorted(seen)
        if batches.full_id(batch_id) == manifest.batch_id
    ]


def _shows_all(manifest: Manifest, split: Manifest) -> bool:
    seen = _seen(manifest)
    return all(day in seen and seen[day].batch_id == split.batch_id for day in manifest.partitions)


def _seen(manifest: Manifest) -> dict[str, tables.Published]:
    first, last = manifest.partitions[0], manifest.partitions[-1]
    shown = tables.published(manifest.pipeline, manifest.table, first, last)
    return {day: one for day, one in shown.items() if day in manifest.partitions}
