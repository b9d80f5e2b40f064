"""Published tables: one atomic commit makes a batch visible.

The rule kept here: any number of repeated, concurrent or killed publishes of a batch leave the same table as exactly
one, and a reader sees the old partitions or the new ones, never a mixture. The table itself is the record of what is
published: a partition's file lies in its batch's folder, so the decision is always made on what is really there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import (
    BatchSupersededError,
    BatchUnknownError,
    GateBrokenError,
    TableMissingError,
    VerdictMissingError,
)
from sluice.core.files import replacing
from sluice.core.partitions import EARLIEST, LATEST
from sluice.lake import batches, connection, inputs, snapshots
from sluice.lake.batches import Manifest
from sluice.lake.columns import DAY, PLATFORM, as_stored, check_fit
from sluice.lake.conflicts import retry_on_conflict
from sluice.lake.snapshots import Published

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.retention import Retention

__all__ = [
    "Publication",
    "Published",
    "check_newer",
    "days_that_may_hold",
    "days_with",
    "files",
    "history",
    "local_files",
    "pin",
    "publish",
    "published",
    "published_as",
    "published_to",
    "scan",
    "shown",
    "snapshot_id",
]

# Manifests that are opened to find the last batch of a kind: two months of days.
_LOOKED_AT = 60


@dataclass(frozen=True)
class Publication:
    """What `publish` did."""

    snapshot_id: int
    batch_id: str
    # The batch was published before; nothing was done now.
    repeated: bool
    # Partition -> the batch that was visible before.
    replaced: dict[str, str] = field(default_factory=dict)


def publish(
    manifest: Manifest,
    *,
    verdict_id: str,
    waiver: int | None = None,
    check: Callable[[Mapping[str, str]], None] = lambda _shown: None,
    empty: Sequence[str] = (),
    retention: Retention | None = None,
) -> Publication:
    """Make a batch visible in one commit that replaces its partitions; metadata only, the files stay where they are.

    Args:
        waiver: number in the ledger of the waiver that a held batch is published under.
        check: is given what the commit would replace (day -> batch), and raises where it must not.
        empty: days of which the verdict says that they have no rows, and may be published so.
        retention: which snapshots of the table are kept: see `snapshots.expire`.

    Raises:
        VerdictMissingError: `verdict_id` is empty.
        GateBrokenError: a partition has no rows, and the verdict does not say so.
        BatchDamagedError: a file is not the one that was staged.
        ContractBrokenError: the columns are not those of the table.
        BatchSupersededError: one of the partitions shows a newer batch.
        PublishConflictError: other writers kept winning; try again.
    """
    from pyiceberg.exceptions import (
        CommitFailedException,
        CommitStateUnknownException,
        ValidationException,
    )

    name = f"{manifest.pipeline}.{manifest.table}"
    _check_publishable(manifest, verdict_id, name, empty)

    def change() -> Publication:
        table = snapshots.find(lake, manifest.pipeline, manifest.table) or snapshots.create(lake, manifest)
        snapshots.add_platform_columns(table, manifest)
        check_fit(
            manifest.columns,
            table.schema().as_arrow(),
            f"{name}, batch {manifest.batch_id}",
            optional=PLATFORM,
        )
        shown = snapshots.visible(table, snapshots.among(manifest.partitions))
        old = {day: partition.batch_id for day, partition in shown.items()}
        if old == dict.fromkeys(manifest.partitions, manifest.batch_id):
            published = snapshots.snapshot_of(table, manifest.batch_id)
            # Whoever published it may not have come so far.
            snapshots.expire(table, retention)
            return Publication(published, manifest.batch_id, True)
        check_newer(manifest, old)
        check(old)
        committed = snapshots.commit(table, manifest, verdict_id, waiver, retention)
        return Publication(committed, manifest.batch_id, False, old)

    with connection.opened() as lake:
        return retry_on_conflict(
            change,
            CommitFailedException,
            # The catalog does not say whether it committed: what the table shows next tells.
            CommitStateUnknownException,
            ValidationException,
            what=f"Batch {manifest.batch_id}",
            where=name,
        )


def shown(manifest: Manifest) -> dict[str, str]:
    """Return what readers see of a batch's partitions: day -> batch."""
    seen = published(manifest.pipeline, manifest.table, manifest.partitions[0], manifest.partitions[-1])
    return {day: seen[day].batch_id for day in manifest.partitions if day in seen}


