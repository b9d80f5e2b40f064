"""How robust: the AUC against the rate of a corruption, and the rate at which a gate fires.

For each corruption and rate the same few days in a row are damaged and go through the real crossing, which says what
would have stopped them. Then the damaged rows are published without a word of any gate, and the champion predicts from
them: what the gates are there to prevent. A flight that has no prediction under its own key, because its row was
damaged or its day could not be built, counts with the baseline's default: nobody could have said anything of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from sluice.declare.spec import Pipeline
from sluice_lab.mutation import run, unguarded, year
from sluice_lab.mutation.corruptions import Corruption
from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.unguarded import Day, Scores

if TYPE_CHECKING:
    import numpy as np

    from sluice_ml.metrics import Estimate

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# A fall of the AUC above this is harm. It is below half of what the clean AUC is known to: its 95% interval reaches 0.021
# to either side on three days, bootstrapped by flights. So harm is said before anybody could see it in the AUC itself.
HARM = 0.01
# A gate fires at a rate where it fires on this share of the days.
FIRES = 0.5


@dataclass(frozen=True)
class Point:
    """One corruption at one rate (0 to 1), over all days.

    `fall` is the clean AUC less this one, with the interval of that difference: the same flights and the same draws.
    `unpredicted` is the share of flights without a prediction under their own key.
    """

    corruption: str
    rate: float
    days: tuple[Day, ...]
    auc: float
    fall: Estimate
    unpredicted: float

    @property
    def fired(self) -> bool:
        return sum(bool(day.gate) for day in self.days) >= FIRES * len(self.days)

    @property
    def harmful(self) -> bool:
        return self.fall.value > HARM


@dataclass(frozen=True)
class Curve:
    """The points of one corruption, by rate."""

    corruption: Corruption
    points: tuple[Point, ...]

    @property
    def gate_rate(self) -> float | None:
        """The lowest rate at which a gate fires on half of the days or more; None if at no rate."""
        return min((point.rate for point in self.points if point.fired), default=None)

    @property
    def harm_rate(self) -> float | None:
        """The lowest rate at which the AUC has fallen by more than HARM; None if at no rate."""
        return min((point.rate for point in self.points if point.harmful), default=None)

    @property
    def fires_in_time(self) -> bool:
        """Whether a gate fires no later than harm is done, or no harm is done."""
        if self.harm_rate is None:
            return True
        return self.gate_rate is not None and self.gate_rate <= self.harm_rate


@dataclass(frozen=True)
class Measured:
    """All curves over the same run days; `clean` is the AUC of the clean predictions with its interval."""

    seed: int
    days: tuple[str, ...]
    flights: int
    clean: Estimate
    curves: tuple[Curve, ...]

    @property
    def late(self) -> list[Curve]:
        """The curves whose check fails."""
        return [curve for curve in self.curves if not curve.fires_in_time]


def measure(
    flights: Pipeline,
    seed: int,
    days: Sequence[str],
    corruptions: Sequence[Corruption],
    *,
    rates: Sequence[float] = RATES,
    say: Callable[[str], None] = print,
) -> Measured:
    """Measure the curves of some corruptions over some run days in a row. The home has the clean year and a champion."""
    truth = _outcomes(flights, days)
    with year.undisturbed():
        clean = unguarded.predicted(flights, days)
    known = [key for key in truth if key in clean]
    tried: list[tuple[Corruption, float, tuple[Day, ...], Scores]] = []
    for corruption in corruptions:
        # At low rates a day of 72 readings has the same one row hit: it is not judged twice.
        seen: dict[tuple[int, ...], tuple[tuple[Day, ...], Scores]] = {}
        for rate in rates:
            drafts, hits = _damaged(flights, seed, days, corruption, rate)
            if hits not in seen:
                with year.undisturbed():
                    seen[hits] = unguarded.cross(
                        flights, corruption.source, drafts, dict(zip(days, hits, strict=True))
                    )
            found, scores = seen[hits]
            tried.append((corruption, rate, found, scores))
            fired = sum(bool(day.gate) for day in found)
            first = next((day for day in found if day.gate), None)
            by = f": {first.gate} {', '.join(first.rules[:2])}" if first else ""
            say(f"{corruption.name} {rate:.1%}: a gate fired on {fired} of {len(days)} days{by}")
    return _compared(flights, seed, days, truth, known, clean, tried)


def _damaged(
    flights: Pipeline, seed: int, days: Sequence[str], corruption: Corruption, rate: float
) -> tuple[dict[str, Draft], tuple[int, ...]]:
    """The damaged delivery of each run day, and how many of its rows were hit. The rate is no part of what is drawn."""
    drafts, hits = {}, []
    for day in days:
        rng = Random(f"{seed}/{corruption.name}/{day}")  # noqa: S311 - reproducible on purpose
        drafts[day] = run.clean_draft(flights, corruption.source, day, rng)
        hits.append(corruption.apply(drafts[day], rate))
    return drafts, tuple(hits)


def _outcomes(flights: Pipeline, days: Sequence[str]) -> dict[str, bool]:
    """Whether each flight was late, of those of which it is known."""
    key, label = flights.model.key, flights.model.label
    rows: list[Mapping[str, Any]] = [
        row for day in days for row in run.published_rows(flights, flights.model.outcomes_table, day)
    ]
    return {row[key]: row[label] for row in rows if row[label] is not None}


def _compared(
    flights: Pipeline,
    seed: int,
    days: Sequence[str],
    truth: Mapping[str, bool],
    known: Sequence[str],
    clean: Scores,
    tried: Sequence[tuple[Corruption, float, tuple[Day, ...], Scores]],
) -> Measured:
    """The AUC of every point on the same flights and the same draws of flights, beside the clean one."""
    import numpy as np

    from sluice_ml.metrics import METRICS, compare, interval

    place, declared = METRICS.index("auc"), flights.model

    def scored(scores: Scores) -> np.ndarray:
        return np.array([scores.get(key, declared.baseline_default) for key in known], dtype="float64")

    names = [f"{corruption.name} {rate}" for corruption, rate, _, _ in tried]
    measured = compare(
        np.array([truth[key] for key in known]),
        {"clean": scored(clean), **dict(zip(names, (scored(each[3]) for each in tried), strict=True))},
        # The days are given, and the same for both: what is drawn is flights, each for itself.
        np.arange(len(known)),
        resamples=declared.promotion.resamples,
        seed=seed,
    )
    confidence = declared.promotion.confidence
    base, draws = measured["clean"][0][place], measured["clean"][1][:, place]
    points: dict[str, list[Point]] = {}
    for name, (corruption, rate, found, scores) in zip(names, tried, strict=True):
        value, samples = measured[name][0][place], measured[name][1][:, place]
        fall = interval(base - value, draws - samples, confidence)
        gone = sum(key not in scores for key in known) / len(known)
        points.setdefault(corruption.name, []).append(
            Point(corruption.name, rate, found, float(value), fall, gone)
        )
    by_name = {corruption.name: corruption for corruption, _, _, _ in tried}
    curves = tuple(Curve(by_name[name], tuple(each)) for name, each in points.items())
    return Measured(seed, tuple(days), len(known), interval(base, draws, confidence), curves)
