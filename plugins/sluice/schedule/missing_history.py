"""History that was missing when a batch was built: found when it is staged, and looked at again when it has come.

The rule kept here: what was built without a day that it looks back on says so, through any number of steps. Which days are
due is `sluice.schedule.expected`'s to say; what a batch lacked is in its manifest and in the ledger's entry of its publication, so
that what to rebuild is known without reading a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice import ledger
from sluice.core.errors import BatchUnknownError, DeliveryMissingError
from sluice.core.partitions import Partition, day_of, days_later
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.lake import batches, inputs, tables
from sluice.lake.batches import full_id
from sluice.lake.missing import MissingHistory
from sluice.ledger import Entry, publications, records, skips
from sluice.schedule import expected


@dataclass(frozen=True)
class Rebuild:
    """A partition that was built without history which is published now."""

    # A derived table, and the day of its data.
    table: str
    day: str
    # Partition key of the run of `<pipeline>_transform` that builds it.
    run_day: str
    # What it lacked and would find now.
    arrived: tuple[MissingHistory, ...]
    pipeline: str

    @property
    def because(self) -> str:
        """Why it is to be rebuilt."""
        return f"it was made without {'; '.join(each.named for each in self.arrived)}, which is published now"

    def sentence(self) -> str:
        """For a list of what is to be rebuilt."""
        return (
            f"{self.table} {self.day}: {self.because}. "
            f"Run {self.pipeline}_transform again with partition key {self.run_day}."
        )


def of_inputs(
    spec: Pipeline, table: str, partitions: Sequence[str], read: Iterable[Mapping[str, Any]]
) -> tuple[MissingHistory, ...]:
    """The history that a batch of `table` looks back on and does not find, as its manifest lists it.

    Args:
        partitions: days of the batch, sorted.
        read: each `snapshot` of a table with the days that are read of it (`first`, `last`), as of its `snapshot_id`, or
            now where that is None; other kinds are passed over.
    """
    found: dict[str, dict[str, set[str]]] = {}
    for each in read:
        if each["kind"] != "snapshot" or each["table"] not in {*spec.sources, *spec.derived}:
            continue
        source, first = each["table"], each["first"]
        shown = tables.published(spec.pipeline, source, snapshot_id=each["snapshot_id"])
        inherited = _recorded(spec, source, each.get("batches") or {})
        for day in partitions:
            window = expected.window(spec, table, source, partitions, first, day)
            # What comes after a day, for the days after it, is not missing history of it, and fills none.
            window = Partition(window.first, min(window.last, each["last"]))
            gaps = expected.missing(spec, source, window.first, window.last, shown=shown)
            lacking = [(source, gap) for gap in gaps]
            lacking += [one for at, listed in inherited.items() if at in window for one in listed]
            for name, gap in lacking:
                found.setdefault(name, {}).setdefault(day, set()).add(gap)
    return tuple(
        MissingHistory(table=name, days={day: tuple(sorted(gaps)) for day, gaps in sorted(days.items())})
        for name, days in sorted(found.items())
    )


def awaited(spec: Pipeline, lacking: Iterable[MissingHistory]) -> list[MissingHistory]:
    """What of missing history may still come: without the days that a person has given up, in the ledger."""
    given_up = skips.given_up(spec.pipeline)
    found = []
    for each in lacking:
        if each.table not in spec.tables:  # an input was built without it, and it is declared no more
            continue
        days = {
            day: tuple(gap for gap in gaps if (each.table, gap) not in given_up)
            for day, gaps in each.days.items()
        }
        if left := {day: gaps for day, gaps in days.items() if gaps}:
            found.append(MissingHistory(table=each.table, days=left))
    return found


def of_batch(spec: Pipeline, table: str, batch_id: str) -> tuple[MissingHistory, ...]:
    """What a batch recorded as missing when it was staged; the ledger has it where the batch was cleared away."""
    if not batch_id:  # another writer put it there
        return ()
    try:
        return batches.load(spec.pipeline, table, batch_id).missing_history
    except BatchUnknownError:
        published = ledger.entries(records.Published, pipeline=spec.pipeline, subject=table)
        return next((recorded_in(one) for one in published if one.record.batch_id == batch_id), ())


def recorded_in(published: Entry) -> tuple[MissingHistory, ...]:
    """What a publication's entry records as missing; nothing, where it is from an earlier version."""
    return tuple(MissingHistory.model_validate(one) for one in published.record.missing_history)


