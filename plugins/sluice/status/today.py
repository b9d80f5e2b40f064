"""Whether what a pipeline has made for its newest day is fit for use, in one sentence, and what stands around it.

The rule kept here: it is computed from what is recorded (the status, the verdict of what readers see, the marks of its rows, the
decision of monitoring), so that it cannot say more than the evidence does.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sluice import holds, ledger, schedule, waivers
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.holds import stopped
from sluice.lake import batches, tables
from sluice.lake.batches import full_id
from sluice.ledger import champion, model_records, records
from sluice.models import roles, rolled_back, scorer
from sluice.status import reading
from sluice.status.parts import STAGES, Item

Fitness = Literal["fit", "reservations", "not_made"]
# What a run day has come to, the worst of its items.
Mark = Literal["done", "open", "held"]

# Run days that are shown.
DAYS = 14
# Of a reason: thirteen rules that failed are one fault. `sluice trace` has all of it.
_REASON_CHARS = 200


@dataclass(frozen=True)
class Today:
    """A pipeline as it stands now."""

    pipeline: str
    title: str
    now: datetime | None
    # The newest run day of which predictions are due, or tables where there is no model; None where there is none yet.
    run_day: str | None
    fitness: Fitness
    # A sentence, and what it rests on: reservations, or what stops the predictions.
    sentence: str
    reasons: tuple[str, ...]
    # Who scores now; "" where there is no model.
    scorer: str
    # What was measured last, and of which day; "" where nothing was on the days that are shown.
    monitoring: str
    # Batches and deliveries that are held, refused or were held too long, and for how many days the oldest has been.
    held: int
    oldest_days: int
    next_run: datetime | None
    # The newest run days, oldest first.
    strip: tuple[tuple[str, Mark], ...]


def read(spec: Pipeline, *, last: str | None = None) -> Today:
    """Read how a pipeline stands.

    Args:
        last: the newest run day that is looked at (YYYY-MM-DD); all that were due, by default.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    found = reading.of(spec, last=last)
    days: dict[str, list[Item]] = {}
    for item in found:
        days.setdefault(item.run_day, []).append(item)
    days = dict(sorted(days.items())[-DAYS:])
    ends = [
        item for items in days.values() for item in items if not spec.has_model or item.table == PREDICTIONS
    ]
    newest = max(ends, key=lambda item: item.run_day, default=None)
    if spec.has_model:
        fitness, sentence, reasons = _fitness(spec, newest, days)
    else:
        fitness, sentence, reasons = _fitness_of_tables(spec, days[newest.run_day] if newest else [])
    open_now = holds.open_batches(spec)
    return Today(
        pipeline=spec.pipeline,
        title=spec.title,
        now=found.now,
        run_day=newest.run_day if newest else None,
        fitness=fitness,
        sentence=sentence,
        reasons=reasons,
        scorer=_scorer(spec) if spec.has_model else "",
        monitoring=_monitoring(spec) if spec.has_model else "",
        held=len(open_now) + len(stopped.expired(spec)),
        oldest_days=max((hold.age_days for hold in open_now), default=0),
        next_run=schedule.next_due(spec, found.now) if found.now and spec.clock == "wall" else None,
        strip=tuple((day, _mark(spec, items)) for day, items in days.items()),
    )


def _fitness(
    spec: Pipeline, newest: Item | None, days: dict[str, list[Item]]
) -> tuple[Fitness, str, tuple[str, ...]]:
    if newest is None:
        return "not_made", "No predictions are due yet.", ()
    if newest.batch_id and (why := scorer.why_nobody_scored(spec, newest.batch_id)):
        since = () if newest.state == "published" else (newest.sentence(),)
        return "not_made", f"Nobody has scored {newest.day}: readers see it without rows.", (why, *since)
    if newest.batch_id is None:
        return "not_made", *_not_made(spec, newest, days[newest.run_day])
    reasons = tuple(dict.fromkeys(_reservations(spec, newest)))
    if reasons:
        return "reservations", f"The predictions of {newest.day} are fit for use with reservations.", reasons
    return "fit", f"The predictions of {newest.day} are fit for use.", ()


def _fitness_of_tables(spec: Pipeline, items: list[Item]) -> tuple[Fitness, str, tuple[str, ...]]:
    """As `_fitness`, of a pipeline without a model: whether readers see all of its newest run day."""
    if not items:
        return "not_made", "No table is due yet.", ()
    day = items[0].run_day
    # A day that was given up asks for nothing more, and readers see nothing of it either.
    left = [item for item in items if not item.is_done or item.batch_id is None]
    reasons = tuple(textwrap.shorten(item.sentence(), _REASON_CHARS, placeholder=" …") for item in left)
    if any(item.batch_id is None for item in left):
        return "not_made", f"Not all tables of the run of {day} are published.", reasons
    doubts = tuple(dict.fromkeys(reason for item in items for reason in _doubts(spec, item)))
    if left:
        return (
            "reservations",
            f"All tables of the run of {day} are published, not all from the newest inputs.",
            (*reasons, *doubts),
        )
    if doubts:
        return "reservations", f"All tables of the run of {day} are published, with reservations.", doubts
    return "fit", f"All tables of the run of {day} are published.", ()


