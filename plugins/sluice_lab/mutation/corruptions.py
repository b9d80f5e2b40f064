"""Corruptions at a rate: one way of damage each, done to a given share of the rows of a delivery.

After Jenga (Schelter, Rukat and Biessmann, "JENGA: A Framework to Study the Impact of Data Errors on the Predictions of
Machine Learning Models", EDBT 2021). The rows that are hit at a low rate are among those that are hit at a higher one.
"""

from __future__ import annotations

import statistics
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.mutators.values import minute

_READINGS = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)
# Not the origin: features of an unknown one have no instant of departure, so that the whole day is not built, by itself.
_CODES = ("carrier", "dest")
# Standard deviations of the noise that is added.
_NOISE = 3
_MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Corruption:
    """One way of damage. `apply` takes a draft and a rate (0 to 1), and returns how many rows it hit."""

    name: str
    source: str
    does: str
    apply: Callable[[Draft, float], int]


CORRUPTIONS: dict[str, Corruption] = {}


def _corruption(source: str) -> Callable[[Callable[[Draft, float], int]], Callable[[Draft, float], int]]:
    """Register a function under its name; the first line of its docstring says what it does."""

    def register(function: Callable[[Draft, float], int]) -> Callable[[Draft, float], int]:
        does = (function.__doc__ or "").strip().splitlines()[0]
        CORRUPTIONS[function.__name__] = Corruption(function.__name__, source, does, function)
        return function

    return register


@_corruption("weather")
def missing_at_random(draft: Draft, rate: float) -> int:
    """All readings of random rows are missing (MCAR)."""
    return _blank(draft, _READINGS, _share(_shuffled(draft), rate))


@_corruption("weather")
def missing_late_in_the_day(draft: Draft, rate: float) -> int:
    """All readings of the latest hours are missing (MAR: it depends on another column)."""
    latest = sorted(range(draft.size), key=lambda i: draft.columns["observed_at"][i], reverse=True)
    return _blank(draft, _READINGS, _share(latest, rate))


@_corruption("weather")
def missing_where_high(draft: Draft, rate: float) -> int:
    """The highest readings of wind, gusts and rain are missing (MNAR: it depends on the value itself)."""
    hit: set[int] = set()
    for name in ("wind_speed", "wind_gust", "precip"):
        values = draft.columns[name]
        there = sorted((i for i in range(draft.size) if values[i] is not None), key=lambda i: -values[i])
        rows = _share(there, rate)
        _blank(draft, (name,), rows)
        hit.update(rows)
    return len(hit)


@_corruption("schedule")
def columns_swapped(draft: Draft, rate: float) -> int:
    """Planned departure and planned arrival have each other's values."""
    departures, arrivals = draft.columns["sched_dep_time"], draft.columns["sched_arr_time"]
    rows = _share(_shuffled(draft), rate)
    for i in rows:
        departures[i], arrivals[i] = arrivals[i], departures[i]
    return len(rows)


@_corruption("schedule")
def another_unit(draft: Draft, rate: float) -> int:
    """Planned departure and arrival are minutes since midnight in place of HHMM."""
    rows = _share(_shuffled(draft), rate)
    for name in ("sched_dep_time", "sched_arr_time"):
        draft.change(name, rows, minute)
    return len(rows)


@_corruption("schedule")
def typing_errors(draft: Draft, rate: float) -> int:
    """One letter of carrier or destination is another one."""
    rows = _share(_shuffled(draft), rate)
    for i in rows:
        values = draft.columns[draft.rng.choice(_CODES)]
        at = draft.rng.randrange(len(values[i]))
        wrong = draft.rng.choice([one for one in string.ascii_uppercase if one != values[i][at]])
        values[i] = values[i][:at] + wrong + values[i][at + 1 :]
    return len(rows)


@_corruption("schedule")
def category_shift(draft: Draft, rate: float) -> int:
    """The largest carrier is written as the second largest, in a share of its rows."""
    carriers = draft.columns["carrier"]
    (largest, _), (second, _) = Counter(carriers).most_common(2)
    rows = _share([i for i in _shuffled(draft) if carriers[i] == largest], rate)
    draft.change("carrier", rows, lambda _: second)
    return len(rows)


@_corruption("schedule")
def noise(draft: Draft, rate: float) -> int:
    """Noise of 3 standard deviations is added to planned departure, in minutes, around the clock."""
    spread = _NOISE * statistics.pstdev(minute(value) for value in draft.columns["sched_dep_time"])

    def move(value: int) -> int:
        moved = round(minute(value) + draft.rng.gauss(0, spread)) % _MINUTES_A_DAY
        return moved // 60 * 100 + moved % 60

    rows = _share(_shuffled(draft), rate)
    draft.change("sched_dep_time", rows, move)
    return len(rows)


def _shuffled(draft: Draft) -> list[int]:
    rows = list(range(draft.size))
    draft.rng.shuffle(rows)
    return rows


def _share(rows: Sequence[int], rate: float) -> list[int]:
    """The first rows in that order, and at least one."""
    return list(rows[: max(1, round(rate * len(rows)))])


def _blank(draft: Draft, names: Sequence[str], rows: Sequence[int]) -> int:
    for name in names:
        draft.change(name, rows, _nothing)
    return len(rows)


def _nothing(_: Any) -> None:
    return None
