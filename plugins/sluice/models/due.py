"""Which days are due for monitoring: decided by what was measured from which batches, never by how long ago that was.

The rule kept here: predictions that were made late are never measured; their day is reported on once, without outcomes.
Any other day is due while its predictions or its outcomes are not those that it was measured from. So outcomes
that come late are measured, corrected ones are measured again, and a run that did not happen is made up for by the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.errors import BatchUnknownError, TableMissingError
from sluice.core.partitions import EARLIEST, Partition
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, tables
from sluice.ledger import model_records, publications, records

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.ledger import Entry


@dataclass(frozen=True)
class DueDay:
    """A day to measure, and the batches that it is measured from."""

    ds: str
    predictions: str
    # None while they have not been published, and where the predictions were made late.
    outcomes: str | None
    made_late: bool = False

    def as_dict(self) -> dict[str, str | None]:
        """For the ledger, beside what was measured."""
        return {"predictions": self.predictions, "outcomes": self.outcomes}


def days(spec: Pipeline, run_day: str) -> list[DueDay]:
    """The run day, unless it had nothing to predict, and before it every day that is due, oldest first.

    Raises:
        TableMissingError: the run day has no published predictions.
    """
    predicted = tables.published(spec.pipeline, PREDICTIONS, run_day, run_day)
    if run_day not in predicted:
        raise TableMissingError(
            f"There are no published predictions of {run_day}.",
            where=f"{spec.pipeline}.{PREDICTIONS}",
            todo=f"run {spec.pipeline}_score for this partition first",
        )
    shown = predicted[run_day]
    landed = tables.published(spec.pipeline, spec.model.outcomes_table, run_day, run_day)
    outcomes = landed[run_day].batch_id if run_day in landed and landed[run_day].rows else None
    late = run_day in made_late(spec, run_day)
    today = [DueDay(run_day, shown.batch_id, None if late else outcomes, late)] if shown.rows else []
    return [*earlier(spec, run_day), *today]


def earlier(spec: Pipeline, run_day: str) -> list[DueDay]:
    """Every day before the run day that is due, oldest first."""
    predicted = tables.published(spec.pipeline, PREDICTIONS, EARLIEST, run_day)
    landed = tables.published(spec.pipeline, spec.model.outcomes_table, EARLIEST, run_day)
    # Of a day without predictions there is nothing to report, and outcomes without rows measure nothing.
    late = made_late(spec, EARLIEST)
    predicted = {day: shown for day, shown in predicted.items() if shown.rows and day not in late}
    landed = {day: shown for day, shown in landed.items() if shown.rows}
    found = [
        DueDay(day, predicted[day].batch_id, landed[day].batch_id if day in landed else None)
        for day in sorted(predicted)
    ]
    newest: dict[str | None, Entry] = {}
    for kind in ("monitored", "not_measured"):
        for entry in ledger.entries(kind=kind, pipeline=spec.pipeline, subject=spec.model.name):
            if entry.partition not in newest or newest[entry.partition].seq < entry.seq:
                newest[entry.partition] = entry
    return [
        day
        for day in found
        if day.ds != run_day and day.outcomes and not _is_measured(spec, day, newest.get(day.ds))
    ]


def made_late(spec: Pipeline, since: str) -> set[str]:
    """Days from `since` on whose predictions, as readers see them, were made after their time; none of an earlier version."""
    published = publications.newest(spec.pipeline, PREDICTIONS, since)
    return {day for day, entry in published if entry.record.made_late}


def features(spec: Pipeline, day: DueDay) -> pa.Table:
    """The features that a day's predictions were made from, whatever was published since.

    Raises:
        BatchUnknownError: they have been cleared away: see `retention.inputs_days`.
        BatchDamagedError: their file was lost or changed.
    """
    table = spec.model.features_table
    manifest = batches.load(spec.pipeline, PREDICTIONS, day.predictions)
    (read,) = (each for each in manifest.inputs if each["kind"] == "snapshot" and each["table"] == table)
    batch_id = (read.get("batches") or {}).get(day.ds)
    if batch_id is None:  # made by an earlier version
        batch_id = _read_then(spec, table, day.ds, read["snapshot_id"], manifest)
    return batches.read(batches.load(spec.pipeline, table, batch_id), day.ds)


def _read_then(spec: Pipeline, table: str, day: str, snapshot_id: int, manifest: batches.Manifest) -> str:
    """The batch that a snapshot shows or, where it has been expired, that the ledger says was published then."""
    try:
        return tables.published(spec.pipeline, table, day, day, snapshot_id=snapshot_id)[day].batch_id
    except TableMissingError:
        published = ledger.entries(
            records.Published, pipeline=spec.pipeline, subject=table, days=Partition(day, day)
        )
        then = (entry for entry in published if entry.at <= manifest.created_at)
        return next((str(entry.record.batch_id) for entry in then), "")


def _is_measured(spec: Pipeline, day: DueDay, entry: Entry | None) -> bool:
    """Whether the newest record of a day is about the predictions and outcomes that readers see now."""
    if entry is None:
        return False
    measured = entry.record.measured or _of_then(spec, entry)
    return measured.predictions == day.predictions and _same(spec, day.ds, measured.outcomes, day.outcomes)


def _of_then(spec: Pipeline, entry: Entry) -> model_records.Measured:
    """What a record of an earlier version was measured from: what had been published last before it."""
    day = str(entry.partition)

    def shown(table: str) -> str | None:
        found = ledger.entries(
            records.Published, pipeline=spec.pipeline, subject=table, days=Partition(day, day)
        )
        return next((one.record.batch_id for one in found if one.seq < entry.seq), None)

    outcomes = shown(spec.model.outcomes_table) if entry.record.labelled else None
    return model_records.Measured(predictions=shown(PREDICTIONS), outcomes=outcomes)


def _same(spec: Pipeline, day: str, before: str | None, now: str | None) -> bool:
    """Whether two batches of outcomes have the same rows of a day: a table that is built again may not have changed."""
    if before is None or now is None or before == now:
        return before == now
    try:
        hashes = [
            batches.load(spec.pipeline, spec.model.outcomes_table, one).hashes.get(day)
            for one in (before, now)
        ]
    except BatchUnknownError:  # the earlier one was cleared away
        return False
    return hashes[0] is not None and hashes[0] == hashes[1]
