"""Damage to predictions, as a fault of scoring or of what comes after it would do it."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from sluice_lab.mutation.draft import NotApplicableError
from sluice_lab.mutation.mutators.registry import score_mutator
from sluice_lab.mutation.predictions import BASELINE, Predictions


def _changed(made: Predictions, what: str, function: Callable[[float], float]) -> str:
    """Change the scores of all rows, a random share or one segment."""
    rows, where = made.rows()
    made.change("score", rows, function)
    return f"scores are {what} {where}"


def _exchanged(made: Predictions, rows: list[int], source: list[int]) -> None:
    """Give rows the scores that others have."""
    found = [made.scores[i] for i in source]
    for i, value in zip(rows, found, strict=True):
        made.scores[i] = value


@score_mutator("inverted")
def inverted(made: Predictions) -> str:
    """Scores are those of the other class."""
    return _changed(made, "inverted", lambda s: 1 - s)


@score_mutator("scale")
def scaled(made: Predictions) -> str:
    """Scores are a part of what they should be, or more, up to 1."""
    factor = made.rng.choice((0.25, 0.5, 0.8, 1.25, 2.0))
    return _changed(made, f"times {factor}", lambda s: min(1.0, s * factor))


@score_mutator("scale")
def in_percent(made: Predictions) -> str:
    """Scores are percentages."""
    return _changed(made, "percentages", lambda s: 100 * s)


@score_mutator("scale")
def log_odds(made: Predictions) -> str:
    """Scores are log-odds: the last step, the sigmoid, is missing."""
    return _changed(made, "log-odds", lambda s: math.log(s / (1 - s)) if 0 < s < 1 else s)


@score_mutator("power")
def power(made: Predictions) -> str:
    """Scores are raised to a power: in order, and not calibrated."""
    exponent = made.rng.choice((0.5, 2, 3))
    return _changed(made, f"to the power of {exponent}", lambda s: s**exponent)


@score_mutator("offset")
def moved(made: Predictions) -> str:
    """Scores are higher or lower by the same number, within 0 to 1."""
    offset = made.rng.choice((-0.2, -0.1, 0.1, 0.2))
    return _changed(made, f"moved by {offset}", lambda s: min(1.0, max(0.0, s + offset)))


@score_mutator("calibration")
def ranks(made: Predictions) -> str:
    """Scores are ranks, as shares: the order is right, and nothing else."""
    ordered = sorted(made.scores)
    return _changed(made, "ranks", lambda s: bisect_left(ordered, s) / len(ordered))


@score_mutator("calibration")
def clipped(made: Predictions) -> str:
    """Scores end at a band around their median."""
    _, low, high = statistics.quantiles(made.scores, n=4)[0], *made.rng.choice(((0.1, 0.3), (0.15, 0.25)))
    return _changed(made, f"clipped to {low} to {high}", lambda s: min(high, max(low, s)))


@score_mutator("calibration")
def pulled_to_the_mean(made: Predictions) -> str:
    """Scores are half as far from their mean."""
    mean = statistics.mean(made.scores)
    return _changed(made, "half as far from their mean", lambda s: (s + mean) / 2)


@score_mutator("rounding")
def classes(made: Predictions) -> str:
    """Scores are decisions: 1 from the operating point on, else 0."""
    return _changed(made, "0 or 1", lambda s: float(s >= 0.25))


@score_mutator("rounding")
def rounded(made: Predictions) -> str:
    """Scores have one digit, or two."""
    digits = made.rng.choice((1, 2))
    return _changed(made, f"rounded to {digits} digits", lambda s: round(s, digits))


@score_mutator("constant")
def constant(made: Predictions) -> str:
    """Scores are their mean."""
    mean = statistics.mean(made.scores)
    return _changed(made, f"{mean:.3f}", lambda _: mean)


@score_mutator("constant")
def default(made: Predictions) -> str:
    """Scores are a default: 0, the baseline's, or a half."""
    value = made.rng.choice((0.0, 0.2, 0.5))
    return _changed(made, f"{value}", lambda _: value)