def _not_made(spec: Pipeline, newest: Item, items: list[Item]) -> tuple[str, tuple[str, ...]]:
    """That there are no predictions of a run day, and the first thing on their way that is not done."""
    ways = STAGES[: STAGES.index(newest.stage) + 1]
    left = [item for item in items if not item.is_done and item.stage in ways]
    earlier = max(tables.published(spec.pipeline, PREDICTIONS), default=None)
    readers = f"readers see those of {earlier} as the newest" if earlier else "readers have never seen any"
    return f"The predictions of {newest.day} are not made: {readers}.", tuple(
        textwrap.shorten(item.sentence(), _REASON_CHARS, placeholder=" …")
        for item in left
        if item.stage == left[0].stage
    )


def _reservations(spec: Pipeline, newest: Item) -> Iterator[str]:
    day = newest.day
    if newest.state != "published":
        yield newest.sentence()
    yield from _doubts(spec, newest)
    marks = ("is_baseline", "input_age_days", "made_late", "has_waived_input")
    rows = tables.scan(spec.pipeline, PREDICTIONS, day, day, columns=marks).to_pylist()
    if any(row["is_baseline"] for row in rows):
        yield "The baseline has scored, and no model."
    if age := max((row["input_age_days"] or 0 for row in rows), default=0):
        yield f"They are made from inputs that are {age} day(s) older than they should be."
    if any(row["made_late"] for row in rows):
        yield "They were made after their time."
    if any(row["has_waived_input"] for row in rows):
        yield "They rest on data that a person released although it did not pass its rules."
    moves = champion.decisions(spec.pipeline, spec.model.name) if newest.state == "published" else []
    if why := rolled_back.why_again(batches.made_of(spec.pipeline, newest.table, newest.batch_id), moves):
        yield f"{why[0].upper()}{why[1:]}."
    decided = ledger.entries(model_records.Decided, pipeline=spec.pipeline, subject=spec.model.name, limit=1)
    for entry in decided:
        if entry.record.action != "nothing":
            yield f"Monitoring of {entry.partition}: {' '.join(entry.record.reasons)}"


def _doubts(spec: Pipeline, item: Item) -> Iterator[str]:
    """What its gate said of what readers see, where that is no PASS, and on whose word it is published."""
    verdicts = ledger.entries(records.Verdict, pipeline=spec.pipeline, subject=item.table, partition=item.day)
    judged = [entry for entry in verdicts if entry.record.batch_id == full_id(item.batch_id or "")]
    if judged and judged[0].record.outcome != "PASS":
        yield from judged[0].record.reasons
    for waiver in waivers.of_partitions(spec, item.table, [item.day]).values():
        yield f"{item.table} {item.day} was released by {waiver.record.by} although it did not pass its rules."


def _mark(spec: Pipeline, items: list[Item]) -> Mark:
    if any(item.state in ("held", "missing") for item in items):
        return "held"
    if any(item.table == PREDICTIONS and scorer.has_abstained(spec, item.batch_id) for item in items):
        return "open"
    return "done" if all(item.is_done for item in items) else "open"


def _scorer(spec: Pipeline) -> str:
    now = roles.current(spec)
    if now.champion is None:
        return "the baseline, and no model"
    moves = champion.decisions(spec.pipeline, spec.model.name)
    since = next((f"{champion.since(entry):%Y-%m-%d}" for entry in moves if entry.seq == now.since), "")
    return f"version {now.champion}, champion since {since}"


def _monitoring(spec: Pipeline) -> str:
    for entry in ledger.entries(model_records.Monitored, pipeline=spec.pipeline, limit=DAYS):
        numbers = entry.record
        if numbers.auc is not None:
            return f"AUC {numbers.auc:.3f} on {numbers.ds}, from {numbers.labelled} outcomes"
    return ""


def lines(today: Today) -> Iterator[str]:
    """As text, for a terminal."""
    yield f"{today.pipeline}: {today.sentence}"
    yield from (f"  - {reason}" for reason in today.reasons)
    for name, value in facts(today):
        yield f"  {name:<11} {value}"


def facts(today: Today) -> list[tuple[str, str]]:
    """What stands around the sentence, by name."""
    oldest = f", the oldest for {today.oldest_days} day(s)" if today.oldest_days else ""
    scored = [("scored by", today.scorer), ("measured", today.monitoring or "nothing yet")]
    return [
        *(scored if today.scorer else []),
        ("held", f"{today.held}{oldest}" if today.held else "nothing"),
        *([("next run", f"{today.next_run:%Y-%m-%d %H:%M %Z}")] if today.next_run else []),
    ]
