"""The quarantine table of a table: every row that was set aside, why, from which delivery, and what became of it.

The rule kept here: it is a table like any other, `<pipeline>.<table>__quarantine`, and a day of it is replaced in one
commit. What a batch sets aside is written before its good rows become visible, so that no reader can see a day whose
missing rows are nowhere. Closed rows stay; a row that fails again keeps the time when it was first seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from sluice.core import failpoints
from sluice.core.errors import BatchSupersededError, TableMissingError
from sluice.core.partitions import date_of, day_of
from sluice.core.runs import Run
from sluice.declare.spec import QUARANTINE
from sluice.lake import batches, inputs, tables
from sluice.lake.batches import Manifest
from sluice.lake.conflicts import retry_on_conflict

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.retention import Retention
    from sluice.declare.spec import Pipeline

Status = Literal["open", "repaired", "released", "expired"]
_Row = dict[str, Any]


class _RecordedMeanwhileError(Exception):
    """Another process has recorded the same batch."""


def table_of(table: str) -> str:
    """Name of a table's quarantine table."""
    return f"{table}{QUARANTINE}"


def shape(*, whole: bool = True) -> pa.Schema:
    """Columns of the table; without those of its life (`whole=False`), of the rows that a gate sets aside."""
    import pyarrow as pa

    text = ("row_key", "rule", "reason", "payload", "delivery_id")
    columns = [(batches.DAY, pa.date32()), *((name, pa.string()) for name in text)]
    if whole:
        seen = pa.timestamp("us", tz="UTC")
        columns += [("batch_id", pa.string()), ("first_seen", seen), ("last_seen", seen)]
        columns += [("status", pa.string())]
    return pa.schema(columns)


def set_aside(row: _Row, key: Sequence[str], *, rule: str, reason: str) -> _Row:
    """A row of a batch as its quarantine table keeps it: in full, as JSON, beside its key and the rule that it fails."""
    from pydantic_core import to_json

    def text(values: _Row) -> str:
        return to_json(values, inf_nan_mode="strings", fallback=str).decode()

    return {
        batches.DAY: row[batches.DAY],
        "row_key": text({name: row.get(name) for name in key}),
        "rule": rule,
        "reason": reason,
        "payload": text(row),
        "delivery_id": row.get("delivery_id"),
    }


def table(found: Sequence[_Row]) -> pa.Table:
    """Rows that were set aside, in one order."""
    import pyarrow as pa

    ordered = sorted(found, key=lambda row: (row[batches.DAY], *_identity(row)))
    return pa.Table.from_pylist(ordered, schema=shape(whole=False))


def record(
    manifest: Manifest,
    quarantined: pa.Table | None,
    *,
    verdict_id: str,
    waiver: int | None = None,
    retention: Retention | None = None,
) -> None:
    """Bring the quarantine table up to the batch that is about to be published; a repetition changes nothing.

    Rows of its days that were open, and that this batch does not set aside, are closed: `released` where a person's
    word publishes the batch, else `repaired`.

    Args:
        aside: what the batch sets aside, as `shape(whole=False)`.
        retention: which snapshots of the quarantine table are kept: see `snapshots.expire`.

    Raises:
        BatchSupersededError: a newer batch of one of the days has been recorded.
        PublishConflictError: other writers kept winning; try again.
    """
    closing: Status = "repaired" if waiver is None else "released"
    new = _by_day(quarantined.to_pylist() if quarantined else [])

    def change() -> None:
        before = _there(manifest)
        after = {day: _merged(before[day], new[day], manifest, closing) for day in {*before, *new}}
        changed = {day: found for day, found in after.items() if _counted(found) != _counted(before[day])}
        if not changed:
            return
        try:
            made_from = inputs.Batch(table=manifest.table, batch_id=manifest.batch_id)
            _write(manifest, changed, manifest.run, verdict_id, retention, made_from)
        except BatchSupersededError as error:
            # By this same batch, in another process? Then the next look finds nothing left to change.
            origin, first, last = _origin(manifest), manifest.partitions[0], manifest.partitions[-1]
            shown = tables.published(manifest.pipeline, table_of(manifest.table), first, last)
            if any(
                batches.full_id(shown[day].batch_id) > origin for day in manifest.partitions if day in shown
            ):
                raise
            raise _RecordedMeanwhileError from error

    retry_on_conflict(
        change,
        _RecordedMeanwhileError,
        what=f"What batch {manifest.batch_id} sets aside",
        where=f"{manifest.pipeline}.{table_of(manifest.table)}",
    )


