"""Decide whether a batch may still be published: the newest input wins, in whatever order batches were written.

A batch is superseded where
- a delivery that it was read from is not the one that counts now, or would be read in another way now;
- an input of its own run's days was published anew since it was read (their correction starts a run that builds it again);
- a batch that readers see, or that was staged before it, was made from newer inputs: of any day that both have looked at,
  or with a later champion;
- it is a prediction made with hindsight, and readers see one that was made in time;
- nobody scored it, and readers see predictions;
- a later batch is published (`lake.tables`), which decides where the inputs are the same.

Of the days further back that a table looks at, corrections do not stop a batch by themselves, so that a table that looks
back far can be published while others are backfilled (docs/decisions/0009). For what rests on a waiver they do: a
release is for inputs as they were.

Since a batch that is published had the newest inputs at that moment, and ids sort in the order of staging, the ids of
published batches sort as their inputs do: the quarantine, the list of holds and the commit itself compare only ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from sluice import ledger, schedule
from sluice.core.errors import (
    BatchSupersededError,
    BatchUnknownError,
    ContractBrokenError,
    DeliveryUnreadableError,
)
from sluice.core.partitions import date_of, day_of
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ingest import deliveries
from sluice.ingest.stage import is_as_read
from sluice.lake import batches, inputs, quarantine, tables
from sluice.lake.batches import Manifest, full_id
from sluice.lake.landing import Landing
from sluice.ledger import Entry, champion, records


def require_newest(spec: Pipeline, manifest: Manifest, *, strictly: bool = False) -> None:
    """Refuse a batch whose publication has not begun and whose inputs are not the newest any more.

    It has begun when what the batch sets aside is recorded. Then it was the newest, and it is finished: given up half way,
    rows would be set aside of a batch that nobody sees, and closed of the one that readers do. It undoes nothing by that,
    for what readers see by now is looked at again in the commit (`require_not_behind`).

    Args:
        strictly: also where an input of days further back was corrected, or another champion was promoted.

    Raises:
        BatchSupersededError: it is superseded; says by what.
        LandingUnreachableError: the landing zone does not answer.
    """
    shown = tables.shown(manifest)
    if set(shown.values()) == {manifest.batch_id} or quarantine.has_recorded(manifest):
        return
    tables.check_newer(manifest, shown)
    require_not_behind(spec, manifest, shown)
    if manifest.table in spec.sources:
        why = _other_delivery(spec, manifest, shown)
    else:
        why = _changed_input(spec, manifest, strictly=strictly) or _staged_from_newer(spec, manifest, shown)
    if why:
        raise _superseded(spec, manifest, why)


def require_not_behind(spec: Pipeline, manifest: Manifest, shown: Mapping[str, str]) -> None:
    """Refuse a batch that would replace one that was made from newer inputs, or in time, or predictions by none.

    Args:
        shown: day -> the batch that readers see.

    Raises:
        BatchSupersededError: it would.
    """
    found: dict[str, str] = {}
    for day, batch_id in shown.items():
        other = _load(manifest, batch_id)
        if other is None or full_id(batch_id) == full_id(manifest.batch_id):
            continue
        why = _newer_input_of(manifest, other)
        if (
            manifest.table == PREDICTIONS
            and not inputs.abstained(other.inputs)
            and _is_in_time(spec, other, day)
            and not _is_in_time(spec, manifest, day)
        ):
            why = f"it was made after the time of {day}, and readers see predictions that were made in time"
        if inputs.abstained(manifest.inputs) and other.rows_by_partition.get(day):
            why = f"nobody scored it, and readers see predictions of {day}"
        if why:
            found[day] = why
    if found:
        error = _superseded(spec, manifest, next(iter(found.values())))
        # Of a range whose other days nobody sees something is left to be done.
        error.readers_see_newer = set(found) == set(manifest.partitions)
        raise error


def is_newest(spec: Pipeline, manifest: Manifest) -> bool:
    """Return whether every input of a batch is still what it was when it was read."""
    try:
        require_newest(spec, manifest, strictly=True)
    except BatchSupersededError:
        return False
    return True


def _other_delivery(spec: Pipeline, manifest: Manifest, shown: Mapping[str, str]) -> str:
    """Which delivery of one of its days would be read now instead of the one that was; "" if none would."""
    landing = Landing(spec.landing_url)
    for read in inputs.of(manifest, inputs.Delivery):
        run_day = spec.run_day(manifest.table, read.day)
        try:
            now = deliveries.find(spec, manifest.table, run_day, landing=landing)
        except (DeliveryUnreadableError, ContractBrokenError) as error:
            return f"what is delivered for {read.day} now cannot be read: {error.what}"
        if now is None:
            # The landing zone was cleared: what readers see is the last that is known of.
            other = _load(manifest, shown.get(read.day, ""))
            seen = [one for one in inputs.of(other, inputs.Delivery) if one.day == read.day] if other else []
            if seen and (seen[0].number or 0) > (read.number or 0):
                return f"readers see delivery {seen[0].number} of {read.day}, and this batch was made from {read.number}"
        elif not is_as_read(spec, now, read):
            if now.delivery_id == read.sha256[: len(now.delivery_id)]:
                return f"the contract of {manifest.table} has changed since {now.name} was read"
            return f"{now.name} was delivered since the delivery of {read.day} that this batch was made from was read"
    return ""


def _changed_input(spec: Pipeline, manifest: Manifest, *, strictly: bool) -> str:
    """Which partition that was read has been published with other rows since; "" if none has."""
    run_days = [spec.run_day(manifest.table, day) for day in manifest.partitions]
    for read in inputs.of(manifest, inputs.Snapshot):
        if read.batches is None or read.first is None or read.last is None:
            continue
        own = {spec.data_day(read.table, day) for day in run_days}
        first, last = (read.first, read.last) if strictly else (min(own), max(own))
        for day, now in tables.published(spec.pipeline, read.table, first, last).items():
            before = read.batches.get(day)
            counts = read.first <= day <= read.last and (day in own or before is not None)
            if (
                counts
                and now.batch_id
                and not batches.same_rows(spec.pipeline, read.table, day, before, now.batch_id)
            ):
                return f"{read.table} {day} shows batch {now.batch_id} now, and this batch was made from {before or 'none'}"
    if strictly:
        for model in inputs.of(manifest, inputs.Model):
            decided = _decided(spec, manifest)
            if model.promoted is not None and model.promoted != (decided[0].seq if decided else 0):
                return f"another version of {model.name} has become champion since it was scored"
    return ""


def _decided(spec: Pipeline, manifest: Manifest) -> list[Entry]:
    """The decisions on who is champion, newest first; of predictions that were made late, those before their time."""
    if inputs.made_late(manifest):
        then = schedule.scoring_time(spec, date_of(manifest.partitions[0]))
        return champion.decided_before(spec, then)
    return champion.decisions(spec.pipeline, spec.model.name)


def _staged_from_newer(spec: Pipeline, manifest: Manifest, shown: Mapping[str, str]) -> str:
    """Which batch that was staged before it was made from newer inputs, published or not; "" if none was."""
    floor = min((full_id(shown.get(day, "")) for day in manifest.partitions), default="")
    staged = ledger.entries(
        records.Staged, pipeline=spec.pipeline, subject=manifest.table, days=manifest.days
    )
    for batch_id in sorted({entry.record.batch_id for entry in staged}, reverse=True):
        if not floor < batch_id < full_id(manifest.batch_id):
            continue
        other = _load(manifest, batch_id)
        why = (
            _newer_input_of(manifest, other)
            if other and set(other.partitions) & set(manifest.partitions)
            else ""
        )
        if why:
            return why
    return ""


def _newer_input_of(mine: Manifest, other: Manifest) -> str:
    """Which input of another batch is newer than the same input of mine; "" if none is."""
    theirs = {each.table: each for each in inputs.of(other, inputs.Snapshot)}
    for each in inputs.of(mine, inputs.Snapshot):
        their = theirs.get(each.table)
        if their is None or their.batches is None or each.batches is None or not each.first or not each.last:
            continue
        for day, batch_id in their.batches.items():
            before = each.batches.get(day, "")
            later = each.first <= day <= each.last and before < batch_id
            if later and not batches.same_rows(mine.pipeline, each.table, day, before, batch_id):
                made_from = f"{batch_id} of {each.table} {day}"
                return f"batch {other.batch_id} was made from {made_from}, and this batch was made from {before or 'none'}"
    # Predictions that were made late are the champion's of their time: a later one is no newer input to them.
    late = inputs.made_late(mine) or inputs.made_late(other)
    for model in () if late else inputs.of(mine, inputs.Model):
        for their_model in inputs.of(other, inputs.Model):
            if (model.promoted or 0) < (their_model.promoted or 0) and model.promoted is not None:
                return f"batch {other.batch_id} was scored by a later champion of {model.name}"
    return ""


def _is_in_time(spec: Pipeline, manifest: Manifest, day: str) -> bool:
    """Whether predictions were made in time, by the pipeline's clock; of an earlier version, no later than on their day."""
    for recorded in inputs.of(manifest, inputs.Clock):
        return recorded.today <= day if recorded.made_late is None else not recorded.made_late
    made = day_of(manifest.created_at.astimezone(ZoneInfo(spec.timezone)).date())
    return spec.clock == "wall" and made <= day


def _load(manifest: Manifest, batch_id: str) -> Manifest | None:
    """Another batch of the same table; None where nothing is known of it."""
    try:
        return batches.load(manifest.pipeline, manifest.table, batch_id) if batch_id else None
    except BatchUnknownError:
        return None


def _superseded(spec: Pipeline, manifest: Manifest, why: str) -> BatchSupersededError:
    days = [spec.run_day(manifest.table, day) for day in manifest.partitions]
    again = (
        f"{spec.pipeline}_backfill with first_day {days[0]} and last_day {days[-1]}: it stages them"
        if len(days) > 1
        else f"{spec.pipeline}_{spec.stage_of(manifest.table)} for the run day {days[0]}: it stages the partition"
    )
    return BatchSupersededError(
        f"Batch {manifest.batch_id} is superseded: {why}.",
        where=f"{spec.pipeline}.{manifest.table} {manifest.days}",
        allowed="a batch that was made from the newest inputs",
        todo=f"nothing where readers see the newer rows; else trigger {again} again",
    )
