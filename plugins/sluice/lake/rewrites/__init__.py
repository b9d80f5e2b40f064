"""History: what was published stays what it was, or its change has a record.

The rule kept here: the ledger is what a partition is measured against. A correction is a new publication: it records what it
replaced, with a diff. Any other change of a published partition, whoever made it and however, is an alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchUnknownError, HistoryRewrittenError
from sluice.core.partitions import Partition, day_of, days_later
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.lake import batches, diff, integrity
from sluice.lake.integrity import Difference, Recorded
from sluice.lake.rewrites import change_page
from sluice.ledger import records

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest

# Rewritten partitions that an error names, and replaced ones that a page lists.
_NAMED = 5
_LISTED = 31


@dataclass(frozen=True)
class Pinned:
    """Snapshots that somebody fixed: of each table, what readers saw at that moment, whatever was published since."""

    # Table -> snapshot.
    snapshots: Mapping[str, int]
    # Number of an entry of the ledger that was there before any of them was fixed: what was recorded until then is in them.
    after: int


@dataclass(frozen=True)
class Rewrite:
    """A partition that was changed without a publication, with the diff where the original still exists."""

    found: Difference
    diff: dict[str, Any] | None
    # Its page, under the evidence.
    report: str

    @property
    def table(self) -> str:
        return self.found.table

    @property
    def day(self) -> str:
        return self.found.day

    def sentence(self) -> str:
        """What happened, with hashes and row counts, and no value of a row."""
        recorded, shown = self.found.recorded, self.found.shown
        was = f"{recorded.rows:,} rows, sha256 {recorded.sha256[:16]}" if recorded else "nothing"
        now = (
            f"{_rows(shown.rows)}, sha256 {(self.found.sha256 or 'of nothing')[:16]}" if shown else "nothing"
        )
        said = f"{self.table} {self.day} was {_HOW[self.found.problem]}: recorded {was}; found {now}."
        return f"{said} {diff.sentence(self.diff)}" if self.diff else said


_HOW = {
    "edited": "edited in place",
    "overwritten": "overwritten by another writer",
    "removed": "removed",
    "unknown": "put there by another writer",
}


def _rows(count: int | None) -> str:
    return "no readable rows" if count is None else f"{count:,} rows"


def publication(spec: Pipeline, manifest: Manifest) -> dict[str, Any]:
    """What the ledger records of a publication besides its batch; asked for before it is recorded.

    Returns: `partitions`, the hash and rows of each day; and, where it replaces another batch with other rows,
        `replaced` (day -> the batch before), `diff` (see `lake.diff.compare`; None where the old rows are gone) and
        `report`, its page under the evidence.
    """
    days = manifest.partitions
    data: dict[str, Any] = {
        "partitions": {
            day: {"sha256": manifest.hashes[day], "rows": manifest.rows_by_partition[day]} for day in days
        }
    }
    before = recorded(spec, manifest.table, days[0], days[-1])
    replaced = {
        day: before[day] for day in days if day in before and before[day].sha256 != manifest.hashes[day]
    }
    if replaced:
        data["replaced"] = {day: old.batch_id for day, old in replaced.items()}
        originals = [_original(spec, manifest.table, day, old) for day, old in replaced.items()]
        before_files = [file for file in originals if file]
        after_files = [manifest.files[day] for day in replaced]
        whole = len(before_files) == len(after_files)
        data["diff"] = compare(spec, manifest.table, before_files, after_files) if whole else None
        data["report"] = _correction_page(spec, manifest, replaced, data["diff"])
    return data


def _correction_page(
    spec: Pipeline, manifest: Manifest, replaced: Mapping[str, Recorded], changed: dict[str, Any] | None
) -> str:
    partition = Partition.of(tuple(replaced))
    facts: dict[str, Any] = {"Batch": manifest.batch_id, "Run": manifest.run.run_id}
    for day, old in list(replaced.items())[:_LISTED]:
        facts[f"Before, {day}"] = f"batch {old.batch_id}, {old.rows:,} rows, sha256 {old.sha256}"
        facts[f"After, {day}"] = f"{manifest.rows_by_partition[day]:,} rows, sha256 {manifest.hashes[day]}"
    return change_page.write(
        f"{spec.pipeline}/corrections/{partition}/{manifest.table}_{manifest.batch_id}.html",
        kind="correction",
        title=f"{spec.pipeline} {manifest.table} {partition} was corrected",
        sentence=diff.sentence(changed) if changed else "A new publication replaced the rows.",
        facts=facts,
        diff=changed,
    )


def recorded(
    spec: Pipeline, table: str, start: str, end: str, *, as_of: int | None = None
) -> dict[str, Recorded]:
    """Day -> what was published last, for the days `start` to `end` (inclusive) that ever were.

    Args:
        as_of: number of the ledger's entry that was the last then; now, if not given.
    """
    found: dict[str, Recorded] = {}
    for entry in ledger.entries(
        records.Published, pipeline=spec.pipeline, subject=table, days=Partition(start, end)
    ):
        if as_of is not None and entry.seq > as_of:
            continue
        for day, part in entry.record.partitions.items():
            if start <= day <= end and day not in found:
                found[day] = Recorded(entry.record.batch_id, part.sha256, part.rows)
    return dict(sorted(found.items()))


def check(
    spec: Pipeline,
    days: int | None = None,
    *,
    until: str | None = None,
    tables: Iterable[str] | None = None,
    pinned: Pinned | None = None,
) -> list[Rewrite]:
    """Compare the published partitions of the last `days` days with the ledger; record each that was rewritten.

    Args:
        days: `integrity_days` of the pipeline, if not given.
        until: the last run day (YYYY-MM-DD) of the window; today, if not given.
        tables: all tables of the pipeline, if not given.
        pinned: look at these snapshots instead of the current ones, and compare them with what was published then.
    """
    last = until or day_of(pipeline_clock.today(spec))
    span = spec.integrity_days if days is None else days
    start = days_later(last, 1 - span)
    found: list[Rewrite] = []
    for table in spec.tables if tables is None else tables:
        # A day later: a schedule may be published before its day.
        end = days_later(last, 1)
        snapshot_id = pinned.snapshots.get(table) if pinned else None
        as_of = pinned.after if pinned and snapshot_id is not None else None
        known = recorded(spec, table, start, end, as_of=as_of)
        for difference in integrity.differences(
            spec.pipeline, table, start, end, known, snapshot_id=snapshot_id
        ):
            if not _under_way(spec, difference) and not _published_since(spec, difference, as_of):
                found.append(_record(spec, difference))
    return found


def require_intact(spec: Pipeline, days: int, *, until: str, pinned: Pinned | None = None) -> None:
    """Refuse to go on where history was rewritten; takes what `check` takes.

    Raises:
        HistoryRewrittenError: names the partitions.
    """
    rewrites = check(spec, days, until=until, pinned=pinned)
    if not rewrites:
        return
    named = " ".join(rewrite.sentence() for rewrite in rewrites[:_NAMED])
    more = f" And {len(rewrites) - _NAMED} more." if len(rewrites) > _NAMED else ""
    raise HistoryRewrittenError(
        f"{len(rewrites)} published partition(s) are not what the ledger recorded. {named}{more}",
        where=f"{spec.pipeline}, the {days} days to {until}",
        allowed="partitions as they were published, or corrected by a new publication",
        todo=f"find out who wrote to {rewrites[0].table}; to bring it back, {way_back(spec, rewrites[0])}",
    )


def way_back(spec: Pipeline, rewrite: Rewrite) -> str:
    """How a rewritten partition becomes a published one again, in words."""
    run_day = spec.run_day(rewrite.table, rewrite.day)
    if rewrite.found.problem == "unknown":
        return f"delete the rows of {rewrite.day} from the table, or land and publish that day"
    return f"trigger {spec.pipeline}_{spec.stage_of(rewrite.table)} with partition key {run_day}: it publishes the day again"


def compare(spec: Pipeline, table: str, before: Sequence[str], after: Sequence[str]) -> dict[str, Any]:
    """The diff of two versions of a table's rows, with examples where they hold no personal data."""
    return diff.compare(before, after, ["ds", *spec.key_of(table)], examples=spec.may_quote(table))


