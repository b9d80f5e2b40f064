"""The charts of a model's last days: its AUC beside the baseline's, and what monitoring holds to limits; with what happened to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sluice.models.realised import CALIBRATION, DRIFT, LOSS, OFF, Day, Mark, Realised
from sluice.web.partition import STEP

# Of a chart, in pixels; its ends are round numbers, this far apart at least.
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
# What has a limit -> its heading, what a bar is, and a value as text.
MEASURES = {
    LOSS: (
        "Loss against the baseline, added up",
        "how much less than usual the model has led the baseline, added up over the days (CUSUM), as a share of what is an alarm",
        "{:.0%}",
    ),
    CALIBRATION: (
        "Calibration",
        "log-odds of the realised rate less those of the mean score: above zero where the scores are too low",
        "{:+.2f}",
    ),
    OFF: (
        "Calibration, added up",
        "how far the mean scores have been from the realised rates, added up over the days (CUSUM), as a share of what is an alarm: above zero where the scores are too low",
        "{:+.0%}",
    ),
    DRIFT: (
        "Importance of drifted features",
        "share of the model's importance that is in features which have shifted",
        "{:.0%}",
    ),
}


@dataclass(frozen=True)
class Bar:
    """A day: its place, and what was measured in a sentence; `outcome` has its colour."""

    x: int
    y: float
    height: float
    outcome: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Bars and marks in a box of `width` by HEIGHT, from `low` to `high`."""

    heading: str
    about: str
    width: int
    low: float
    high: float
    bars: list[Bar]
    # Place, kind and words.
    marks: Sequence[tuple[float, str, str]]
    # Heights of the declared limits, and words.
    limits: Sequence[tuple[float, str]] = ()
    # What was estimated, and what another version made of the same rows, where it is not a bar.
    dots: list[Bar] = field(default_factory=list)


def draw_all(realised: Realised) -> list[Chart]:
    """Return the charts of which there is anything to be drawn."""
    charts = [draw(realised), *(_of_limits(realised, name) for name in MEASURES)]
    return [chart for chart in charts if chart]


def draw(realised: Realised) -> Chart | None:
    """Return the chart of the AUCs; None where there is too little to be drawn."""
    counting = [day for day in realised.days if day.counts] if realised.auc else []
    pairs = [
        (day, day.auc, day.baseline_auc)
        for day in counting
        if day.auc is not None and day.baseline_auc is not None
    ]
    estimated = [(day, day.estimated_auc) for day in realised.days if day.estimated_auc is not None]
    frozen = [(day, day.reference_auc) for day in counting if day.reference_auc is not None]
    known = [auc for _, *aucs in pairs for auc in aucs] + [auc for _, auc in (*estimated, *frozen)]
    if not known:
        return None
    low, high = math.floor(min(known) / ROUND) * ROUND, math.ceil(max(known) / ROUND) * ROUND
    scale, place = HEIGHT / max(high - low, ROUND), _places(realised)
    bars = []
    for day, auc, baseline in pairs:
        top, bottom = max(auc, baseline), min(auc, baseline)
        # A day on which both are the same is seen all the same.
        height = max(1.0, (top - bottom) * scale)
        outcome = "PASS" if auc >= baseline else "HOLD"
        bars.append(Bar(place[day.ds], (high - top) * scale, height, outcome, sentence(day)))
    dots = [
        Bar(place[day.ds], (high - auc) * scale - 1, 2, "estimate", f"{day.ds}: AUC {auc:.3f} estimated.")
        for day, auc in estimated
    ] + [
        Bar(
            place[day.ds],
            (high - auc) * scale - 1,
            2,
            "reference",
            f"{day.ds}: AUC {auc:.3f} of version {day.reference}, the frozen reference.",
        )
        for day, auc in frozen
    ]
    about = "AUC of the model beside the baseline's by day"
    return Chart("AUC", about, len(place) * STEP, low, high, bars, _marks(realised), dots=dots)


def _of_limits(realised: Realised, name: str) -> Chart | None:
    """Return the chart of what has a limit: a bar a day from zero; None where nothing of it was measured."""
    heading, about, form = MEASURES[name]
    known = [(day, day.measured[name]) for day in realised.days if name in day.measured]
    if not known:
        return None
    limits = [limit for limit in realised.limits[name] if limit is not None]
    values = [0.0, *limits, *(value for _, value in known)]
    # A little room, so that a limit is not the edge.
    low, high = min(values) * 1.1, max(values) * 1.1
    scale, place = HEIGHT / (high - low), _places(realised)
    bars = []
    for day, value in known:
        beyond = any(value >= limit > 0 or value <= limit < 0 for limit in limits)
        height = max(1.0, abs(value) * scale)
        title = f"{day.ds}: {heading} {form.format(value)}."
        bars.append(
            Bar(place[day.ds], (high - max(value, 0.0)) * scale, height, "HOLD" if beyond else "PASS", title)
        )
    lines = [((high - limit) * scale, f"limit {form.format(limit)}") for limit in limits]
    return Chart(heading, about, len(place) * STEP, low, high, bars, _marks(realised), limits=lines)


def _places(realised: Realised) -> dict[str, int]:
    return {day.ds: place * STEP for place, day in enumerate(realised.days)}


def _marks(realised: Realised) -> list[tuple[float, str, str]]:
    return [
        (place * STEP + STEP / 2, mark.kind, f"{day.ds}: {words(mark)}")
        for place, day in enumerate(realised.days)
        for mark in day.marks
    ]


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


def more(day: Day) -> str:
    """What else was measured of a day; "" where nothing was."""
    said = [] if day.estimated_auc is None else [f"estimated AUC {day.estimated_auc:.3f}"]
    said += [
        f"AUC {day.reference_auc:.3f} of the frozen reference, version {day.reference} ({day.reference_lead:+.3f})"
        for _ in range(day.reference_lead is not None)
    ]
    said += [
        f"{heading.lower()} {form.format(day.measured[name])}"
        for name, (heading, _, form) in MEASURES.items()
        if name in day.measured
    ]
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def words(mark: Mark) -> str:
    """What happened on a day."""
    about = f" {mark.about}" if mark.kind == "rolled_back" else f" ({mark.about})" if mark.about else ""
    return f"{WORDS.get(mark.kind, mark.kind)}{about}"