def has_recorded(manifest: Manifest) -> bool:
    """Whether the quarantine table is as `record` left it for a batch, or for another split that sets aside the same."""
    name, first, last = table_of(manifest.table), manifest.partitions[0], manifest.partitions[-1]
    shown = tables.published(manifest.pipeline, name, first, last)
    written = {shown[day].batch_id for day in manifest.partitions if day in shown}
    origin = _origin(manifest)
    return any(
        batches.load(manifest.pipeline, manifest.table, made_from.batch_id).splits_like(manifest)
        for batch_id in written
        if batches.full_id(batch_id) == origin
        for made_from in inputs.of(batches.load(manifest.pipeline, name, batch_id), inputs.Batch)
    )


def close_older(
    manifest: Manifest, *, verdict_id: str, waiver: int | None = None, retention: Retention | None = None
) -> None:
    """Close rows of a batch's days that an older batch set aside than the one that readers see, which has them.

    `record` does so before a batch is visible. But a batch that sets nothing aside leaves nothing here that an older one
    could be refused by: one that is on its way at the same time may still add its rows. So whoever publishes, or finds
    that it is too late to publish, looks once more.
    """
    closing: Status = "repaired" if waiver is None else "released"

    def change() -> None:
        there = _there(manifest)
        if not any(row["status"] == "open" for found in there.values() for row in found):
            return
        first, last = manifest.partitions[0], manifest.partitions[-1]
        seen = tables.published(manifest.pipeline, manifest.table, first, last)
        shown = {date_of(day): batches.full_id(one.batch_id) for day, one in seen.items()}
        closed = {
            day: [
                row | {"status": closing} if row["status"] == "open" and row["batch_id"] < shown[day] else row
                for row in found
            ]
            for day, found in there.items()
            if day in shown
        }
        changed = {day: found for day, found in closed.items() if found != there[day]}
        if changed:
            _write(manifest, changed, manifest.run, verdict_id, retention)

    # A newer batch may have been here: then another look tells what is left to do.
    retry_on_conflict(
        change,
        BatchSupersededError,
        what=f"Closing rows that batch {manifest.batch_id} has",
        where=f"{manifest.pipeline}.{table_of(manifest.table)}",
    )


def rows(pipeline: str, table: str, start: str, end: str) -> pa.Table:
    """Rows that were ever set aside of the days `start` to `end` (inclusive), open and closed; see `shape`."""
    try:
        return tables.scan(pipeline, table_of(table), start, end).cast(shape())
    except TableMissingError:
        return shape().empty_table()


def open_counts(spec: Pipeline) -> dict[str, dict[str, dict[str, int]]]:
    """Open rows: table -> day -> rule -> how many. Tables without any are left out.

    Rows of a batch that was overtaken before it could be published, and that died before it could close them, are
    none: what readers see has them.
    """
    found: dict[str, dict[str, dict[str, int]]] = {}
    for table in spec.tables:
        still = _open_rows(spec.pipeline, table)
        if not still:
            continue
        days = [day_of(row[batches.DAY]) for row in still]
        shown = tables.published(spec.pipeline, table, min(days), max(days))
        for row, day in zip(still, days, strict=True):
            if day not in shown or batches.full_id(shown[day].batch_id) <= row["batch_id"]:
                by_rule = found.setdefault(table, {}).setdefault(day, {})
                by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
    return found


def _open_rows(pipeline: str, table: str) -> list[_Row]:
    """Days whose rows are all closed are told by the table's own statistics, and not opened."""
    days = tables.days_that_may_hold(pipeline, table_of(table), "status", "open")
    return [
        row for day in days for row in rows(pipeline, table, day, day).to_pylist() if row["status"] == "open"
    ]