def _record(spec: Pipeline, difference: Difference) -> Rewrite:
    old, shown = difference.recorded, difference.shown
    original = _original(spec, difference.table, difference.day, old) if old else None
    readable = shown is not None and shown.rows is not None and difference.sha256 is not None
    compared = (
        compare(spec, difference.table, [original], shown.files) if original and readable and shown else None
    )
    rewrite = Rewrite(
        difference,
        compared,
        f"{spec.pipeline}/alarms/{difference.day}/{difference.table}_{(difference.sha256 or 'gone')[:12]}.html",
    )
    change_page.write(
        rewrite.report,
        kind="alarm",
        title=f"{spec.pipeline} {difference.table} {difference.day} was {_HOW[difference.problem]}",
        sentence=rewrite.sentence(),
        facts={
            "Recorded": f"batch {old.batch_id}, {old.rows:,} rows, sha256 {old.sha256}" if old else "nothing",
            "Found": f"{_rows(shown.rows)}, sha256 {difference.sha256}" if shown else "nothing",
            "Files": ", ".join(shown.files) if shown else "none",
            "Way back": way_back(spec, rewrite),
        },
        diff=compared,
    )
    ledger.append(
        records.Rewritten(
            problem=difference.problem,
            batch_id=old.batch_id if old else None,
            recorded=old.sha256 if old else None,
            found=difference.sha256,
            recorded_rows=old.rows if old else None,
            found_rows=shown.rows if shown else None,
            diff=compared,
            report=rewrite.report,
            reasons=[rewrite.sentence()],
        ),
        pipeline=spec.pipeline,
        subject=difference.table,
        partition=difference.day,
        once=f"rewritten:{spec.pipeline}.{difference.table}:{difference.day}:"
        f"{old.sha256 if old else ''}:{difference.sha256 or ''}",
    )
    return rewrite


