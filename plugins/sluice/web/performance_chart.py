"""The chart of realised performance: a bar a day from the baseline's AUC to the model's, and what happened to the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sluice.models.realised import Day, Mark, Realised
from sluice.web.partition import STEP

# Of the chart, in pixels; its ends are round numbers, this far apart at least.
HEIGHT, ROUND = 120, 0.05
# Kind of mark -> what is said of its day.
WORDS = {
    "held": "held",
    "retrain_requested": "a new model was asked for",
    "promoted": "became champion",
    "rolled_back": "rolled back to",
    "refuse": "refused",
    "insufficient_data": "not decided on",
    "experiment": "passed, and stays an experiment",
}


@dataclass(frozen=True)
class Bar:
    """A day that counts: its place, and the two AUCs in a sentence; `outcome` has its colour."""

    x: int
    y: float
    height: float
    outcome: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Bars and marks in a box of `width` by HEIGHT, from the AUC `low` to `high`."""

    width: int
    low: float
    high: float
    bars: Sequence[Bar]
    # Place, kind and words.
    marks: Sequence[tuple[float, str, str]]


def draw(realised: Realised) -> Chart | None:
    """Return the chart; None where there is too little to be drawn."""
    if realised.auc is None:
        return None
    known = [
        value
        for day in realised.days
        if day.counts
        for value in (day.auc, day.baseline_auc)
        if value is not None
    ]
    low, high = math.floor(min(known) / ROUND) * ROUND, math.ceil(max(known) / ROUND) * ROUND
    scale = HEIGHT / max(high - low, ROUND)
    bars, marks = [], []
    for place, day in enumerate(realised.days):
        if day.counts and day.auc is not None and day.baseline_auc is not None:
            top, bottom = max(day.auc, day.baseline_auc), min(day.auc, day.baseline_auc)
            outcome = "PASS" if day.auc >= day.baseline_auc else "HOLD"
            # A day on which both are the same is seen all the same.
            height = max(1.0, (top - bottom) * scale)
            bars.append(Bar(place * STEP, (high - top) * scale, height, outcome, sentence(day)))
        marks += [(place * STEP + STEP / 2, mark.kind, f"{day.ds}: {words(mark)}") for mark in day.marks]
    return Chart(len(realised.days) * STEP, low, high, bars, marks)


def sentence(day: Day) -> str:
    """What was measured of a day."""
    if not day.version:
        return f"{day.ds}: not monitored."
    who = "the baseline" if day.version == "baseline" else f"version {day.version}"
    if day.auc is None or day.baseline_auc is None:
        return f"{day.ds}: {who}, {day.unknown}."
    counts = "" if day.counts else ", does not count"
    return (
        f"{day.ds}: AUC {day.auc:.3f} of {who}, {day.baseline_auc:.3f} of the baseline ({day.auc - day.baseline_auc:+.3f}), "
        f"{day.labelled:,} of {day.rows:,} outcomes{counts}."
    )


def words(mark: Mark) -> str:
    """What happened on a day."""
    return f"{WORDS.get(mark.kind, mark.kind)}{f' ({mark.about})' if mark.about else ''}"