def check_newer(manifest: Manifest, shown: Mapping[str, str]) -> None:
    """Make sure that no later batch of one of the partitions is published.

    Args:
        shown: day -> the batch that readers see.

    Raises:
        BatchSupersededError: one is.
    """
    for day, batch_id in shown.items():
        if batch_id > manifest.batch_id:
            error = BatchSupersededError(
                f"Batch {manifest.batch_id} is older than what {day} shows, {batch_id}.",
                where=f"{manifest.pipeline}.{manifest.table}",
                todo="nothing where readers see newer rows of all its days; else stage the partition again, or, of several "
                f"days, trigger {manifest.pipeline}_backfill for them again",
            )
            error.readers_see_newer = all(
                shown.get(each, "") > manifest.batch_id for each in manifest.partitions
            )
            raise error


def published(
    pipeline: str, table: str, start: str = EARLIEST, end: str = LATEST, *, snapshot_id: int | None = None
) -> dict[str, Published]:
    """What readers see for the days `start` to `end` (inclusive), or ever, by partition; empty if there is no table.

    Args:
        snapshot_id: as of this snapshot instead of now.

    Raises:
        TableMissingError: `snapshot_id` is unknown or expired.
    """
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        return snapshots.visible(found, snapshots.between(start, end), snapshot_id) if found else {}


def last_publication(
    pipeline: str, table: str, wanted: Callable[[Manifest], bool] | None = None
) -> Manifest | None:
    """The full batch with rows that was staged last of those that readers see; None where there is none, or it was cleared away.

    Args:
        wanted: the last of which this is true, of the `_LOOKED_AT` that were staged last.
    """
    shown = {batches.full_id(one.batch_id) for one in published(pipeline, table).values() if one.rows}
    for batch_id in sorted(shown, reverse=True)[: _LOOKED_AT if wanted else 1]:
        try:
            found = batches.load(pipeline, table, batch_id)
        except BatchUnknownError:
            continue
        if wanted is None or wanted(found):
            return found
    return None


def published_to(manifest: Manifest, table: str, days: Sequence[str] | None = None) -> dict[str, Published]:
    """What a batch was made of of another table, by day, as it was then: of some days, or of all that it read.

    From the batches that the manifest names, so that it does not matter whether the snapshot was expired since; where it names
    none (an earlier version, another writer's rows), from the snapshot.

    Raises:
        BatchUnknownError, TableMissingError: these rows are gone, or the manifest does not say which they were.
    """
    read = inputs.snapshot_of(manifest, table)
    if read is None:
        raise TableMissingError(
            f"Batch {manifest.batch_id} does not say which {table} it was made of.",
            where=f"{manifest.pipeline}.{manifest.table}, inputs of its manifest",
            todo="stage it again",
        )
    named = {day: one for day, one in (read.batches or {}).items() if days is None or day in days}
    if read.snapshot_id is not None and (read.batches is None or "" in named.values()):
        start, end = read.first or EARLIEST, read.last or LATEST
        found = published(manifest.pipeline, table, start, end, snapshot_id=read.snapshot_id)
        return {day: one for day, one in found.items() if days is None or day in days}
    return {day: published_as(batches.load(manifest.pipeline, table, one), day) for day, one in named.items()}


def published_as(manifest: Manifest, day: str) -> Published:
    """A day of a batch as readers see it when it is published."""
    return Published(manifest.batch_id, manifest.files[day], manifest.rows_by_partition[day])


def days_that_may_hold(pipeline: str, table: str, column: str, value: str) -> list[str]:
    """Days of which the table's own statistics do not rule out that a row has a value; opens none of the files."""
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        return list(snapshots.planned(found, snapshots.equal(column, value))) if found else []


