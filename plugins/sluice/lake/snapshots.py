"""What an Iceberg table shows, and the one commit that changes it: the pyiceberg half of `lake.tables`.

The rule kept here: a commit replaces the files of its own partitions and adds the batch's, or does nothing. It never
rewrites rows, so its cost does not depend on theirs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sluice.core import clock, failpoints, retry
from sluice.core.errors import TableMissingError
from sluice.core.partitions import EARLIEST, LATEST
from sluice.lake import connection, empty_days
from sluice.lake.batches import Manifest, batch_of
from sluice.lake.columns import DAY, PLATFORM

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import FileScanTask, Table

    from sluice.declare.retention import Retention

# Property of every publishing snapshot; the others begin with `sluice.` too.
BATCH = "sluice.batch_id"
# Property of a snapshot whose batch has waived inputs: the waivers' numbers in the ledger.
WAIVED = "sluice.waived_inputs"

# How many snapshots that `retention` does not keep may gather before a publish forgets them together. Nothing is lost by it
# but time travel: what readers see and what a tag pins stays, and the ledger names the batch of every publication. Files go
# with `sluice.watch.maintenance`.
_SLACK = 20

# How often the newest metadata are asked for where what the catalog named is gone already.
_READS = 5

_PROPERTIES = {
    # A year of days must not be a year of manifests to open: merge them as they come (off by default).
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    # Some two hundred days: a reader of a month opens two of them, however old the table is (one of all days by default).
    "commit.manifest.target-size-bytes": "65536",
    "commit.retry.num-retries": "10",
    # Only the day is ever filtered on; statistics of the other columns would be most of a manifest.
    "write.metadata.metrics.default": "counts",
    f"write.metadata.metrics.column.{DAY}": "full",
    # And, of a quarantine, whether any row is open: see `lake.quarantine.open_counts`.
    "write.metadata.metrics.column.status": "full",
    # Older metadata files are of no use once their snapshots are superseded.
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


@dataclass(frozen=True)
class Published:
    """What readers see as one partition."""

    # "" where another writer than the platform put it there; it gives way to any batch.
    batch_id: str
    # Path, or URI where the warehouse is remote.
    file: str
    rows: int


def find(lake: Catalog, pipeline: str, table: str) -> Table | None:
    """The table, or None."""
    from pyiceberg.exceptions import NoSuchTableError

    # Between asking the catalog and reading the file that it named, others may commit so often that it is gone.
    try:
        return retry.attempts(_READS, FileNotFoundError)(lake.load_table, (pipeline, table))
    except NoSuchTableError:
        return None


def existing(lake: Catalog, pipeline: str, table: str) -> Table:
    """The table.

    Raises:
        TableMissingError: there is none, or nothing was ever published in it.
    """
    found = find(lake, pipeline, table)
    if found is None or found.current_snapshot() is None:
        raise TableMissingError(
            f"Table {pipeline}.{table} has no published partition.",
            where=connection.location(pipeline, table),
            todo=f"publish {table} first: run the {pipeline} DAG that writes it",
        )
    return found


def create(lake: Catalog, manifest: Manifest) -> Table:
    """Create the table of a batch, partitioned by day; if another process does so at the same moment, use its table."""
    import pyarrow.parquet as pq
    from pyiceberg.exceptions import NamespaceAlreadyExistsError
    from pyiceberg.io.pyarrow import pyarrow_to_schema
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.transforms import IdentityTransform
    from sqlalchemy.exc import IntegrityError

    # Either error says that it is there: pyiceberg's SQL catalog lets a lost race show as a duplicate key.
    with suppress(NamespaceAlreadyExistsError, IntegrityError):
        lake.create_namespace(manifest.pipeline)
        failpoints.hit("table.namespace_created")
    fs, path = connection.filesystem(manifest.files[manifest.partitions[0]])
    columns = pq.read_schema(path, filesystem=fs)
    for index, column in enumerate(columns):
        columns = columns.set(index, column.with_metadata({"PARQUET:field_id": str(index + 1)}))
    schema = pyarrow_to_schema(columns)
    # Iceberg numbers partition fields from 1000.
    by_day = PartitionField(schema.find_field(DAY).field_id, 1000, IdentityTransform(), DAY)
    table = lake.create_table_if_not_exists(
        (manifest.pipeline, manifest.table),
        schema,
        location=connection.location(manifest.pipeline, manifest.table),
        partition_spec=PartitionSpec(by_day),
        # By names; pyiceberg writes it with a table's first rows, and reads no file without it, also of a day without any.
        properties={**_PROPERTIES, "schema.name-mapping.default": schema.name_mapping.model_dump_json()},
    )
    failpoints.hit("table.created")
    return table


def add_platform_columns(table: Table, manifest: Manifest) -> None:
    """Add the columns of the platform's own that a table of an earlier version lacks; its rows read as null.

    Raises:
        pyiceberg.exceptions.CommitFailedException: another writer changed the table meanwhile.
    """
    from pyiceberg.types import BooleanType, LongType, StringType

    types = {"bool": BooleanType(), "int64": LongType(), "string": StringType()}
    there = table.schema().column_names
    lacking = [name for name in PLATFORM if name in manifest.columns and name not in there]
    if lacking:
        with table.update_schema() as change:
            for name in lacking:
                kind, meaning = PLATFORM[name]
                change.add_column(name, types[kind], doc=meaning)


def between(start: str, end: str) -> BooleanExpression:
    """Filter on the days `start` to `end`, inclusive.

    All days that there are need none: of a filter pyiceberg works out for each file, in a millisecond, what is left of it.
    """
    from pyiceberg.expressions import And, GreaterThanOrEqual, LessThanOrEqual

    if (start, end) == (EARLIEST, LATEST):
        return always()
    # pydantic's types of pyiceberg's expressions hide that they take a column's name and a value.
    return And(GreaterThanOrEqual(DAY, start), LessThanOrEqual(DAY, end))  # type: ignore


def always() -> BooleanExpression:
    """Filter that leaves nothing out."""
    from pyiceberg.expressions import AlwaysTrue

    return AlwaysTrue()


def equal(column: str, value: str) -> BooleanExpression:
    """Filter on one value of a column."""
    from pyiceberg.expressions import EqualTo

    return EqualTo(column, value)  # type: ignore  # as in `between`


def among(days: Sequence[str]) -> BooleanExpression:
    """Filter on some days."""
    from pyiceberg.expressions import In

    return In(DAY, days)  # type: ignore  # as above


def tasks(table: Table, days: BooleanExpression, snapshot_id: int | None = None) -> dict[str, FileScanTask]:
    """The file of each day, in the order of days.

    Raises:
        TableMissingError: the table has no such snapshot (any more).
    """
    return {day: found[-1] for day, found in all_tasks(table, days, snapshot_id).items()}


def all_tasks(
    table: Table, days: BooleanExpression, snapshot_id: int | None = None
) -> dict[str, list[FileScanTask]]:
    """As `tasks`, with every file of a day: a publish leaves one, another writer may have added to it.

    A day that is published without rows has the file of its batch.
    """
    by_day = planned(table, days, snapshot_id)
    for day, task in empty_days.tasks(table, days, snapshot_id).items():
        shown = by_day.get(day, [])
        # Of two publications of a day at the same moment both may stand: the newer batch counts.
        if all(batch_of(one.file.file_path) < batch_of(task.file.file_path) for one in shown):
            by_day[day] = [task]
    return dict(sorted(by_day.items()))


def planned(
    table: Table, filtered: BooleanExpression, snapshot_id: int | None = None
) -> dict[str, list[FileScanTask]]:
    """The files with rows that match a filter, by day: see `all_tasks`."""
    if snapshot_id is not None and table.snapshot_by_id(snapshot_id) is None:
        raise TableMissingError(
            f"Table {'.'.join(table.name())} has no snapshot {snapshot_id}: it never had, or it has been expired.",
            where=table.location(),
            allowed="those that `retention` of the pipeline keeps, and those that were pinned",
            todo="find the batch of that snapshot in the ledger; where readers still see it, its files are there",
        )
    by_day: dict[str, list[FileScanTask]] = {}
    for task in table.scan(row_filter=filtered, snapshot_id=snapshot_id).plan_files():
        day = empty_days.numbered_day(task.file.partition[0])
        by_day.setdefault(day, []).append(task)
    return dict(sorted(by_day.items()))


def visible(table: Table, days: BooleanExpression, snapshot_id: int | None = None) -> dict[str, Published]:
    """What readers see, by partition, in the order of days."""
    return {
        day: Published(
            # A batch leaves one file a day: where another writer added one, what is seen is no batch's.
            batch_of(found[-1].file.file_path) if len(found) == 1 else "",
            str(connection.local_path(found[-1].file.file_path) or found[-1].file.file_path),
            found[-1].file.record_count,
        )
        for day, found in all_tasks(table, days, snapshot_id).items()
    }


def commit(
    table: Table,
    manifest: Manifest,
    verdict_id: str,
    waiver: int | None = None,
    retention: Retention | None = None,
) -> int:
    """Replace the batch's partitions in one commit; return the new snapshot's id.

    Raises:
        pyiceberg.exceptions.ValidationException: another writer changed one of the partitions meanwhile.
        pyiceberg.exceptions.CommitFailedException: other commits kept winning.
    """
    properties = {
        BATCH: manifest.batch_id,
        "sluice.verdict_id": verdict_id,
        "sluice.run_id": manifest.run.run_id,
        "sluice.rows": str(manifest.rows),
        "sluice.received": str(manifest.received),
        "sluice.dropped": json.dumps(manifest.dropped, sort_keys=True),
        "sluice.quarantined": json.dumps(manifest.quarantined, sort_keys=True),
        "sluice.content_hash": manifest.content_hash,
        **({} if waiver is None else {"sluice.waiver": str(waiver)}),
        **(
            {WAIVED: json.dumps([one.waiver for one in manifest.waived_inputs])}
            if manifest.waived_inputs
            else {}
        ),
    }
    with table.transaction() as change:
        # Also where there is nothing to delete: it makes pyiceberg refuse the commit if another writer filled the
        # partition meanwhile. Every file holds one day, so files are dropped whole and none is rewritten.
        with change.update_snapshot().delete() as delete:
            delete.delete_by_predicate(among(manifest.partitions))
        files = [
            connection.uri(manifest.files[day]) for day in manifest.partitions if day not in manifest.empty
        ]
        if files:
            # The duplicate check would open every manifest; the delete above already dropped what could repeat.
            change.add_files(files, snapshot_properties=properties, check_duplicate_files=False)
        else:
            # A snapshot without a file: it is the record of the publication.
            with change.update_snapshot(snapshot_properties=properties).fast_append():
                pass
        if marks := empty_days.marks(table, manifest):
            change.set_properties(marks)
        failpoints.hit("publish.before_commit")
    failpoints.hit("publish.committed")
    snapshot_id = snapshot_of(table, manifest.batch_id)
    expire(table, retention)
    failpoints.hit("publish.expired")
    return snapshot_id


def expirable(table: Table, *, keep: int, before: datetime | None = None) -> list[int]:
    """Return the ids of the snapshots that can be forgotten; never the current one, nor one that a tag or a branch names.

    Args:
        keep: this many of the newest of the others stay.
        before: and those that were made at or after it.
    """
    pinned = {ref.snapshot_id for ref in table.refs().values()}
    loose = [one for one in table.snapshots() if one.snapshot_id not in pinned]
    loose.sort(key=lambda one: one.timestamp_ms, reverse=True)
    limit = before.timestamp() * 1000 if before else float("inf")
    return [one.snapshot_id for one in loose[keep:] if one.timestamp_ms < limit]


def forget(table: Table, ids: Sequence[int]) -> None:
    """Remove snapshots from a table's metadata.

    Raises:
        pyiceberg.exceptions.CommitFailedException, ValueError: another writer changed the table, or has removed one of them.
    """
    table.maintenance.expire_snapshots().by_ids(list(ids)).commit()


def expire(table: Table, retention: Retention | None) -> None:
    """Forget the snapshots that are not to be kept, where so many have gathered that they slow a commit down.

    Args:
        retention: what the pipeline declares; without it, all are left to the maintenance.
    """
    from pyiceberg.exceptions import CommitFailedException

    if retention is None:
        return
    since = clock.system_now() - timedelta(days=retention.snapshots_days)
    found = expirable(table, keep=retention.snapshots_count, before=since)
    if len(found) > _SLACK:
        # Where another process was faster, it forgets them itself, or the next commit will.
        with suppress(CommitFailedException, ValueError):
            forget(table, found)


def snapshot_of(table: Table, batch_id: str) -> int:
    """Id of the snapshot that published a batch; of the current one, if that snapshot has been expired."""
    for found in publications(table):
        if found[BATCH] == batch_id:
            return found["snapshot_id"]
    return current(table)


def current(table: Table) -> int:
    """Id of the current snapshot of a table that has one."""
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


def publications(table: Table) -> list[dict[str, Any]]:
    """Unexpired snapshots that published a batch, newest first: see `tables.history`."""
    summaries = [(snapshot, snapshot.summary) for snapshot in reversed(table.snapshots())]
    return [
        {
            "snapshot_id": snapshot.snapshot_id,
            "committed_at": datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC),
            **{
                key: value
                for key, value in summary.additional_properties.items()
                if key.startswith("sluice.")
            },
        }
        for snapshot, summary in summaries
        if summary and summary[BATCH]
    ]