def _under_way(spec: Pipeline, difference: Difference) -> bool:
    """Whether a partition is only ahead of the ledger: committed by a publish that has not recorded it yet."""
    shown, old = difference.shown, difference.recorded
    if shown is None or shown.masked or not shown.batch_id or (old and shown.batch_id <= old.batch_id):
        return False
    try:
        manifest = batches.load(spec.pipeline, difference.table, shown.batch_id)
    except BatchUnknownError:
        return False
    if manifest.hashes.get(difference.day) != difference.sha256:
        return False
    judged = ledger.entries(pipeline=spec.pipeline, subject=difference.table, partition=manifest.days)
    return any(
        shown.batch_id in (entry.record.publish_batch_id, entry.record.batch_id)
        for entry in judged
        if entry.kind in ("verdict", "held")
    )


def _published_since(spec: Pipeline, difference: Difference, as_of: int | None) -> bool:
    """Whether a fixed snapshot shows a publication that was recorded only after the moment that it is compared with."""
    shown, day = difference.shown, difference.day
    if as_of is None or shown is None or shown.masked:
        return False
    return any(
        entry.seq > as_of
        and entry.record.batch_id == shown.batch_id
        and (part := entry.record.partitions.get(day))
        and part.sha256 == difference.sha256
        for entry in ledger.entries(
            records.Published, pipeline=spec.pipeline, subject=difference.table, days=Partition(day, day)
        )
    )


def _original(spec: Pipeline, table: str, day: str, old: Recorded) -> str | None:
    """A staged file with the recorded content of a partition: of its batch, or of another attempt's; None if all are gone."""
    attempts = ledger.entries(records.Staged, pipeline=spec.pipeline, subject=table, days=Partition(day, day))
    for batch_id in dict.fromkeys([old.batch_id, *(entry.record.batch_id for entry in attempts)]):
        try:
            manifest = batches.load(spec.pipeline, table, batch_id)
        except BatchUnknownError:
            continue
        if manifest.hashes.get(day) == old.sha256 and integrity.sha256_of(manifest.files[day]) == old.sha256:
            return manifest.files[day]
    return None
