"""One delivery, damaged or clean, through the real crossing; and at which stage it is caught, if it is.

The stages are those of a day: the delivery is read (contract), its batch is judged (raw gate), published, and the
features or outcomes of the day that it matters to are built (transform) and judged (derived gate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

from sluice import crossing
from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError, TransformFailedError
from sluice.core.partitions import date_of, days_between
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.ingest import deliveries
from sluice.lake import batches, tables
from sluice.lake.landing import Landing
from sluice_lab.feed import data
from sluice_lab.mutation import material, year
from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators import MUTATORS, Mutator, choose

if TYPE_CHECKING:
    import pyarrow as pa

# Stages at which damage was stopped.
_Stopped = Literal[
    "unreadable",
    "contract",
    "raw gate",
    "transform",
    "derived gate",
    "predictions gate",
    "change of code",
]
STOPPED: tuple[str, ...] = get_args(_Stopped)
Stage = _Stopped | Literal["missed", "harmless"]
# A mutation is drawn where the longest window of a rule (ten weeks, of the registers) has days to look at.
FIRST_MUTATED = "2013-03-12"
_TRIES = 200


@dataclass(frozen=True)
class Case:
    """What became of one delivery.

    `share` is the largest share of keys that the damage changed, of the raw or the derived table; None where the file
    could not be read, so that there is nothing to compare. `rules` are those that failed, holding ones first; `told`
    says that a verdict was WARN; `cause` is the kind of the probable cause, "" where none was asked for.
    """

    number: int
    source: str
    run_day: str
    mutator: str
    kind: str
    did: str
    stage: Stage
    outcome: str
    share: float | None
    rules: tuple[str, ...]
    told: bool
    cause: str = ""

    @property
    def stopped(self) -> bool:
        return self.stage in STOPPED

    @property
    def material(self) -> bool:
        """Whether it counts; a file that could not be read does: none of its rows could have been published right."""
        return self.share is None or self.share >= material.MATERIAL_SHARE


def prepare(say: Callable[[str], None]) -> None:
    """Make the clean year in this home, unless it is there."""
    year.ensure(say)


def mutate(
    flights: Pipeline, seed: int, number: int, *, derived: bool = True, window: Sequence[str] = ()
) -> Case:
    """Draw, do and judge mutation `number` of the run with this seed.

    Args:
        derived: go on to features and outcomes with what passes; without it, what passes the raw gate is missed.
        window: first and last run day to draw from; else all of the year that has a history.
    """
    chosen = choose(MUTATORS, seed, number)
    rng = Random(f"{seed}/{number}")  # noqa: S311 - reproducible on purpose
    draft, run_day, did = _drawn(flights, chosen, rng, window)
    with year.undisturbed():
        return _judged(flights, draft, run_day, chosen, did, number, derived=derived)


def clean(flights: Pipeline, seed: int, number: int, *, window: Sequence[str] = ()) -> Case:
    """Judge clean delivery `number` of the run with this seed; anything but PASS or WARN is a false alarm."""
    rng = Random(f"{seed}/clean/{number}")  # noqa: S311 - reproducible on purpose
    source = list(flights.sources)[number % len(flights.sources)]
    first, last = window or (year.FIRST, year.LAST)
    days = [day for day in days_between(first, last) if _delivered(flights, source, day)]
    run_day = rng.choice(days)
    draft = clean_draft(flights, source, run_day, rng)
    untouched = Mutator("clean", "clean", (source,), "", True, lambda _: "")
    with year.undisturbed():
        return _judged(flights, draft, run_day, untouched, "", number, derived=False)


def _drawn(flights: Pipeline, chosen: Mutator, rng: Random, window: Sequence[str]) -> tuple[Draft, str, str]:
    first, last = window or (FIRST_MUTATED, year.LAST)
    for _ in range(_TRIES):
        source = rng.choice(chosen.sources)
        days = [day for day in days_between(first, last) if _delivered(flights, source, day)]
        run_day = rng.choice(days)
        draft = clean_draft(flights, source, run_day, rng)
        try:
            return draft, run_day, chosen.apply(draft)
        except NotApplicableError:
            continue
    raise AssertionError(f"{chosen.name} applies to no delivery of {', '.join(chosen.sources)}")


def _delivered(flights: Pipeline, source: str, day: str) -> bool:
    if flights.sources[source].cadence == "weekly":
        return date_of(day).weekday() == 0
    return flights.data_day(source, day) >= year.FIRST


def clean_draft(flights: Pipeline, source: str, run_day: str, rng: Random) -> Draft:
    """The clean delivery of a source for a run day, on its way; what is done to it draws from `rng`."""
    day = date_of(flights.data_day(source, run_day))

    def other(day: date) -> pa.Table:
        return data.rows(source, day)

    return Draft(source, flights.sources[source], day, other(day), rng, other)


def deliver(flights: Pipeline, draft: Draft, run_day: str) -> None:
    """Land the file of a draft with a manifest that is right about it."""
    sent, rows = draft.file()
    landing = Landing(flights.landing_url)
    landing.create()
    at = datetime.combine(date_of(run_day), time(8), UTC)
    deliveries.write(landing, flights, draft.source, run_day, sent, rows=rows, number=1, delivered_at=at)


def _judged(
    flights: Pipeline,
    draft: Draft,
    run_day: str,
    chosen: Mutator,
    did: str,
    number: int,
    *,
    derived: bool,
) -> Case:
    source, run = draft.source, Run.of_task(*year.RUN, draft.source)

    def case(
        stage: Stage,
        outcome: str,
        share: float | None,
        rules: Sequence[str] = (),
        *,
        told: bool = False,
        cause: str = "",
    ) -> Case:
        return Case(
            number,
            source,
            run_day,
            chosen.name,
            chosen.kind,
            did,
            stage,
            outcome,
            share,
            tuple(rules),
            told,
            cause,
        )

    deliver(flights, draft, run_day)
    try:
        staged = crossing.stage(flights, source, [run_day], run)
    except DeliveryUnreadableError as error:
        return case("unreadable", type(error).__name__, None)
    except ContractBrokenError as error:
        return case("contract", type(error).__name__, _share_of_draft(draft))
    share = _share(draft, batch_rows(staged))
    verdict = crossing.audit(flights, source, staged.batch_id, run)
    rules = [one.rule for one in verdict.failed]
    if not verdict.publishes:
        cause = verdict.cause.kind if verdict.cause else ""
        return case("raw gate", verdict.outcome, share, rules, cause=cause)
    told = verdict.outcome == "WARN"
    if verdict.quarantined:
        left = _left(draft, verdict.publish_batch_id, staged.batch_id)
        if left < material.MATERIAL_SHARE:
            return case("raw gate", "QUARANTINE", share, rules, told=told)
    if share == 0 or not derived:
        return case(
            "missed" if share >= material.MATERIAL_SHARE else "harmless",
            verdict.outcome,
            share,
            rules,
            told=told,
        )
    crossing.publish(flights, source, verdict.publish_batch_id or staged.batch_id, run)
    tables = [table for table in flights.derived if table != "outcomes" or source == "arrivals"]
    stage, outcome, derived_share, more = derived_tables(flights, tables, run_day)
    share = max(share, derived_share)
    if stage == "missed" and share < material.MATERIAL_SHARE:
        stage = "harmless"
    return case(stage, outcome or verdict.outcome, share, [*rules, *more], told=told or outcome == "WARN")


def derived_tables(
    flights: Pipeline, tables: Sequence[str], run_day: str
) -> tuple[Stage, str, float, list[str]]:
    """Build and judge derived tables of a run day: where it was stopped, the outcome ("" if PASS), share and failed rules."""
    share, told, failed = 0.0, "", []
    for table in tables:
        run = Run.of_task(*year.RUN, table)
        try:
            staged = crossing.stage(flights, table, [run_day], run)
        except (TransformFailedError, ContractBrokenError) as error:
            return "transform", type(error).__name__, share, [error.what]
        clean_rows = published_rows(flights, table, flights.data_day(table, run_day))
        share = max(share, material.derived_share(flights.derived[table].key, clean_rows, batch_rows(staged)))
        verdict = crossing.audit(flights, table, staged.batch_id, run)
        failed += [f"{table}.{one.rule}" for one in verdict.failed]
        if not verdict.publishes:
            return "derived gate", verdict.outcome, share, failed
        told = told or ("WARN" if verdict.outcome == "WARN" else "")
    return "missed", told, share, failed


def _share(draft: Draft, rows: material.Rows, aside: material.Rows = ()) -> float:
    declared = draft.declared
    return material.changed_share(
        draft.source,
        declared.key,
        list(declared.contract.columns),
        draft.table.to_pylist(),
        rows,
        aside=aside,
    )


def _share_of_draft(draft: Draft) -> float | None:
    """Of rows that broke the contract: how many of them were damaged; None where it is the file that was."""
    return None if draft.edits or draft.names else _share(draft, [draft.row(i) for i in range(draft.size)])


def _left(draft: Draft, good_id: str, full_id: str) -> float:
    """The share of changed keys that a split still publishes."""
    manifest = batches.load(year.PIPELINE, draft.source, good_id)
    full = batch_rows(batches.load(year.PIPELINE, draft.source, full_id))
    good = batch_rows(manifest)
    kept = {tuple(map(str, row.values())) for row in good}
    aside = [row for row in full if tuple(map(str, row.values())) not in kept]
    return _share(draft, good, aside)


def batch_rows(manifest: batches.Manifest) -> list[Mapping[str, Any]]:
    """The rows of a staged batch."""
    import pyarrow.parquet as pq

    return [
        row
        for uri in manifest.files.values()
        for row in pq.read_table(uri.removeprefix("file://")).to_pylist()
    ]


def published_rows(flights: Pipeline, table: str, day: str) -> list[Mapping[str, Any]]:
    """What readers see of a day."""
    import pyarrow.parquet as pq

    with TemporaryDirectory(prefix="sluice-mutation-") as scratch:
        (path,) = tables.files(flights.pipeline, table, day, day, into=Path(scratch))
        return pq.read_table(path).to_pylist()
