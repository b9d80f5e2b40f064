"""Waivers that a batch rests on through its inputs: found when it is staged, and looked at again when one of them ends.

The rule kept here: what was made from released data says so. The batches that a stage read are known by their snapshots;
each of them rests on its own waiver, and on those that it recorded of its own inputs, so that one step back is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sluice import ledger, waivers
from sluice.core.errors import BatchUnknownError
from sluice.core.partitions import days_later
from sluice.declare.spec import Pipeline
from sluice.lake import batches, tables
from sluice.lake.batches import full_id
from sluice.lake.waived import WaivedInput
from sluice.ledger import Entry, champion, model_records, publications, records
from sluice.schedule import expected

# Of a waiver that something rests on. `passed`: the batch has passed its gate since. `replaced`: readers see another one.
Standing = Literal["active", "expired", "passed", "replaced"]


@dataclass(frozen=True)
class Rebuild:
    """Something that rests on a waiver which is over, or on a batch that was replaced since."""

    # A derived table, or the model's name.
    subject: str
    # Days of the table; of a model, its version.
    partition: str
    waived: WaivedInput
    standing: Standing
    todo: str

    def sentence(self) -> str:
        why = (
            f"the waiver ended on {self.waived.until}"
            if self.standing == "expired"
            else f"{self.waived.table} {self.waived.partition} was replaced since"
        )
        return f"{self.subject} {self.partition} was made from {self.waived.released}, and {why}. {self.todo}"


def of_inputs(
    spec: Pipeline, table: str, partitions: Sequence[str], inputs: Iterable[Mapping[str, Any]]
) -> tuple[WaivedInput, ...]:
    """The waivers that a batch of `table` rests on through its inputs, as its manifest lists them.

    Args:
        partitions: days of the batch, sorted.
        inputs: a `snapshot` of a table with the days that were read of it (`first`, `last`; the batch's own, where it does
            not say); a registered `model` with its `version`.
    """
    if not ledger.entries(records.Waiver, pipeline=spec.pipeline, limit=1):
        return ()
    found: dict[int, WaivedInput] = {}
    for each in inputs:
        if each["kind"] == "snapshot" and each["snapshot_id"] is not None:
            first, last = each.get("first", partitions[0]), each.get("last", partitions[-1])
            shown = of_days(spec, each["table"], first, last, snapshot_id=each["snapshot_id"])
            readers = _readers(spec, table, each["table"], partitions, first)
            _merge(found, each["table"], ((one, readers(day)) for day, rest in shown.items() for one in rest))
        elif each["kind"] == "model" and each["version"] is not None:
            name = f"{each['name']} version {each['version']}"
            learned = of_model(spec, each["name"], each["version"])
            _merge(
                found,
                name,
                ((one, list(partitions)) for one in learned if standing(spec, one) != "passed"),
            )
    return tuple(found[seq] for seq in sorted(found) if found[seq].days)


def of_days(
    spec: Pipeline, table: str, first: str, last: str, *, snapshot_id: int | None = None
) -> dict[str, tuple[WaivedInput, ...]]:
    """Day -> the waivers that what readers see of it rests on, its own and inherited ones; days without any are left out.

    Args:
        snapshot_id: as of this snapshot instead of now.

    Raises:
        TableMissingError: `snapshot_id` is unknown or expired.
    """
    if not ledger.entries(records.Waiver, pipeline=spec.pipeline, limit=1):
        return {}
    shown = tables.published(spec.pipeline, table, first, last, snapshot_id=snapshot_id)
    recorded: dict[str, tuple[WaivedInput, ...]] = {}
    own: dict[str, Entry | None] = {}
    found = {}

    @cache
    def passed(waived: WaivedInput) -> bool:
        return standing(spec, waived) == "passed"

    for day, partition in shown.items():
        batch_id = partition.batch_id
        if batch_id not in recorded:
            recorded[batch_id] = () if table in spec.sources else of_batch(spec, table, batch_id)
            own[batch_id] = waivers.of_batch(spec, table, batch_id)
        rest = [one for one in recorded[batch_id] if day in one.days and not passed(one)]
        if waiver := own[batch_id]:
            rest.append(_of_entry(waiver, (), (day,)))
        if rest:
            found[day] = tuple(rest)
    return found


def of_model(spec: Pipeline, name: str, version: int) -> tuple[WaivedInput, ...]:
    """The waivers that the training set of a registered version rests on."""
    for entry in ledger.entries(model_records.Trained, pipeline=spec.pipeline, subject=name):
        if entry.record.version == version:
            numbers = {one["waiver"] for one in entry.record.waivers}
            return tuple(_of_entry(each, (), ()) for each in _numbered(spec, numbers))
    return ()


def standing(spec: Pipeline, waived: WaivedInput) -> Standing:
    """What has become of a waiver that something rests on, by the pipeline's clock."""
    (waiver,) = _numbered(spec, {waived.waiver})
    batch_id = waiver.record.batch_id
    judged = waivers.judgement(spec, waiver.subject, waiver.days, batch_id)
    if judged is not None and judged.kind == "verdict":
        return "passed"
    if not _is_shown(spec, waiver, batch_id):
        return "replaced"
    return "expired" if waivers.expired(spec, waivers.newest_of_same(spec, waiver)) else "active"


