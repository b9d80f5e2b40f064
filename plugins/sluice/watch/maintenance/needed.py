"""Which batches must stay although no snapshot refers to them: asked of the ledger, as the list of what is held is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sluice import holds, ledger, waivers
from sluice.core.errors import DeliveryMissingError
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import batches as lake_batches
from sluice.lake import quarantine, tables
from sluice.lake.batches import full_id
from sluice.ledger import Entry, records
from sluice.ledger.model_records import ScoredInShadow
from sluice.models import challenger
from sluice.models.shadow import SCORES


def batches(spec: Pipeline, since: datetime, *, inputs_since: datetime) -> dict[str, set[str]]:
    """Table -> full ids of the batches that are held, released, named in the ledger since an instant, read by a prediction, or the scores
    of a challenger.

    A batch that was named may be in the hands of a task; its days begin anew.

    Args:
        inputs_since: from when on the predictions were staged whose inputs must stay.
    """
    found: dict[str, set[str]] = {}

    def keep(table: str, batch_id: str | None) -> None:
        if batch_id:
            found.setdefault(table, set()).add(full_id(batch_id))
            # What it set aside has ids that follow from its own.
            found.setdefault(quarantine.table_of(table), set()).add(full_id(batch_id))

    for hold in holds.open_holds(spec):
        keep(hold.table, hold.batch_id)
    for waiver in ledger.entries(records.Waiver, pipeline=spec.pipeline):
        if not _has_expired(spec, waiver):
            keep(waiver.subject, waiver.record.batch_id)
    for entry in ledger.entries(pipeline=spec.pipeline, since=since):
        # Of which the ledger's subject is the model.
        keep(SCORES if entry.kind == ScoredInShadow.entry_kind else entry.subject, entry.record.batch_id)
    if spec.has_model and (beside := challenger.current(spec)):
        for scored in ledger.entries(ScoredInShadow, pipeline=spec.pipeline, after=beside.seq):
            keep(SCORES, scored.record.batch_id)
    for table, batch_id in _read_by_predictions(spec, inputs_since):
        keep(table, batch_id)
    return found


def _read_by_predictions(spec: Pipeline, since: datetime) -> Iterator[tuple[str, str]]:
    """Table and batch of what the predictions that readers see were made from."""
    shown = tables.published(spec.pipeline, PREDICTIONS)
    for batch_id in {one.batch_id for one in shown.values()}:
        # Ids begin with the time; another writer's file has none.
        if batch_id < f"{since:%Y%m%dT%H%M%S}":
            continue
        for read in lake_batches.load(spec.pipeline, PREDICTIONS, batch_id).inputs:
            for used in (read.get("batches") or {}).values():
                yield read["table"], used


def named_batches(spec: Pipeline, table: str, *, after: int) -> set[str]:
    """Full ids of the batches of a table that entries of the ledger name which follow the number `after`."""
    entries = ledger.entries(pipeline=spec.pipeline, subject=table, after=after)
    return {full_id(entry.record.batch_id) for entry in entries if entry.record.batch_id}


def _has_expired(spec: Pipeline, waiver: Entry) -> bool:
    try:
        return waivers.expired(spec, waiver)
    except DeliveryMissingError:  # without a today no waiver ends
        return False
