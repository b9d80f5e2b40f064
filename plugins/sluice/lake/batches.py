"""Staged batches: what one attempt wrote where no reader looks.

The rule kept here: a batch is immutable and complete. Its manifest is written last, atomically; a batch without one
does not exist. Rows are written in one order, so that the same rows always give the same content hash.

Ids sort in the order in which batches were staged, whatever the clocks of the hosts say, and of two batches of a day the
later one wins (`sluice.outdated` lets no batch be published whose inputs are older than those of another). The id of a
split (see `lake.splits`) is that of its full batch with its own time after it: it replaces the full batch and every
earlier split of it, and gives way to what was delivered after the full batch, however late the split was made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, model_validator

from sluice.core import clock, failpoints
from sluice.core.errors import BatchDamagedError, BatchUnknownError, ContractBrokenError
from sluice.core.partitions import Partition, date_of
from sluice.core.runs import Run
from sluice.lake import columns, connection, notes
from sluice.lake.columns import DAY
from sluice.lake.missing import MissingHistory
from sluice.lake.notes import Note
from sluice.lake.waived import WaivedInput

if TYPE_CHECKING:
    import pyarrow as pa


# Written last; a batch without it does not exist.
MANIFEST = "manifest.json"
# See `new_id`: the time that an id begins with, to the microsecond.
_TIME = "%Y%m%dT%H%M%S%f"
_TIME_CHARS = 21
_ID = re.compile(r"\d{8}T\d{12}-[0-9a-f]{6}(\.\d{8}T\d{12}-[0-9a-f]{6})?")


class Manifest(BaseModel):
    """What a batch holds and where it came from; `manifest.json` beside its files.

    `rows + sum(dropped.values()) + sum(quarantined.values()) == received`: no row may vanish without a reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_id: str
    pipeline: str
    table: str
    # Days (YYYY-MM-DD) that the batch replaces, sorted.
    partitions: tuple[str, ...]
    rows: int
    rows_by_partition: dict[str, int]
    # Rows before any were dropped.
    received: int
    # Reason -> rows.
    dropped: dict[str, int]
    # Of a split: rule -> rows that failed it and were set aside.
    quarantined: dict[str, int] = {}
    # SHA-256 of the file with those rows; "" where there is none.
    aside_hash: str = ""
    # Of a split: the id of the full batch, which the gate judged.
    split_of: str | None = None
    # Rows that are there, without the partner that a join looked for: join -> rows.
    unmatched: dict[str, int] = {}
    # Of a derived table that has not one row for each it is made of: rows of each dbt model between the two, in their order.
    rows_by_model: dict[str, int] = {}
    # Partition -> URI, or path where the warehouse is local.
    files: dict[str, str]
    # Column -> Arrow type.
    columns: dict[str, str]
    # SHA-256 over the staged files, in the order of partitions.
    content_hash: str
    # Partition -> SHA-256 of its file, so that one day can be checked without reading the others.
    hashes: dict[str, str] = {}
    inputs: tuple[dict[str, Any], ...]
    # Waivers that the rows rest on through those inputs; none is recorded in a batch of an earlier version.
    waived_inputs: tuple[WaivedInput, ...] = ()
    # History that the rows look back on and that was missing, a table each; a batch of an earlier version does not say.
    missing_history: tuple[MissingHistory, ...] = ()
    run: Run
    created_at: datetime

    @property
    def days(self) -> Partition:
        """From the first of its partitions to the last, as one."""
        return Partition.of(self.partitions)

    @property
    def empty(self) -> tuple[str, ...]:
        """Days without rows."""
        return tuple(day for day in self.partitions if not self.rows_by_partition[day])

    @property
    def noted(self) -> list[Note | WaivedInput | MissingHistory]:
        """What a person should know of the inputs although nothing is wrong with the rows."""
        of_inputs = (note for each in self.inputs for note in notes.of_input(each))
        return [*of_inputs, *self.waived_inputs, *self.missing_history]

    def splits_like(self, other: Manifest) -> bool:
        """Whether both are splits of one full batch that keep and set aside the same rows, or both are that batch.

        A gate that ran twice splits it twice.
        """
        mine, their = (
            (full_id(one.batch_id), one.split_of, one.content_hash, one.aside_hash) for one in (self, other)
        )
        return mine == their

    @model_validator(mode="after")
    def _rows_are_conserved(self) -> Manifest:
        kept, dropped = sum(self.rows_by_partition.values()), sum(self.dropped.values())
        quarantined = sum(self.quarantined.values())
        if self.rows != kept or self.received != kept + dropped + quarantined:
            raise ValueError(
                f"rows are not conserved: received {self.received}, staged {self.rows} "
                f"({kept} over the partitions), dropped {dropped}, quarantined {quarantined}"
            )
        if set(self.files) != set(self.partitions) or set(self.rows_by_partition) != set(self.partitions):
            raise ValueError("files and rows_by_partition must name exactly the partitions")
        return self


