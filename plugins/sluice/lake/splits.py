"""Splits: the good rows of a batch as a batch of their own, beside the rows that its gate set aside.

The rule kept here: a split and its set-aside rows are all rows of the full batch, each once. That is checked when the
split is made, and again, from the files, when it is published.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.core import clock, failpoints
from sluice.core.errors import BatchDamagedError, RowsLostError
from sluice.lake import batches, columns, connection
from sluice.lake.batches import Manifest

if TYPE_CHECKING:
    import pyarrow as pa


def make(
    full: Manifest,
    good: pa.Table,
    quarantined: pa.Table,
    *,
    sort_by: Sequence[str],
    shown: Manifest | None = None,
) -> Manifest:
    """Write a split of a batch; nothing becomes visible.

    Args:
        good, quarantined: together all rows of `full`; `quarantined` as `lake.quarantine.shape` says of set-aside rows.
        sort_by: as for `batches.stage`.
        shown: the split that readers see. If this one would be the same, it is returned, and nothing is written.

    Raises:
        pydantic.ValidationError: they are not all rows of `full`.
    """
    name = f"{full.pipeline}.{full.table}"
    slices = batches.by_day(columns.stored(good, name), full.partitions, sort_by, name)
    contents = {day: batches.parquet(rows) for day, rows in slices.items()}
    set_aside = batches.parquet(quarantined) if quarantined.num_rows else b""
    hashes = batches.content_hash(contents), hashlib.sha256(set_aside).hexdigest() if set_aside else ""
    if shown and (shown.content_hash, shown.aside_hash) == hashes:
        return shown
    created_at = clock.utc_now()
    batch_id = batches.new_id(full.pipeline, full.table, full.batch_id)
    manifest = Manifest.model_validate(
        full.model_dump()
        | {
            "batch_id": batch_id,
            "rows": good.num_rows,
            "rows_by_partition": {day: rows.num_rows for day, rows in slices.items()},
            "quarantined": dict(Counter(quarantined["rule"].to_pylist())),
            "aside_hash": hashes[1],
            "split_of": full.batch_id,
            "files": {
                day: batches.file_of(full.pipeline, full.table, batch_id, day) for day in full.partitions
            },
            "content_hash": hashes[0],
            "hashes": {day: hashlib.sha256(content).hexdigest() for day, content in contents.items()},
            "created_at": created_at,
        }
    )
    if set_aside:
        connection.write(_quarantined_file(manifest), set_aside)
        failpoints.hit("split.aside_written")
    batches.write(manifest, contents)
    return manifest


def set_aside(manifest: Manifest) -> pa.Table | None:
    """The rows that a split left out, as `lake.quarantine.shape` says; None if there are none.

    Raises:
        BatchDamagedError: the file is missing or is not the one that was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not manifest.aside_hash:
        return None
    try:
        content = connection.read(_quarantined_file(manifest))
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != manifest.aside_hash:
        raise BatchDamagedError(
            f"The set-aside rows of batch {manifest.batch_id} are {'not what was written' if content else 'missing'}.",
            where=_quarantined_file(manifest),
            todo=f"audit batch {batches.full_id(manifest.batch_id)} again: they are set aside anew",
        )
    return pq.read_table(pa.BufferReader(content))


def check_conserved(manifest: Manifest, quarantined: pa.Table | None) -> None:
    """Count what is about to be published: every row that was received is in it, set aside, or dropped for a reason.

    Args:
        manifest: of the batch to publish, a split or a full one.
        quarantined: the rows that go to the quarantine table with it.

    Raises:
        RowsLostError: names the numbers that do not add up.
    """
    full = batches.load(manifest.pipeline, manifest.table, batches.full_id(manifest.batch_id))
    counted = _rows_in_files(manifest)
    by_rule = dict(Counter(quarantined["rule"].to_pylist())) if quarantined else {}
    dropped = sum(full.dropped.values())
    added = counted + sum(by_rule.values()) + dropped
    recorded = (manifest.received, manifest.dropped, manifest.rows, manifest.quarantined)
    if (full.received, full.dropped, counted, by_rule) == recorded and added == full.received:
        return
    rules = ", ".join(f"{rows:,} for {rule}" for rule, rows in by_rule.items()) or "none"
    raise RowsLostError(
        f"Batch {manifest.batch_id} does not account for every row: {full.received:,} received, but {added:,} found: "
        f"{counted:,} in its files, set aside {rules}, dropped {dropped:,}. Its manifest says {manifest.rows:,} rows "
        f"and {sum(manifest.quarantined.values()):,} set aside.",
        where=f"{manifest.pipeline}.{manifest.table}, batch {manifest.batch_id}",
        allowed="received = published + quarantined + dropped",
        todo="stage the partition again; if it happens again, report it: nothing was published",
    )


def _rows_in_files(manifest: Manifest) -> int:
    import pyarrow.parquet as pq

    rows = 0
    for day in manifest.partitions:
        with connection.reaching(manifest.files[day]):
            fs, path = connection.filesystem(manifest.files[day])
            rows += pq.read_metadata(path, filesystem=fs).num_rows
    return rows


def _quarantined_file(manifest: Manifest) -> str:
    return connection.location(
        manifest.pipeline, manifest.table, "data", manifest.batch_id, "quarantine.parquet"
    )
