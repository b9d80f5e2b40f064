"""The tables of a pipeline: old snapshots, Iceberg's own left-over files, and batches that nobody needs.

The rule kept here: a batch and its splits are one family, and it stays as a whole while any snapshot that is kept refers to
one of them, while it is held, released or set aside, while predictions were made from it within `inputs_days`, or
while an entry of the ledger of the last `batches_days` names it. A challenger's scores stay as long as its shadow, too. Then it is
condemned: it does not exist any more, so that nobody can begin to publish it, but its files stay for `grace_days`, so that
whoever had begun can end. Whoever did is found at the next look, and the batch is restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from sluice import ledger
from sluice.core import clock, failpoints
from sluice.core.runs import Run
from sluice.declare.spec import MONITORING, Pipeline
from sluice.lake import cleanup as lake
from sluice.lake import connection, quarantine
from sluice.lake.batches import full_id
from sluice.lake.cleanup import Folder, Inventory
from sluice.models.shadow import SCORES
from sluice.watch.maintenance import needed, record
from sluice.watch.maintenance.record import Removal


def clear_tables(
    spec: Pipeline, run: Run, *, now: datetime | None = None, dry_run: bool = False
) -> list[Removal]:
    """Clear away what the tables of a pipeline, and their quarantine, can do without; returns it.

    Args:
        run: ids of the run, for the ledger.
        now: when it is; if not given, of files and snapshots what the system's clock says, of decisions what is set.
        dry_run: touch nothing, and return what would go.

    Raises:
        PublishConflictError: other writers kept winning; try again.
    """
    clearing = _Clearing(spec, now or clock.system_now(), now or clock.utc_now())
    return record.carry_out(spec, "tables", clearing.plan, clearing.do, run, dry_run=dry_run)


class _Clearing:
    def __init__(self, spec: Pipeline, now: datetime, decided: datetime) -> None:
        kept = spec.retention
        self._spec = spec
        self._keep, self._before = kept.snapshots_count, now - timedelta(days=kept.snapshots_days)
        self._old = now - timedelta(days=kept.batches_days)
        # Since when what the ledger and the manifests say counts.
        self._named_since = decided - timedelta(days=kept.batches_days)
        self._inputs = decided - timedelta(days=kept.inputs_days)
        self._grace_ended = now - timedelta(days=kept.grace_days)
        # Name to the table that the ledger knows it by.
        self._tables = {name: table for table in spec.tables for name in (table, quarantine.table_of(table))}
        if spec.has_model:
            self._tables[SCORES] = spec.model.name
        if spec.has_model:
            self._tables[MONITORING] = MONITORING

    def plan(self) -> list[Removal]:
        must_stay = needed.batches(self._spec, self._named_since, inputs_since=self._inputs)
        return [
            removal
            for table in self._tables
            for removal in self._found(table, self._inventory(table), must_stay.get(table, set()))
        ]

    def do(self) -> Iterator[Removal]:
        newest = ledger.entries(limit=1)
        asked_at = newest[0].seq if newest else 0
        must_stay = needed.batches(self._spec, self._named_since, inputs_since=self._inputs)
        for table, known_as in self._tables.items():
            expired = lake.expire(self._spec.pipeline, table, keep=self._keep, before=self._before)
            yield from (Removal("snapshots", str(one), 0, table) for one in expired)
            inventory = self._inventory(table)
            folders = {folder.batch_id: folder for folder in inventory.folders}
            stays = must_stay.get(table, set()) | needed.named_batches(self._spec, known_as, after=asked_at)
            for removal in self._found(table, inventory, stays):
                if removal.kind == "snapshots":
                    continue  # made since, and due at the next run
                self._clear(table, removal, folders)
                yield removal

    def _inventory(self, table: str) -> Inventory:
        return lake.inventory(self._spec.pipeline, table, keep=self._keep, before=self._before)

    def _found(self, table: str, inventory: Inventory, must_stay: set[str]) -> Iterator[Removal]:
        for snapshot in inventory.expirable:
            yield Removal("snapshots", str(snapshot), 0, table)
        for file in inventory.unreferred:
            if file.modified < self._grace_ended:
                yield Removal("metadata_files", file.path, file.size)
        families: dict[str, list[Folder]] = {}
        for folder in inventory.folders:
            families.setdefault(full_id(folder.batch_id), []).append(folder)
        for family, folders in families.items():
            stays = family in must_stay or any(one.batch_id in inventory.referred for one in folders)
            for folder in folders:
                yield from self._of_folder(table, folder, stays)

    def _of_folder(self, table: str, folder: Folder, stays: bool) -> Iterator[Removal]:
        batch_id = folder.batch_id
        if stays and lake.is_restorable(folder):
            yield Removal("restored_batches", batch_id, 0, table)
        elif folder.state == "half_written":
            if not stays and folder.modified < self._grace_ended:
                yield Removal("half_written_batches", batch_id, folder.size, table)
            return
        elif folder.state == "condemned":
            if folder.modified < self._grace_ended:
                yield Removal("batches", batch_id, folder.size, table)
            return
        elif not stays and folder.modified < self._old:
            yield Removal("condemned_batches", batch_id, 0, table)
        for part in folder.parts:
            if part.modified < self._grace_ended:
                yield Removal("part_files", part.path, part.size)

    def _clear(self, table: str, removal: Removal, folders: Mapping[str, Folder]) -> None:
        pipeline = self._spec.pipeline
        if not removal.table:
            connection.remove(removal.what)
            return
        folder = folders[removal.what]
        if removal.kind == "restored_batches":
            lake.restore(pipeline, table, folder)
        elif removal.kind == "condemned_batches":
            lake.condemn(pipeline, table, folder)
            failpoints.hit("maintenance.condemned")
        else:
            lake.remove(folder)