def days_with(pipeline: str, table: str, column: str, value: str) -> list[str]:
    """Days on which a row has a value, sorted; reads that column of all files."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        if not found:
            return []
        days = found.scan(row_filter=snapshots.equal(column, value), selected_fields=(DAY,)).to_arrow()[DAY]
    return sorted(set(pc.cast(days, pa.string()).to_pylist()))


def files(
    pipeline: str, table: str, start: str, end: str, *, into: Path, snapshot_id: int | None = None
) -> list[str]:
    """Local Parquet paths of the days `start` to `end` (inclusive), in the order of days; empty if there is no table.

    Args:
        into: folder that files of a remote warehouse are copied to; one that is there already is not copied again.
        snapshot_id: read the table as of this snapshot instead of now.

    Raises:
        TableMissingError: `snapshot_id` is unknown or expired.
    """
    return local_files(published(pipeline, table, start, end, snapshot_id=snapshot_id), into=into)


def local_files(shown: Mapping[str, Published], *, into: Path) -> list[str]:
    """Return the local Parquet paths of what readers see, as `files` does."""
    return [_local(partition, day, into) for day, partition in shown.items()]


def scan(
    pipeline: str,
    table: str,
    start: str,
    end: str,
    *,
    columns: Sequence[str] | None = None,
    snapshot_id: int | None = None,
) -> pa.Table:
    """Rows of the days `start` to `end` (inclusive), in the order of days and, within a day, as staged.

    Raises:
        TableMissingError: there is no table, nothing was ever published in it, or `snapshot_id` is unknown or expired.
    """
    from pyiceberg.io.pyarrow import ArrowScan

    days = snapshots.between(start, end)
    with connection.opened() as lake:
        found = snapshots.existing(lake, pipeline, table)
        ordered = snapshots.tasks(found, days, snapshot_id).values()
        plan = found.scan(
            row_filter=days,
            selected_fields=("*",) if columns is None else tuple(columns),
            snapshot_id=snapshot_id,
        )
        rows = ArrowScan(found.metadata, found.io, plan.projection(), days).to_table(list(ordered))
    return rows.cast(as_stored(rows.schema)).select(rows.column_names if columns is None else list(columns))


def columns(pipeline: str, table: str) -> list[str]:
    """The columns that a table has now, those of earlier versions included; none if there is no table."""
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        return list(found.schema().column_names) if found else []


def snapshot_id(pipeline: str, table: str) -> int | None:
    """Id of the table's current snapshot; None if there is no table or nothing was ever published in it."""
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        return found.metadata.current_snapshot_id if found else None


def pin(pipeline: str, table: str, tag: str) -> int:
    """Tag the current snapshot so that it is never expired; return its id.

    The first call with a tag decides: a repeated one returns the snapshot that the tag already names, so that a
    retried training reads the same rows.

    Raises:
        TableMissingError: there is no table, or nothing was ever published in it.
        PublishConflictError: other writers kept winning; try again.
    """
    from pyiceberg.exceptions import CommitFailedException

    def change() -> int:
        found = snapshots.existing(lake, pipeline, table)
        if tag in found.refs():
            return found.refs()[tag].snapshot_id
        current = snapshots.current(found)
        found.manage_snapshots().create_tag(current, tag).commit()
        return current

    with connection.opened() as lake:
        return retry_on_conflict(
            change, CommitFailedException, what=f"Tag {tag!r}", where=f"{pipeline}.{table}"
        )


def history(pipeline: str, table: str) -> list[dict[str, Any]]:
    """Publications of a table, newest first: snapshot_id, committed_at (UTC) and the snapshot's `sluice.*` properties.

    At least the last thirty commits and what is pinned; the ledger has all.

    Raises:
        TableMissingError: there is no table, or nothing was ever published in it.
    """
    with connection.opened() as lake:
        return snapshots.publications(snapshots.existing(lake, pipeline, table))


def _check_publishable(manifest: Manifest, verdict_id: str, name: str, empty: Sequence[str]) -> None:
    if not verdict_id:
        raise VerdictMissingError(
            f"Batch {manifest.batch_id} has no verdict.", where=name, todo="run the gate before publishing"
        )
    unseen = [day for day in manifest.empty if day not in empty]
    if unseen or not manifest.partitions:
        raise GateBrokenError(
            f"Batch {manifest.batch_id} has no rows for {', '.join(unseen) or 'any partition'}, yet passed its gate.",
            where=name,
            allowed="partitions with at least one row, or of which the gate found that they may have none",
            todo=f"make the gate of {name} count rows, and look for the missing delivery",
        )
    batches.check_unchanged(manifest)


def _local(partition: Published, day: str, into: Path) -> str:
    """Path of a partition's file on this machine."""
    if connection.local_path(partition.file):
        return partition.file
    copy = into / f"{partition.batch_id}.{DAY}={day}.parquet"
    if not copy.exists():
        with replacing(copy) as part:
            part.write_bytes(connection.read(partition.file))
    return str(copy)
