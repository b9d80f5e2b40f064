"""The whole story of a partition: what was delivered, what became of every row, who decided, and what readers see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sluice import ledger, waivers
from sluice.core.errors import BatchUnknownError, TableMissingError
from sluice.core.partitions import Partition, read_day
from sluice.declare.spec import Pipeline
from sluice.lake import batches, tables
from sluice.lake.batches import Manifest
from sluice.lake.missing import MissingHistory
from sluice.lake.tables import Published
from sluice.lake.waived import WaivedInput
from sluice.ledger import Entry, records
from sluice.ledger.mails import table_of
from sluice.schedule import missing_history
from sluice.waivers import inherited
from sluice.waivers.inherited import Standing


@dataclass(frozen=True)
class Traced:
    """One batch of a partition: a full one, with what became of it."""

    manifest: Manifest
    # None where it is no longer there to be read.
    split: Manifest | None
    judgements: tuple[Entry, ...]
    published: Entry | None

    @property
    def quarantined(self) -> dict[str, int]:
        """Rows set aside by rule, of what was published."""
        return dict(self.split.quarantined) if self.split else {}

    @property
    def conservation(self) -> tuple[int, int, dict[str, int], dict[str, int]]:
        """Rows received, rows kept, and those dropped and quarantined, by reason."""
        kept = self.split or self.manifest
        return self.manifest.received, kept.rows, dict(self.manifest.dropped), self.quarantined

    @property
    def conserved(self) -> bool:
        received, kept, dropped, quarantined = self.conservation
        return received == kept + sum(dropped.values()) + sum(quarantined.values())


@dataclass(frozen=True)
class Trace:
    """Everything known of a partition, oldest first."""

    pipeline: str
    table: str
    day: str
    run_day: str
    batches: tuple[Traced, ...]
    # All decisions about it, from the ledger.
    entries: tuple[Entry, ...]
    # What readers see now: the id of the published batch, its snapshot and the snapshot's properties.
    shown: str | None
    snapshot: dict[str, Any]
    waiver: Entry | None
    # Waivers that what readers see rests on through its inputs, each with what has become of it.
    rests_on: tuple[tuple[WaivedInput, Standing], ...] = ()
    # History that what readers see was made without, each with the days of it that are published now.
    made_without: tuple[tuple[MissingHistory, tuple[str, ...]], ...] = ()


def trace(spec: Pipeline, table: str, day: str) -> Trace:
    """The story of the partition of a day (YYYY-MM-DD) of a table's data.

    Raises:
        SourceUnknownError: the pipeline has no such table.
        DayInvalidError: there is no such day.
        TableMissingError: nothing was ever recorded of that day.
    """
    spec.require_table(table)
    read_day(day, where=f"the day of {spec.pipeline}.{table}")
    found = ledger.entries(pipeline=spec.pipeline, subject=table, days=Partition(day, day))
    if not found:
        raise TableMissingError(
            f"Nothing is recorded of {spec.pipeline}.{table} {day}.",
            where="the ledger",
            allowed=f"a day of the table's data; the run of day K writes the day K - {spec.lag_days(table)}",
            todo=f"look at what there is with `sluice ledger --pipeline {spec.pipeline}`",
        )
    run_day = spec.run_day(table, day)
    found = sorted(
        {entry.seq: entry for entry in [*found, *_mails(spec, table, day, run_day)]}.values(),
        key=lambda entry: entry.seq,
    )
    shown = tables.published(spec.pipeline, table, day, day).get(day)
    return Trace(
        pipeline=spec.pipeline,
        table=table,
        day=day,
        run_day=run_day,
        batches=tuple(_batches(spec, table, found)),
        entries=tuple(found),
        shown=shown.batch_id if shown else None,
        snapshot=_snapshot(spec, table, shown.batch_id) if shown else {},
        waiver=waivers.of_partitions(spec, table, [day]).get(day),
        rests_on=tuple(
            (one, inherited.standing(spec, one)) for one in _waived_inputs(spec, table, day, shown)
        ),
        made_without=tuple(_made_without(spec, table, day, shown)),
    )


def _made_without(
    spec: Pipeline, table: str, day: str, shown: Published | None
) -> Iterator[tuple[MissingHistory, tuple[str, ...]]]:
    """What the batch that readers see was made without, for this day, and what of it has come since."""
    batch_id = shown.batch_id if shown else ""
    for one in missing_history.of_batch(spec, table, batch_id):
        if lacked := one.days.get(day):
            yield (
                MissingHistory(table=one.table, days={day: lacked}),
                missing_history.came_since(spec, table, day, batch_id, one),
            )


def _waived_inputs(spec: Pipeline, table: str, day: str, shown: Published | None) -> list[WaivedInput]:
    """What the batch that readers see recorded of waivers, for this day."""
    recorded = inherited.of_batch(spec, table, shown.batch_id) if shown else ()
    return [one for one in recorded if day in one.days]


def _mails(spec: Pipeline, table: str, day: str, run_day: str) -> list[Entry]:
    """All mails of the incidents that are about a day of the table, its tasks' too; with the mails that closed them."""
    days = Partition(min(day, run_day), max(day, run_day))
    about = [
        entry
        for entry in ledger.entries(records.Mail, pipeline=spec.pipeline, days=days)
        if table_of(spec, entry) == table
        and (entry.covers(day) or (entry.subject != table and entry.partition == run_day))
    ]
    incidents = {entry.record.incident for entry in about if entry.record.incident}
    if not incidents:
        return about
    # What closed an incident of several days is about none of them alone.
    after = min(entry.seq for entry in about) - 1
    same = ledger.entries(records.Mail, pipeline=spec.pipeline, after=after)
    return [*about, *(entry for entry in same if entry.record.incident in incidents)]


def _batches(spec: Pipeline, table: str, entries: list[Entry]) -> list[Traced]:
    manifests = {
        batch_id: manifest
        for batch_id in dict.fromkeys(
            entry.record.batch_id for entry in entries if entry.kind in ("staged", "published")
        )
        if (manifest := _manifest(spec, table, batch_id))
    }
    published = {entry.record.batch_id: entry for entry in entries if entry.kind == "published"}
    splits: dict[str, Manifest] = {}
    for manifest in manifests.values():
        if manifest.split_of:
            splits[manifest.split_of] = manifest
    return [
        Traced(
            manifest=manifest,
            split=splits.get(batch_id),
            judgements=tuple(
                entry
                for entry in entries
                if entry.kind in ("verdict", "held") and entry.record.batch_id == batch_id
            ),
            published=published.get(splits[batch_id].batch_id if batch_id in splits else batch_id),
        )
        for batch_id, manifest in manifests.items()
        if not manifest.split_of
    ]


def _manifest(spec: Pipeline, table: str, batch_id: str) -> Manifest | None:
    try:
        return batches.load(spec.pipeline, table, batch_id)
    except BatchUnknownError:  # it was cleared away; the ledger still tells of it
        return None


def _snapshot(spec: Pipeline, table: str, batch_id: str) -> dict[str, Any]:
    """The snapshot that published a batch, with its properties; empty once it has been expired."""
    history = tables.history(spec.pipeline, table)
    return next((one for one in history if one["sluice.batch_id"] == batch_id), {})