def rebuilds(spec: Pipeline, shown: Mapping[str, Iterable[str]] | None = None) -> list[Rebuild]:
    """What was built without history that is published now, and is to be rebuilt as declared, oldest first.

    No further back than `history.rebuild_days` before the pipeline's today: what is older stays as it was built, and says
    so. Predictions are not among them: each was made once, at its time, and says by its column what it was made without.

    Args:
        shown: table -> the days that readers see, for whoever has read them.
    """
    try:
        today = pipeline_clock.today(spec)
    except DeliveryMissingError:  # a replayed pipeline to which nothing was delivered
        return []

    found = []
    for table in spec.derived:
        since = days_later(day_of(today), -spec.missing_history_of(table).rebuild_days)
        for day, batch_id, missing in _shown(spec, table, since):
            arrived = [
                MissingHistory(table=one.table, days={day: here})
                for one in missing
                if (
                    here := came_since(
                        spec, table, day, batch_id, one, shown.get(one.table) if shown else None
                    )
                )
            ]
            if arrived:
                run_day = spec.run_day(table, day)
                found.append(Rebuild(table, day, run_day, tuple(arrived), spec.pipeline))
    return sorted(found, key=lambda one: one.day)


def came_since(
    spec: Pipeline,
    table: str,
    day: str,
    batch_id: str,
    lacked: MissingHistory,
    shown: Iterable[str] | None = None,
) -> tuple[str, ...]:
    """The days of missing history that a day of a table would find now, if it were built again by its own run; none of a table that
    is declared no more, and none that a table which it is built from was built without, and stays so.

    Args:
        batch_id: of the batch that was made without it.
        lacked: what it was made without.
        shown: the days of that history that readers see, for whoever has read them.
    """
    if lacked.table not in spec.tables:
        return ()
    gaps = lacked.days[day]
    # A build reads no further than its own day, and a run than what was there by its day.
    last = min(day, spec.data_day(lacked.table, spec.run_day(table, day)))
    still = expected.missing(spec, lacked.table, gaps[0], last, shown=shown)
    came = tuple(gap for gap in gaps if gap not in still)
    inherited = _inherited(spec, table, day, batch_id) if came else set()
    return tuple(gap for gap in came if (lacked.table, gap) not in inherited)


def _shown(spec: Pipeline, table: str, since: str) -> Iterator[tuple[str, str, list[MissingHistory]]]:
    """Each day from `since` on whose newest publication recorded missing history, with its batch and what it did."""
    for day, entry in publications.newest(spec.pipeline, table, since):
        if here := [one for one in recorded_in(entry) if day in one.days]:
            yield day, entry.record.batch_id, here


def _inherited(spec: Pipeline, table: str, day: str, batch_id: str) -> set[tuple[str, str]]:
    """The table and day of what a day would be built without again, because derived tables that it is built from were."""
    try:
        manifest = batches.load(spec.pipeline, table, full_id(batch_id))
    except BatchUnknownError:  # cleared away, or another writer's
        return set()
    found: set[tuple[str, str]] = set()
    for one in inputs.of(manifest, inputs.Snapshot):
        if one.table not in spec.derived or not one.first:
            continue
        window = expected.window(spec, table, one.table, manifest.partitions, one.first, day)
        shown = tables.published(spec.pipeline, one.table, window.first, min(window.last, day))
        recorded = _recorded(spec, one.table, {at: full_id(here.batch_id) for at, here in shown.items()})
        found.update(part for parts in recorded.values() for part in parts)
    return found


def _recorded(spec: Pipeline, table: str, read: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Day of an input -> the table and day of each thing that what was read of it had been built without."""
    if table not in spec.derived:
        return {}
    recorded = {batch_id: of_batch(spec, table, batch_id) for batch_id in set(read.values())}
    return {
        day: [(one.table, gap) for one in recorded[batch_id] for gap in one.days.get(day, ())]
        for day, batch_id in read.items()
    }
