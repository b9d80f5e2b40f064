"""Damaged days as the gates see them, and as they would have been predicted had no gate been there.

The gates are asked by the real crossing. Then the damaged rows are published without a word of any gate, the features
are built from them, and the champion scores them: what the gates are there to prevent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from sluice import crossing
from sluice.core.errors import ContractBrokenError, DeliveryUnreadableError, TransformFailedError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import batches
from sluice.transform import database, project, runner
from sluice_lab.mutation import run, year
from sluice_lab.mutation.draft import Draft

Gate = Literal["", "unreadable", "contract", "raw gate", "transform", "features gate", "predictions gate"]
# Scores by key of the flight.
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Day:
    """What became of one damaged day: the first gate that held it or set rows aside ("" if none did), and its rules."""

    run_day: str
    hit: int
    gate: Gate
    outcome: str
    rules: tuple[str, ...]


def cross(
    flights: Pipeline, source: str, drafts: Mapping[str, Draft], hits: Mapping[str, int]
) -> tuple[tuple[Day, ...], Scores]:
    """What the gates say of each day, and what would have been predicted had none been asked."""
    found = {day: _judged_raw(flights, source, draft, day, hits[day]) for day, draft in drafts.items()}
    for day, draft in drafts.items():
        _publish_unjudged(flights, draft, flights.data_day(source, day))
    scores = _unguarded(flights, list(drafts))
    for day in drafts:
        if not found[day].gate:
            found[day] = _judged_derived(flights, found[day])
    return tuple(found.values()), scores


def _judged_raw(flights: Pipeline, source: str, draft: Draft, day: str, hit: int) -> Day:
    ids = Run.of_task(*year.RUN, source)
    run.deliver(flights, draft, day)
    try:
        staged = crossing.stage(flights, source, [day], ids)
    except DeliveryUnreadableError as error:
        return Day(day, hit, "unreadable", type(error).__name__, ())
    except ContractBrokenError as error:
        return Day(day, hit, "contract", type(error).__name__, ())
    return _asked(flights, staged, day, hit, "raw gate")


def _judged_derived(flights: Pipeline, before: Day) -> Day:
    """Go on with a day that its raw gate let pass: the transform with its tests, features, predictions."""
    day, hit, table = before.run_day, before.hit, flights.model.features_table
    try:
        staged = crossing.stage(flights, table, [day], Run.of_task(*year.RUN, table))
    except TransformFailedError as error:
        return Day(day, hit, "transform", type(error).__name__, ())
    judged = _asked(flights, staged, day, hit, "features gate", before.rules)
    if judged.gate:
        return judged
    crossing.publish(flights, table, staged.batch_id, Run.of_task(*year.RUN, table))
    staged = crossing.stage(flights, PREDICTIONS, [day], Run.of_task(*year.RUN, PREDICTIONS))
    return _asked(flights, staged, day, hit, "predictions gate", judged.rules)


def _asked(
    flights: Pipeline,
    staged: batches.Manifest,
    day: str,
    hit: int,
    gate: Gate,
    warned: tuple[str, ...] = (),
) -> Day:
    """One gate's word: it fires where it does not publish, and where it sets rows aside."""
    verdict = crossing.audit(flights, staged.table, staged.batch_id, Run.of_task(*year.RUN, staged.table))
    fires = not verdict.publishes or bool(verdict.quarantined)
    outcome = "QUARANTINE" if fires and verdict.publishes else verdict.outcome
    # Of a gate that fires, the rules that made it; else those that only warn, of all gates so far.
    failed = [one.rule for one in verdict.failed if not fires or one.severity != "warn"]
    return Day(day, hit, gate if fires else "", outcome, tuple(failed) if fires else (*warned, *failed))


def _publish_unjudged(flights: Pipeline, draft: Draft, day: str) -> None:
    """Show the damaged rows to readers without asking anybody."""
    import pyarrow as pa

    rows = draft.arrow()
    rows = rows.append_column("ds", pa.repeat(pa.scalar(draft.day), rows.num_rows))
    rows = rows.append_column("delivery_id", pa.repeat("da3a6ed", rows.num_rows))
    year.publish_unjudged(flights, draft.source, rows, [day], draft.declared.key)


def _unguarded(flights: Pipeline, days: list[str]) -> Scores:
    """What would be predicted of published damage; a day of which no features can be built has no scores."""
    if _built_untested(flights, days):
        return predicted(flights, days)
    if len(days) == 1:
        return {}
    return {key: score for day in days for key, score in _unguarded(flights, [day]).items()}


def _built_untested(flights: Pipeline, days: list[str]) -> bool:
    """Build the features of some days in a row without dbt's tests, and show them; False where not even that works."""
    table = flights.model.features_table
    model = flights.derived[table].model
    settings().work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unguarded-", dir=settings().work) as name:
        folder = Path(name)
        path = folder / database.FILE
        read = project.sources(project.manifest(flights), flights, model)
        files, _ = runner.published_files(flights, read, days[0], days[-1], into=folder / "files")
        database.create(flights, days[0], days[-1], files, path)
        ran = project.invoke(
            flights, ["run", "--select", f"+{model}"], workdir=folder, parsed=project.manifest(flights)
        )
        if any(str(result.status) != "success" for result in ran.results):
            return False
        built = next(result.node for result in ran.results if result.node.name == model)
        with database.connect(path) as con:
            rows = con.sql(f"select * from {built.relation_name}").to_arrow_table()  # noqa: S608 - dbt's own name
    year.publish_unjudged(flights, table, rows, days, flights.derived[table].key)
    return True


def predicted(flights: Pipeline, days: Sequence[str]) -> Scores:
    """The champion's scores of the published features, by key."""
    scores: dict[str, float] = {}
    for day in days:
        staged = crossing.stage(flights, PREDICTIONS, [day], Run.of_task(*year.RUN, PREDICTIONS))
        scores |= {row[flights.model.key]: row["score"] for row in run.batch_rows(staged)}
    return scores
