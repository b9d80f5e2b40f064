"""`python -m benchmarks.model_gate`: judge the models of a clean year, from which the limits of the model gate were chosen.

On the 1st and the 16th of each month from April on (and on 28 December) a linear and a boosted model are fitted as a training fits what
it judges, and judged on the held-out days: by themselves, against each model of the two months before, and with the scores of each
carrier shuffled. `SLUICE_HOME` must be an empty folder, or one in which this or `sluice mutate` made the clean year.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import click
import numpy as np
import pyarrow as pa

from sluice.core.progress import timed
from sluice.declare import spec
from sluice.models.config import model_config
from sluice_lab.mutation import year
from sluice_ml import boosting, checks, linear
from sluice_ml.config import ModelConfig
from sluice_ml.metrics import daily
from sluice_ml.model import BaselineModel, encode

MORNINGS = (
    *(
        f"2013-{month:02d}-{day}"
        for month in range(4, 13)
        for day in ("01", "16")
        if (month, day) != (12, "16")
    ),
    "2013-12-28",
)
# Rounds of the boosted model, as some of 2013's candidates had; and how many mornings earlier champions were made: one and two months.
ROUNDS, EARLIER = 60, (2, 4)
# Rows of a carrier in the held-out days: up to which a line of what was seen goes.
SIZES = (300, 700, 1500, 2500)


@dataclass(frozen=True)
class Kept:
    """The held-out rows of a morning, the scores of two kinds of model and their mean daily AUC on what they learned, and the models."""

    test: pa.Table
    scores: dict[str, np.ndarray]
    baseline: np.ndarray
    learned: dict[str, float]
    models: tuple[Any, bytes, dict[str, list[str]]]


@click.command()
def main() -> None:
    """Fit the models, and print what the checks make of them."""
    say = timed(click.echo)
    flights = spec.load(year.PIPELINE)
    config = model_config(flights)
    year.ensure(say)
    kept = []
    for morning in MORNINGS:
        say(f"models of {morning}")
        kept.append(_fit(flights, config, morning))
    for line in _alone(kept, config):
        click.echo(line)
    for line in _against_champions(kept, config):
        click.echo(line)
    for line in _shuffled(kept, config):
        click.echo(line)


def _fit(flights: spec.Pipeline, config: ModelConfig, morning: str) -> Kept:
    import json

    from sluice.lake import tables
    from sluice.models import trainset
    from sluice_ml.splits import label_of, labelled, split
    from sluice_ml.training import _Learned

    names = (flights.model.features_table, flights.model.outcomes_table)
    snapshots = {
        name: found for name in names if (found := tables.snapshot_id(flights.pipeline, name)) is not None
    }
    rows = trainset.read(flights, morning, snapshots).rows
    parts = split(labelled(rows, config)[0], config)
    learned = _Learned(parts.learn, config)
    sizes = [len(learned.vocabulary[name]) for name in config.categorical]
    models = (
        json.loads(linear.fit(learned.matrix, learned.label, config, sizes)),
        boosting.fit(learned.matrix, learned.label, config, ROUNDS),
        learned.vocabulary,
    )
    label, day = label_of(parts.learn, config), parts.learn["ds"].to_numpy()
    on_learned = {
        kind: float(np.nanmean(daily(label, score, day)))
        for kind, score in _score(models, parts.learn, config).items()
    }
    baseline = BaselineModel(config.baseline, config.baseline_default).score(parts.test)
    return Kept(parts.test, _score(models, parts.test, config), baseline, on_learned, models)


def _score(
    models: tuple[Any, bytes, dict[str, list[str]]], rows: pa.Table, config: ModelConfig
) -> dict[str, np.ndarray]:
    import xgboost

    weights, trees, vocabulary = models
    matrix = encode(rows, config.numeric, config.categorical, vocabulary)
    booster = xgboost.Booster({"nthread": config.threads})
    booster.load_model(bytearray(trees))
    return {
        "linear": linear.predict(weights, matrix),
        "boosted": booster.inplace_predict(matrix).astype("float64"),
    }


def _judged(one: Kept, kind: str, config: ModelConfig, champion: np.ndarray | None = None) -> checks.Judged:
    label = one.test[config.label].to_numpy()
    return checks.Judged(
        rows=one.test,
        label=label,
        day=one.test["ds"].to_numpy(),
        score=one.scores[kind],
        rival="baseline" if champion is None else "champion",
        rival_score=one.baseline if champion is None else champion,
        may_compare=np.ones(len(label), dtype=bool),
        peer="the other kind" if champion is None else "the champion",
        peer_score=next(score for other, score in one.scores.items() if other != kind)
        if champion is None
        else champion,
        learned_daily_auc=one.learned[kind],
        shows_values=True,
        needed_days=config.comparison_days,
        min_outcomes=config.gate.min_outcomes,
        confidence=config.confidence,
        resamples=config.resamples,
        seed=config.seed,
    )


def _alone(kept: list[Kept], config: ModelConfig) -> Iterator[str]:
    gate = replace(config.gate, flips=None, value=None)
    for morning, one in zip(MORNINGS, kept, strict=True):
        for kind in one.scores:
            for found in checks.run(_judged(one, kind, config), gate):
                numbers = found.numbers
                more = ""
                if found.check == "slices":
                    found_of = numbers["slices"]
                    level = max(
                        (each["level"] for each in found_of), key=lambda of: max(of["low"], -of["high"])
                    )
                    auc = min((each["auc"]["high"], each["slice"]) for each in found_of if each["auc"])
                    more = f" furthest level {level['low']:+.2f} to {level['high']:+.2f}, lowest upper end of an AUC {auc[0]:+.3f} ({auc[1]})"
                yield f"{morning} {kind} {found.state} {found.check}: {found.sentence}{more}"


def _against_champions(kept: list[Kept], config: ModelConfig) -> Iterator[str]:
    # What is asked of pairs and of shuffled carriers needs no draws.
    config = replace(config, resamples=100)
    for at, one in enumerate(kept):
        for before in (at - back for back in EARLIER if back <= at):
            for other, champion in _score(kept[before].models, one.test, config).items():
                for kind in one.scores:
                    judged = _judged(one, kind, config, champion)
                    pair = f"{MORNINGS[at]} {kind} against {MORNINGS[before]} {other}"
                    for found in checks.run(
                        judged, replace(config.gate, constant=None, calibration=None, learned_gap=None)
                    ):
                        yield f"{pair} {found.state} {found.check}: {found.sentence}"


def _shuffled(kept: list[Kept], config: ModelConfig) -> Iterator[str]:
    drawn, config = np.random.default_rng(config.seed), replace(config, resamples=100)
    gate = replace(config.gate, constant=None, calibration=None, learned_gap=None, flips=None, value=None)
    seen: dict[int, list[bool]] = {}
    for one in kept:
        carriers = one.test["carrier"].to_numpy().astype(str)
        for carrier in np.unique(carriers):
            place = carriers == carrier
            score = one.scores["boosted"].copy()
            score[place] = drawn.permutation(score[place])
            bad = _judged(
                replace(one, scores={**one.scores, "boosted": score}),
                "boosted",
                config,
                one.scores["boosted"],
            )
            found = checks.run(bad, gate)[0]
            size = next((limit for limit in SIZES if place.sum() <= limit), 10**6)
            seen.setdefault(size, []).append(f"carrier {carrier} is " in found.sentence)
    for size, each in sorted(seen.items()):
        yield f"a carrier of up to {size:,} rows, shuffled: seen in {sum(each)} of {len(each)}"


if __name__ == "__main__":
    main()
