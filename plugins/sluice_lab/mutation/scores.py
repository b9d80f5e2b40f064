"""Predictions, corrupted after they were scored and before their gate; and whether the gate holds them.

The champion, trained once, scores three months of the clean year. A mutation takes the published predictions of a day, damages
their rows, and stages them with the inputs that they were really made of: the model, the snapshot, the batch of features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from sluice import crossing
from sluice.core.errors import ContractBrokenError
from sluice.core.partitions import days_between, days_later
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import batches, tables
from sluice_lab.mutation import champion, material, run, year
from sluice_lab.mutation.draft import NotApplicableError
from sluice_lab.mutation.mutators import SCORE_MUTATORS, Mutator, choose
from sluice_lab.mutation.predictions import BASELINE, SEGMENTS, Predictions
from sluice_lab.mutation.run import Case, Stage

# Run days that are scored: from the champion's first on, as long as monitoring lets a model grow old (`max_model_age_days`) after
# four weeks of predictions to look back on. Those after the four weeks are damaged.
FIRST, LAST = champion.TRAINED, days_later(champion.TRAINED, 28 + 59)
_HISTORY = 28
_RUN = Run.of_task(*year.RUN, PREDICTIONS)
_TRIES = 200


def prepare(say: Callable[[str], None]) -> None:
    """Make the clean year, its champion and the predictions of `FIRST` to `LAST` in this home, unless they are there."""
    year.ensure(say)
    flights = spec.load(year.PIPELINE)
    if not tables.published(flights.pipeline, PREDICTIONS, LAST, LAST):
        say(f"training the champion, as of {champion.TRAINED}")
        champion.train(flights, champion.TRAINED)
        publish(flights, days_between(FIRST, LAST), say)


def publish(flights: Pipeline, days: Sequence[str], say: Callable[[str], None]) -> None:
    """Score run days and show their predictions to readers, as part of the clean year, without asking a gate."""
    say(f"scoring {days[0]} to {days[-1]}")
    for day in days:
        tables.publish(crossing.stage(flights, PREDICTIONS, [day], _RUN), verdict_id=year.UNJUDGED)
    year.keep()


def mutate(
    flights: Pipeline,
    seed: int,
    number: int,
    *,
    window: tuple[str, str] = (days_later(FIRST, _HISTORY), LAST),
) -> Case:
    """Draw, do and judge mutation `number` of the run with this seed.

    Args:
        window: first and last run day to draw from.
    """
    chosen = choose(SCORE_MUTATORS, seed, number)
    rng = Random(f"{seed}/{PREDICTIONS}/{number}")  # noqa: S311 - reproducible on purpose
    for _ in range(_TRIES):
        day = rng.choice(days_between(*window))
        made = published(flights, day, rng)
        try:
            did = chosen.apply(made)
        except NotApplicableError:
            continue
        return _judged(flights, day, made, chosen, did, number)
    raise AssertionError(f"{chosen.name} applies to no predictions of {window[0]} to {window[1]}")


def clean(
    flights: Pipeline,
    seed: int,
    number: int,
    *,
    window: tuple[str, str] = (days_later(FIRST, _HISTORY), LAST),
) -> Case:
    """Judge clean day `number` of the run with this seed; all days once, before one comes again."""
    days = days_between(*window)
    Random(f"{seed}/clean").shuffle(days)  # noqa: S311 - reproducible on purpose
    day = days[number % len(days)]
    rng = Random(f"{seed}/clean/{number}")  # noqa: S311 - reproducible on purpose
    untouched = Mutator("clean", "clean", (PREDICTIONS,), "", True, lambda _: "")
    return _judged(flights, day, published(flights, day, rng), untouched, "", number)


def published(flights: Pipeline, day: str, rng: Random) -> Predictions:
    """The clean predictions of a day, on their way; what is done to them draws from `rng`."""
    key, manifest = flights.model.key, _manifest(flights, day)
    table = batches.read(manifest, day)
    features = {row[key]: row for row in run.published_rows(flights, flights.model.features_table, day)}
    rows = [features[one] for one in table[key].to_pylist()]
    beside = {name: [row[name] for row in rows] for name in (*SEGMENTS, BASELINE)}
    return Predictions(
        table, beside, rng, lambda days: run.published_rows(flights, PREDICTIONS, days_later(day, -days))
    )


def _manifest(flights: Pipeline, day: str) -> batches.Manifest:
    shown = tables.published(flights.pipeline, PREDICTIONS, day, day)
    return batches.load(flights.pipeline, PREDICTIONS, shown[day].batch_id)


def _judged(flights: Pipeline, day: str, made: Predictions, chosen: Mutator, did: str, number: int) -> Case:
    key = flights.model.key
    share = material.derived_share([key], made.table.to_pylist(), made.written())

    def case(stage: Stage, outcome: str, rules: Sequence[str] = (), *, told: bool = False) -> Case:
        return Case(
            number, PREDICTIONS, day, chosen.name, chosen.kind, did, stage, outcome, share, tuple(rules), told
        )

    with year.undisturbed():
        try:
            staged = batches.stage(
                flights.pipeline,
                PREDICTIONS,
                made.arrow(),
                partitions=[day],
                received=made.size,
                dropped={},
                inputs=_manifest(flights, day).inputs,
                run=_RUN,
                sort_by=[key],
            )
        except ContractBrokenError as error:
            return case("contract", type(error).__name__)
        verdict = crossing.audit(flights, PREDICTIONS, staged.batch_id, _RUN)
    rules = [one.rule for one in verdict.failed]
    if not verdict.publishes:
        return case("predictions gate", verdict.outcome, rules)
    stage: Stage = "missed" if share >= material.MATERIAL_SHARE else "harmless"
    return case(stage, verdict.outcome, rules, told=verdict.outcome == "WARN")
