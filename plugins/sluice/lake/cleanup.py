"""What lies under a table that nobody needs any more, and how it goes: the half of `sluice.watch.maintenance` that knows Iceberg.

The rule kept here: what readers see, and what an unexpired snapshot refers to, is never touched, whoever publishes
meanwhile. A file without such a reference goes only when it is older than a grace period. A batch goes in two steps: first
its manifest is set aside, so that it does not exist any more for whoever would publish it from now on; its files go when a
grace period later still nobody has. Only what the platform wrote is touched: a file of another writer stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from sluice.core import failpoints
from sluice.lake import batches, connection, empty_days, snapshots
from sluice.lake.conflicts import retry_on_conflict

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

_CONDEMNED = "condemned.json"
_METADATA_ENDINGS = (".avro", ".metadata.json")


@dataclass(frozen=True)
class File:
    """A file under a table."""

    # As the platform's own records name it: a path, or a URI where the warehouse is remote.
    path: str
    size: int
    modified: datetime

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Folder:
    """The folder of a batch."""

    batch_id: str
    files: tuple[File, ...]

    @property
    def state(self) -> Literal["staged", "condemned", "half_written"]:
        names = {file.name for file in self.files}
        if batches.MANIFEST in names:
            return "staged"
        return "condemned" if _CONDEMNED in names else "half_written"

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def modified(self) -> datetime:
        """When anything of it was written last."""
        return max(file.modified for file in self.files)

    @property
    def parts(self) -> tuple[File, ...]:
        """Left over from writers that died: a file being written begins with a dot."""
        return tuple(file for file in self.files if file.name.startswith("."))


@dataclass(frozen=True)
class Inventory:
    """What lies under a table."""

    folders: tuple[Folder, ...]
    # Of Iceberg's own files, those that no kept snapshot refers to.
    unreferred: tuple[File, ...]
    # Batches that kept snapshots refer to.
    referred: frozenset[str]
    # Snapshots that are neither pinned nor new enough.
    expirable: tuple[int, ...]
    # How many readers see, in the newest snapshot.
    partitions: int
    # Day -> file that readers are sent to and that is not there.
    missing: dict[str, str]
    # Day -> files, where another writer left more than one.
    several: dict[str, int]


def inventory(pipeline: str, table: str, *, keep: int, before: datetime) -> Inventory:
    """List what is stored of a table, as it would be without the snapshots that are expirable; nothing is touched.

    Args:
        keep: this many of the newest snapshots are not expirable.
        before: nor are those that were made at or after it.

    Raises:
        LakeUnreachableError: the warehouse's bucket does not answer.
    """
    # Listed before the table is read: what is published in between is found to be referred to.
    folders = _folders(connection.location(pipeline, table, "data"))
    metadata = _list(connection.location(pipeline, table, "metadata"))
    with connection.opened() as lake:
        found = snapshots.find(lake, pipeline, table)
        if found is None:
            return Inventory(folders, (), frozenset(), (), 0, {}, {})
        expirable = snapshots.expirable(found, keep=keep, before=before)
        kept = [one for one in found.snapshots() if one.snapshot_id not in expirable]
        files, used = _referred(found, kept)
        empty = empty_days.batch_ids(found)
        shown = snapshots.all_tasks(found, snapshots.always()) if found.current_snapshot() else {}
    there = {file.path for folder in folders for file in folder.files}
    return Inventory(
        folders=folders,
        unreferred=tuple(
            file for file in metadata if file.path not in used and file.name.endswith(_METADATA_ENDINGS)
        ),
        referred=frozenset(filter(None, (batches.batch_of(path) for path in files))) | empty,
        expirable=tuple(expirable),
        partitions=len(shown),
        missing={
            day: task.file.file_path
            for day, tasks in shown.items()
            for task in tasks
            if _name(task.file.file_path) not in there and not _exists(task.file.file_path)
        },
        several={day: len(tasks) for day, tasks in shown.items() if len(tasks) > 1},
    )


def expire(pipeline: str, table: str, *, keep: int, before: datetime) -> list[int]:
    """Forget snapshots as `look` finds them; returns their ids.

    Raises:
        PublishConflictError: other writers kept winning; try again.
    """
    from pyiceberg.exceptions import CommitFailedException

    def change() -> list[int]:
        found = snapshots.find(lake, pipeline, table)
        expirable = snapshots.expirable(found, keep=keep, before=before) if found else []
        if found is None or not expirable:
            return []
        snapshots.forget(found, expirable)
        failpoints.hit("maintenance.snapshots_expired")
        return expirable

    with connection.opened() as lake:
        return retry_on_conflict(
            change,
            CommitFailedException,
            ValueError,  # somebody else has expired one of them meanwhile
            what="Expiring snapshots",
            where=f"{pipeline}.{table}",
        )


def condemn(pipeline: str, table: str, folder: Folder) -> None:
    """Let a batch exist no longer, with all its files in place; can be taken back until `remove`."""
    manifest = connection.location(pipeline, table, "data", folder.batch_id, batches.MANIFEST)
    condemned = connection.location(pipeline, table, "data", folder.batch_id, _CONDEMNED)
    # Written anew, not renamed: from its time on the grace period counts.
    connection.write(condemned, connection.read(manifest))
    failpoints.hit("maintenance.condemning")
    connection.remove(manifest)


def restore(pipeline: str, table: str, folder: Folder) -> None:
    """Take `condemn` back: it is needed after all."""
    condemned = connection.location(pipeline, table, "data", folder.batch_id, _CONDEMNED)
    manifest = connection.location(pipeline, table, "data", folder.batch_id, batches.MANIFEST)
    if folder.state == "condemned":
        connection.write(manifest, connection.read(condemned))
    connection.remove(condemned)


def is_restorable(folder: Folder) -> bool:
    """Whether there is something to take back, also of a condemnation that was killed half way."""
    return any(file.name == _CONDEMNED for file in folder.files)


def remove(folder: Folder) -> None:
    """Delete a batch: first what could bring it back, then its files; what a kill leaves is a half-written batch."""
    for file in sorted(folder.files, key=lambda file: file.name not in (_CONDEMNED, batches.MANIFEST)):
        connection.remove(file.path)
        failpoints.hit("maintenance.file_removed")
    connection.remove_empty_folder(folder.files[0].path.rsplit("/", 1)[0])


def _referred(table: Table, kept: Iterable[Snapshot]) -> tuple[set[str], set[str]]:
    """Data files, and paths of Iceberg's own files, that some snapshots and the table itself refer to."""
    own = {table.metadata_location, *(old.metadata_file for old in table.metadata.metadata_log)}
    own |= {one.statistics_path for one in table.metadata.statistics}
    manifests: dict[str, ManifestFile] = {}
    for snapshot in kept:
        own.add(snapshot.manifest_list)
        manifests |= {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
    files = {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }
    return files, {_name(uri) for uri in {*own, *manifests}}


def _folders(uri: str) -> tuple[Folder, ...]:
    """The folders that the platform wrote."""
    found: dict[str, list[File]] = {}
    for file in _list(uri):
        batch_id = batches.batch_of(file.path)
        if batch_id:
            found.setdefault(batch_id, []).append(file)
    return tuple(Folder(batch_id, tuple(files)) for batch_id, files in sorted(found.items()))


def _list(uri: str) -> list[File]:
    """All files below, at any depth."""
    from pyarrow.fs import FileSelector, FileType

    with connection.reaching(uri):
        fs, root = connection.filesystem(uri)
        found = fs.get_file_info(FileSelector(root, allow_not_found=True, recursive=True))
    return [
        File(_name(uri) + info.path.removeprefix(root), info.size, info.mtime.astimezone(UTC))
        for info in found
        if info.type == FileType.File
    ]


def _exists(uri: str) -> bool:
    from pyarrow.fs import FileType

    with connection.reaching(uri):
        fs, path = connection.filesystem(uri)
        return fs.get_file_info(path).type == FileType.File


def _name(uri: str) -> str:
    return str(connection.local_path(uri) or uri)