def expire(
    pipeline: str, table: str, start: str, end: str, *, run: Run, retention: Retention | None = None
) -> int:
    """Close what is still open of the days `start` to `end` (inclusive) as `expired`; return how many rows that were."""
    expired = 0
    for day, partition in tables.published(pipeline, table_of(table), start, end).items():
        there = rows(pipeline, table, day, day).to_pylist()
        still_open = sum(row["status"] == "open" for row in there)
        if still_open:
            manifest = batches.load(pipeline, table_of(table), partition.batch_id)
            closed = [row | {"status": "expired"} if row["status"] == "open" else row for row in there]
            origin = manifest.model_copy(update={"table": table})
            _write(origin, {date_of(day): closed}, run, "expired", retention)
            expired += still_open
    return expired


def _merged(before: Sequence[_Row], new: Sequence[_Row], manifest: Manifest, closing: Status) -> list[_Row]:
    """The rows of one day: those that were closed, those that this batch sets aside, and what it closes."""
    origin = _origin(manifest)
    left = dict(enumerate(before))
    # Expired rows of this very batch stay closed: publishing it again tells nothing new about them.
    own, known = defaultdict(list), defaultdict(list)
    for index, row in left.items():
        if row["batch_id"] == origin and row["status"] in ("open", "expired"):
            own[_identity(row)].append(index)
    merged, pending = [], []
    for row in new:
        if same := own[_identity(row)]:
            merged.append(left.pop(same.pop()) | row)
        else:
            pending.append(row)
    for index, row in left.items():
        if row["status"] == "open":
            known[row["row_key"]].append(index)
    for row in pending:
        earlier = left.pop(known[row["row_key"]].pop()) if known[row["row_key"]] else {}
        first_seen = earlier.get("first_seen", manifest.created_at)
        seen = {"batch_id": origin, "first_seen": first_seen, "last_seen": manifest.created_at}
        merged.append(row | seen | {"status": "open"})
    closed = [row | {"status": closing} if row["status"] == "open" else row for row in left.values()]
    return merged + closed


def _write(
    manifest: Manifest,
    by_day: Mapping[date, Sequence[_Row]],
    run: Run,
    verdict_id: str,
    retention: Retention | None,
    *made_from: inputs.Batch,
) -> None:
    """Replace days of the quarantine table of a batch's table; what a newer delivery wrote cannot be replaced."""
    import pyarrow as pa

    found = [row for rows_of_day in by_day.values() for row in rows_of_day]
    staged = batches.stage(
        manifest.pipeline,
        table_of(manifest.table),
        pa.Table.from_pylist(found, schema=shape()),
        partitions=[day_of(day) for day in by_day],
        received=len(found),
        dropped={},
        inputs=[each.record() for each in made_from],
        run=run,
        sort_by=("row_key", "rule", "first_seen"),
        after=_origin(manifest),
    )
    failpoints.hit("quarantine.staged")
    tables.publish(staged, verdict_id=verdict_id, retention=retention)
    failpoints.hit("quarantine.recorded")


def _there(manifest: Manifest) -> defaultdict[date, list[_Row]]:
    days = {date_of(day) for day in manifest.partitions}
    first, last = manifest.partitions[0], manifest.partitions[-1]
    there = rows(manifest.pipeline, manifest.table, first, last).to_pylist()
    return _by_day([row for row in there if row[batches.DAY] in days])


def _by_day(found: Sequence[_Row]) -> defaultdict[date, list[_Row]]:
    by_day = defaultdict(list)
    for row in found:
        by_day[row[batches.DAY]].append(row)
    return by_day


def _origin(manifest: Manifest) -> str:
    return batches.full_id(manifest.batch_id)


def _identity(row: _Row) -> tuple[str, str, str]:
    return row["row_key"], row["rule"], row["payload"]


def _counted(found: Sequence[_Row]) -> Counter[tuple]:
    return Counter(tuple(sorted(row.items())) for row in found)