def derived_from(spec: Pipeline) -> dict[int, list[tuple[str, str]]]:
    """Waiver -> table and day of all that readers see and that was made from what it let be published."""
    found: dict[int, list[tuple[str, str]]] = {}
    for table, day, waived in _shown_derivations(spec, spec.tables):
        found.setdefault(waived.waiver, []).append((table, day))
    return found


def rebuilds(spec: Pipeline) -> list[Rebuild]:
    """Derived partitions, and the champion, that rest on a waiver which is over or on a batch that was replaced since.

    Predictions are not among them: each was made once, at its time, and says by its column what it was made from.
    """
    found = [
        Rebuild(
            table,
            day,
            waived,
            now,
            f"Run {spec.pipeline}_transform again with partition key {spec.run_day(table, day)}.",
        )
        for table, day, waived in _shown_derivations(spec, spec.derived)
        if (now := standing(spec, waived)) in ("expired", "replaced")
    ]
    decided = champion.decisions(spec.pipeline, spec.model.name) if spec.has_model else []
    version = decided[0].record.version if decided else None
    if version is not None:
        found += [
            Rebuild(
                spec.model.name,
                f"version {version}",
                waived,
                now,
                f"Run {spec.pipeline}_train for a new one.",
            )
            for waived in of_model(spec, spec.model.name, version)
            if (now := standing(spec, waived)) in ("expired", "replaced")
        ]
    return found


def recorded_in(published: Entry) -> tuple[WaivedInput, ...]:
    """What a publication's entry records of its waived inputs; nothing, where it is from an earlier version."""
    return tuple(WaivedInput.model_validate(one) for one in published.record.waived_inputs)


def _shown_derivations(spec: Pipeline, names: Iterable[str]) -> Iterator[tuple[str, str, WaivedInput]]:
    """Table, day and waiver of the newest publication of each day that has waived inputs."""
    granted = ledger.entries(records.Waiver, pipeline=spec.pipeline)
    if not granted:
        return
    # A table that lags behind the released one may have a day before it that was made from it.
    lag = max(spec.lag_days(table) for table in spec.tables)
    first = days_later(min(entry.days.first for entry in granted), -lag)
    for table in names:
        if table in spec.sources:
            continue
        for day, entry in publications.newest(spec.pipeline, table, first):
            yield from ((table, day, waived) for waived in recorded_in(entry) if day in waived.days)


def _readers(
    spec: Pipeline, table: str, source: str, partitions: Sequence[str], first: str
) -> Callable[[str], list[str]]:
    """Function: the days of a batch whose rows may be made from a day of an input that was read from `first` on."""
    windows = {day: expected.window(spec, table, source, partitions, first, day) for day in partitions}

    def readers(day: str) -> list[str]:
        return [one for one, window in windows.items() if day in window]

    return readers


def _merge(
    found: dict[int, WaivedInput], through: str, more: Iterable[tuple[WaivedInput, Sequence[str]]]
) -> None:
    for one, days in more:
        before = found.get(one.waiver)
        brought, known = (before.through, before.days) if before else ((), ())
        found[one.waiver] = one.model_copy(
            update={
                "through": tuple(dict.fromkeys([*brought, through])),
                "days": tuple(sorted({*known, *days})),
            }
        )


def _of_entry(waiver: Entry, through: tuple[str, ...], days: tuple[str, ...]) -> WaivedInput:
    return WaivedInput(
        waiver=waiver.seq,
        table=waiver.subject,
        partition=waiver.partition or "",
        by=waiver.record.by,
        until=waiver.record.until,
        through=through,
        days=days,
    )


def _numbered(spec: Pipeline, numbers: set[int]) -> list[Entry]:
    return [one for one in ledger.entries(records.Waiver, pipeline=spec.pipeline) if one.seq in numbers]


def of_batch(spec: Pipeline, table: str, batch_id: str) -> tuple[WaivedInput, ...]:
    """The waivers of its inputs that a batch recorded when it was staged; the ledger has it where the batch was cleared away."""
    if not batch_id:  # another writer put it there
        return ()
    try:
        return batches.load(spec.pipeline, table, batch_id).waived_inputs
    except BatchUnknownError:
        published = ledger.entries(records.Published, pipeline=spec.pipeline, subject=table)
        return next((recorded_in(one) for one in published if one.record.batch_id == batch_id), ())


def _is_shown(spec: Pipeline, waiver: Entry, batch_id: str) -> bool:
    """Whether readers see the batch of a waiver still, on all days that it was for."""
    published = ledger.entries(
        records.Published,
        pipeline=spec.pipeline,
        subject=waiver.subject,
        days=waiver.days,
    )
    return all(
        next((full_id(one.record.batch_id) for one in published if one.covers(day)), "") == batch_id
        for day in waiver.days
    )