@score_mutator("constant")
def mean_of_the_segment(made: Predictions) -> str:
    """Scores are the mean of their carrier or origin."""
    name = made.rng.choice(made.groups)
    values = made.columns[name]
    for value in dict.fromkeys(values):
        rows = [i for i, one in enumerate(values) if one == value]
        mean = statistics.mean(made.scores[i] for i in rows)
        for i in rows:
            made.scores[i] = mean
    return f"scores are the mean of their {name}"


@score_mutator("no number")
def null(made: Predictions) -> str:
    """Scores are missing."""
    return _changed(made, "null", lambda _: None)  # type: ignore[arg-type,return-value]


@score_mutator("no number")
def nan(made: Predictions) -> str:
    """Scores are NaN."""
    return _changed(made, "NaN", lambda _: math.nan)


@score_mutator("noise")
def noise(made: Predictions) -> str:
    """Scores are off by chance."""
    width = made.rng.choice((0.5, 1.0, 3.0)) * statistics.pstdev(made.scores)
    return _changed(
        made,
        f"off by chance, with a deviation of {width:.3f},",
        lambda s: min(1.0, max(0.0, s + made.rng.gauss(0, width))),
    )


@score_mutator("order")
def shuffled(made: Predictions) -> str:
    """Scores of all rows, of some or of a segment are each other's."""
    rows, where = made.rows()
    _exchanged(made, rows, made.rng.sample(rows, len(rows)))
    return f"scores are shuffled {where}"


@score_mutator("order")
def shuffled_within_segments(made: Predictions) -> str:
    """Scores are each other's within every carrier or origin, whose means stay."""
    name = made.rng.choice(made.groups)
    values = made.columns[name]
    for value in dict.fromkeys(values):
        rows = [i for i, one in enumerate(values) if one == value]
        _exchanged(made, rows, made.rng.sample(rows, len(rows)))
    return f"scores are shuffled within each {name}"


@score_mutator("order")
def slipped(made: Predictions) -> str:
    """Each row has the score of one a few rows before."""
    by = made.rng.choice((1, 1, 2, 10))
    _exchanged(made, list(range(made.size)), [(i - by) % made.size for i in range(made.size)])
    return f"scores slip by {by} rows"


@score_mutator("order")
def segments_exchanged(made: Predictions) -> str:
    """Two segments have each other's scores, as far as they reach."""
    name, value, rows = made.group()
    values = made.columns[name]
    others = [one for one in dict.fromkeys(values) if one != value]
    if not others:
        raise NotApplicableError
    other = made.rng.choice(others)
    pairs = list(zip(rows, [i for i, one in enumerate(values) if one == other], strict=False))
    for one, two in pairs:
        made.scores[one], made.scores[two] = made.scores[two], made.scores[one]
    return f"{len(pairs)} scores of {name} {value} and {other} are exchanged"


@score_mutator("staleness")
def scores_of_another_day(made: Predictions) -> str:
    """Flights have the score that they had on another day, where they flew."""
    days = made.rng.choice((1, 7))
    before = {_flight(row["flight_id"]): row["score"] for row in made.other(days)}
    rows, where = made.rows()
    found = [i for i in rows if _flight(made.columns["flight_id"][i]) in before]
    if not found:
        raise NotApplicableError
    for i in found:
        made.scores[i] = before[_flight(made.columns["flight_id"][i])]
    return f"{len(found)} scores are those of {days} days before {where}"


@score_mutator("staleness")
def predictions_of_another_day(made: Predictions) -> str:
    """The rows of another day under the date of this one, with keys as they were or redated."""
    days, redated = made.rng.choice((1, 7)), made.rng.choice((True, False))
    day = made.columns["ds"][0]
    rows = [dict(row, ds=day) for row in made.other(days)]
    if redated:
        rows = [row | {"flight_id": f"{day}|{_flight(row['flight_id'])}"} for row in rows]
    _replace(made, rows)
    return f"the predictions of {days} days before{' under keys of today' if redated else ''}"


@score_mutator("another scorer")
def baseline_in_its_place(made: Predictions) -> str:
    """Scores are the baseline's, under the name of the champion."""
    rows, where = made.rows()
    for i in rows:
        found = made.columns[BASELINE][i]
        made.scores[i] = made.scores[i] if found is None else found
    return f"scores are {BASELINE} {where}"