def stage(
    pipeline: str,
    table: str,
    data: pa.Table,
    *,
    partitions: Sequence[str],
    received: int,
    dropped: Mapping[str, int],
    inputs: Sequence[dict[str, Any]],
    run: Run,
    sort_by: Sequence[str],
    unmatched: Mapping[str, int] | None = None,
    rows_by_model: Mapping[str, int] | None = None,
    waived_inputs: Sequence[WaivedInput] = (),
    missing_history: Sequence[MissingHistory] = (),
    after: str = "",
) -> Manifest:
    """Write a batch: one Parquet file a partition, then the manifest. Nothing becomes visible.

    Args:
        data: rows of all partitions, with the partition's day in the date32 column `ds`.
        partitions: days (YYYY-MM-DD) that the batch replaces; one without rows gets an empty file.
        received: rows before any were dropped.
        dropped: rows dropped before staging, by reason.
        inputs: what the rows were made from.
        run: ids of the run that stages.
        sort_by: the columns that order the rows; the other columns break ties.
        unmatched: rows without the partner that a join looked for, by join; they are rows like all others.
        rows_by_model: rows of the dbt models that they went through.
        waived_inputs: waivers that the rows rest on through what they were made from.
        missing_history: what they look back on, and was missing.
        after: id of the batch that this one follows from; its own id sorts right after that one's.

    Raises:
        ContractBrokenError: `ds` is missing, a row is of no declared partition, or a column's type cannot be stored.
        pydantic.ValidationError: rows are not conserved.
    """
    days = sorted(set(partitions))
    data = columns.stored(data, f"{pipeline}.{table}")
    slices = by_day(data, days, sort_by, f"{pipeline}.{table}")
    failpoints.hit("stage.inputs_read")
    created_at = clock.utc_now()
    batch_id = new_id(pipeline, table, after)
    contents = {day: parquet(rows) for day, rows in slices.items()}
    files = {day: file_of(pipeline, table, batch_id, day) for day in days}
    manifest = Manifest(
        batch_id=batch_id,
        pipeline=pipeline,
        table=table,
        partitions=tuple(days),
        rows=data.num_rows,
        rows_by_partition={day: rows.num_rows for day, rows in slices.items()},
        received=received,
        dropped=dict(dropped),
        unmatched=dict(unmatched or {}),
        rows_by_model=dict(rows_by_model or {}),
        files=files,
        columns={field.name: str(field.type) for field in data.schema},
        content_hash=content_hash(contents),
        hashes={day: hashlib.sha256(content).hexdigest() for day, content in contents.items()},
        inputs=tuple(inputs),
        waived_inputs=tuple(waived_inputs),
        missing_history=tuple(missing_history),
        run=run,
        created_at=created_at,
    )
    write(manifest, contents)
    return manifest


def write(manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Write a batch's files, and then its manifest: from now on it exists."""
    for day, content in contents.items():
        connection.write(manifest.files[day], content)
        failpoints.hit("stage.file_written")
    uri = _manifest(manifest.pipeline, manifest.table, manifest.batch_id)
    connection.write(uri, manifest.model_dump_json(indent=2).encode())
    failpoints.hit("stage.manifest_written")


def load(pipeline: str, table: str, batch_id: str) -> Manifest:
    """Read the manifest of a staged batch.

    Raises:
        BatchUnknownError: no complete batch has this id.
    """
    uri = _manifest(pipeline, table, batch_id)
    try:
        return Manifest.model_validate_json(connection.read(uri))
    except FileNotFoundError as error:
        raise BatchUnknownError(
            f"Table {pipeline}.{table} has no staged batch {batch_id!r}.",
            where=uri,
            allowed=", ".join(staged(pipeline, table)[:5]) or "none is staged",
            todo="correct the batch id, or stage the partition again",
        ) from error


def made_of(pipeline: str, table: str, batch_id: str | None) -> Sequence[Mapping[str, Any]]:
    """What a batch was made from, as its manifest records it; nothing where that is not known: cleared away, or another writer's."""
    try:
        return load(pipeline, table, full_id(batch_id)).inputs if batch_id else ()
    except BatchUnknownError:
        return ()


def staged(pipeline: str, table: str) -> list[str]:
    """Ids of the complete batches of a table, newest first, published or not."""
    uri = connection.location(pipeline, table, "data")
    with connection.reaching(uri):
        fs, root = connection.filesystem(uri)
        names = connection.folders(uri)
        found = fs.get_file_info([f"{root}/{name}/{MANIFEST}" for name in names]) if names else []
    return sorted((name for name, info in zip(names, found, strict=True) if info.is_file), reverse=True)


def check_unchanged(manifest: Manifest) -> None:
    """Make sure that the files are the ones that were staged, and so the ones that a gate saw.

    Raises:
        BatchDamagedError: a file is missing or has another content.
    """
    where = _manifest(manifest.pipeline, manifest.table, manifest.batch_id)
    try:
        contents = {day: connection.read(manifest.files[day]) for day in manifest.partitions}
    except FileNotFoundError as error:
        problem = f"A file of batch {manifest.batch_id} is missing: {error}."
    else:
        if content_hash(contents) == manifest.content_hash:
            return
        problem = f"Files of batch {manifest.batch_id} were changed after they were staged."
    raise BatchDamagedError(problem, where=where, todo="stage the partition again; batches are never edited")


def read(manifest: Manifest, day: str) -> pa.Table:
    """The rows of one day as they were staged, whether readers see them or not.

    Raises:
        BatchDamagedError: the file is missing or has another content.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = manifest.files[day]
    try:
        content = connection.read(where)
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != manifest.hashes[day]:
        raise BatchDamagedError(
            f"The file of batch {manifest.batch_id} for {day} is missing or was changed after it was staged.",
            where=where,
            todo="restore it from a backup; what was made from it cannot be measured without it",
        )
    rows = pq.read_table(pa.BufferReader(content))
    return rows.cast(columns.as_stored(rows.schema))


def full_id(batch_id: str) -> str:
    """The id of the full batch that a batch is, or was made from."""
    return batch_id.partition(".")[0]


def same_rows(pipeline: str, table: str, day: str, before: str | None, now: str) -> bool:
    """Whether two batches of a day hold the same rows: a day that is staged again, alone or in a range, is no correction."""
    if before == now:
        return True
    try:
        hashes = [load(pipeline, table, one).hashes.get(day) for one in (before, now) if one]
    except BatchUnknownError:
        return False
    return len(hashes) == 2 and hashes[0] is not None and hashes[0] == hashes[1]


def new_id(pipeline: str, table: str, after: str = "") -> str:
    """Return an id that sorts after those of all batches of the table, also where this host's clock is behind.

    Args:
        after: id of the batch that this one follows from; the new id sorts right after it and what follows from it so far.
    """
    prefix = f"{after}." if after else ""
    there = connection.folders(connection.location(pipeline, table, "data"))
    times = [
        name.removeprefix(prefix)[:_TIME_CHARS]
        for name in there
        if name.startswith(prefix) and _ID.fullmatch(name)
    ]
    now = f"{clock.utc_now():{_TIME}}"
    newest = max(times, default="")
    if now <= newest:
        now = f"{datetime.strptime(newest, _TIME).replace(tzinfo=UTC) + timedelta(microseconds=1):{_TIME}}"
    return f"{prefix}{now}-{secrets.token_hex(3)}"


def batch_of(file: str) -> str:
    """The id of the batch that a published file belongs to; "" for a file that another writer put into the table."""
    folder = file.rsplit("/", 2)[-2]
    return folder if _ID.fullmatch(folder) else ""


def id_in(name: str) -> str:
    """The id of the batch that a file is named after; "" if there is none."""
    found = re.search(rf"(?:^|_)({_ID.pattern})", name)
    return found[1] if found else ""


def file_of(pipeline: str, table: str, batch_id: str, day: str) -> str:
    """Where a batch's rows of a day lie: a path, or a URI where the warehouse is remote."""
    uri = connection.location(pipeline, table, "data", batch_id, f"{DAY}={day}.parquet")
    return str(connection.local_path(uri) or uri)


def _manifest(pipeline: str, table: str, batch_id: str) -> str:
    return connection.location(pipeline, table, "data", batch_id, MANIFEST)


def by_day(data: pa.Table, days: Sequence[str], sort_by: Sequence[str], where: str) -> dict[str, pa.Table]:
    """Sorted rows of each day; every row belongs to one of `days`."""
    import pyarrow.compute as pc

    order = list(dict.fromkeys([DAY, *sort_by, *data.column_names]))
    data = data.sort_by([(name, "ascending") for name in order])
    counts = {item["values"]: item["counts"] for item in pc.value_counts(data[DAY]).to_pylist()}
    strangers = sorted(str(day) for day in counts if str(day) not in set(days))
    if strangers:
        raise ContractBrokenError(
            f"Rows of {', '.join(strangers[:5])} are in a batch of other days.",
            where=where,
            allowed=", ".join([*days[:3], *(["..."] if len(days) > 3 else [])]),
            todo=f"correct the column {DAY!r}, or stage the days that the rows belong to",
        )
    slices, start = {}, 0
    for day in days:
        count = counts.get(date_of(day), 0)
        slices[day] = data.slice(start, count)
        start += count
    return slices


def parquet(rows: pa.Table) -> bytes:
    """Rows as the content of a Parquet file; the same rows always give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def content_hash(contents: Mapping[str, bytes]) -> str:
    """SHA-256 over a batch's files, in the order of days."""
    lines = (f"{day} {hashlib.sha256(contents[day]).hexdigest()}\n" for day in sorted(contents))
    return hashlib.sha256("".join(lines).encode()).hexdigest()