@score_mutator("missing rows")
def random_rows_are_missing(made: Predictions) -> str:
    """A random share of the rows is missing."""
    gone = set(made.some(0.05, 0.8))
    made.keep([i for i in range(made.size) if i not in gone])
    return f"{len(gone)} random rows are missing"


@score_mutator("missing rows")
def last_chunk_is_missing(made: Predictions) -> str:
    """The last rows are missing: scoring ended early."""
    kept = round(made.rng.uniform(0.2, 0.95) * made.size)
    gone = made.size - kept
    made.keep(range(kept))
    return f"the last {gone} rows are missing"


@score_mutator("missing rows")
def a_segment_is_missing(made: Predictions) -> str:
    """All rows of one carrier or origin are missing."""
    name, value, rows = made.group()
    gone = set(rows)
    made.keep([i for i in range(made.size) if i not in gone])
    return f"no rows where {name} is {value}"


@score_mutator("duplicates")
def rows_twice(made: Predictions) -> str:
    """Some rows are there twice, alike or with another score."""
    rows, other = made.some(0.05, 1.0), made.rng.choice((True, False))
    added = [made.row(i) for i in rows]
    made.add([row | {"score": made.rng.random()} for row in added] if other else added)
    return f"{len(rows)} rows are there twice{', with another score' if other else ''}"


@score_mutator("duplicates")
def ids_twice(made: Predictions) -> str:
    """Rows have the id of another prediction."""
    rows = made.some()
    for i in rows:
        made.columns["prediction_id"][i] = made.columns["prediction_id"][i - 1]
    return f"{len(rows)} rows have the id of another one"


@score_mutator("foreign rows")
def rows_of_another_day(made: Predictions) -> str:
    """Rows of an earlier day are there too."""
    days, day = made.rng.choice((1, 7)), made.columns["ds"][0]
    found = made.other(days)
    rows = made.rng.sample(found, max(1, round(made.rng.uniform(0.05, 1.0) * len(found))))
    beside = made.row(0)
    made.add([{**beside, **row, "ds": day} for row in rows])
    return f"{len(rows)} rows of {days} days before are added"


@score_mutator("foreign rows")
def made_up_keys(made: Predictions) -> str:
    """Predictions are of flights that nobody planned."""
    rows = made.some(0.05, 0.5)
    made.change("flight_id", rows, lambda key: f"{key}0")
    return f"{len(rows)} rows have a key that nobody planned"


@score_mutator("record")
def another_version(made: Predictions) -> str:
    """Rows name another version of the model than the one that scored."""
    rows, where = made.rows()
    made.change("model_version", rows, lambda version: f"{version}1")
    return f"model_version is another one {where}"


@score_mutator("record")
def another_snapshot(made: Predictions) -> str:
    """Rows name another snapshot of the features than the one that was scored."""
    rows, where = made.rows()
    made.change("feature_snapshot_id", rows, lambda snapshot: snapshot - 1)
    return f"feature_snapshot_id is another one {where}"


@score_mutator("record")
def flag_is_wrong(made: Predictions) -> str:
    """What a row says of its making is the opposite: baseline, support in training, stale input, lateness."""
    name = made.rng.choice(("is_baseline", "is_supported", "is_stale", "made_late"))
    rows, where = made.rows()
    made.change(name, rows, lambda flag: not flag)
    return f"{name} is the opposite {where}"


@score_mutator("record")
def age_is_wrong(made: Predictions) -> str:
    """Rows call their input older than it is, and stale."""
    rows, where = made.rows()
    made.change("input_age_days", rows, lambda days: days + 1)
    made.change("is_stale", rows, lambda _: True)
    return f"input is a day older, and stale, {where}"


@score_mutator("order", harmless=True)
def rows_in_another_order(made: Predictions) -> str:
    """The rows come in another order."""
    made.keep(made.rng.sample(range(made.size), made.size))
    return "the rows are shuffled"


def _flight(key: str) -> str:
    """A flight without its day: how it is known again on another."""
    return key.partition("|")[2]


def _replace(made: Predictions, rows: list[dict[str, Any]]) -> None:
    """Put other rows in the place of all."""
    beside = made.row(0)
    made.keep([0])
    made.columns = {name: [] for name in made.columns}
    made.add([{**beside, **row} for row in rows])
