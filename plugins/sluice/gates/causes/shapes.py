"""Known corruptions of columns of which nothing says what a single value should be: the whole column beside earlier days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sluice.core.sql import quoted
from sluice.gates.causes.evidence import COMPARED_ROWS, Evidence
from sluice.gates.causes.finding import Finding, percent
from sluice.gates.causes.units import STEPS, UNITS, times

# Days with values below which the shape of a column is not known.
_LEAST_DAYS = 7
_LEVELS = np.linspace(0.05, 0.95, 10)
# How much further from every earlier day than these are from each other a day is that no earlier one looks like.
_UNLIKE = 1.3
_LEAST_OUTSIDE = 0.03


@dataclass(frozen=True)
class Shape:
    """The values of a column, and the quantiles of each earlier day."""

    name: str
    now: np.ndarray
    days: np.ndarray
    low: float
    high: float

    @property
    def usual(self) -> float:
        """How far the day that is least like any other is from the nearest one."""
        apart = np.abs(self.days[:, None, :] - self.days[None, :, :]).mean(axis=2)
        np.fill_diagonal(apart, np.inf)
        return float(np.quantile(apart.min(axis=1), 0.95))

    def unlike(self, values: np.ndarray) -> float:
        """How far values are from the nearest earlier day, in the usual distance."""
        known = values[np.isfinite(values)]
        apart = float(np.abs(self.days - np.quantile(known, _LEVELS)).mean(axis=1).min())
        return apart / max(self.usual, 1e-9)

    @property
    def outside(self) -> np.ndarray:
        """Which values are far from all earlier ones."""
        margin = 0.05 * (self.high - self.low)
        return (self.now < self.low - margin) | (self.now > self.high + margin)

    def holds(self, values: np.ndarray) -> float:
        return float(((values >= self.low) & (values <= self.high)).mean()) if len(values) else 0.0


def shapes(seen: Evidence) -> list[Shape]:
    found = []
    for name in seen.numbers:
        if name in seen.key:
            continue
        column = quoted(name)
        listed = ", ".join(f"{level:.2f}" for level in _LEVELS)
        days = seen.all(
            f"select quantile_cont({column}, [{listed}]) as levels, min({column}), max({column}) from history "
            f"group by ds having count({column}) > 5"
        )
        if len(days) < _LEAST_DAYS:
            continue
        sampled = f"from (select {column} from batch where {column} is not null) using sample reservoir({COMPARED_ROWS} rows) repeatable (1)"
        now = np.array([float(one) for (one,) in seen.all(sampled)])
        if len(now) > 5:
            levels = np.array([one[0] for one in days], dtype=float)
            found.append(
                Shape(
                    name, now, levels, min(float(one[1]) for one in days), max(float(one[2]) for one in days)
                )
            )
    return found


def columns(seen: Evidence) -> Iterator[Finding]:
    """Columns that no earlier day looks like, and that look like one once a corruption is undone."""
    known = shapes(seen)
    outside = [one for one in known if one.outside.mean() > _LEAST_OUTSIDE]
    following = [
        (one, other)
        for one, other in zip(known, [*known[1:], *known[:1]], strict=True)
        if one in outside and other.holds(one.now[one.outside]) > 0.8
    ]
    if len(following) >= 3:
        said = "has values that it never had, and that the next column has"
        yield Finding(
            "shifted columns",
            0.98,
            said,
            "is a field missing before them?",
            tuple(one.name for one, _ in following),
        )
        return
    odd = {one.name: one for one in known if one.unlike(one.now) > _UNLIKE}
    for one in odd.values():
        yield from _rounded(seen, one)
        for other in known if one in outside else ():
            if other is not one and max(one.unlike(other.now), other.unlike(one.now)) < _UNLIKE:
                said = "has the values that the other has on earlier days"
                yield Finding("swapped columns", 0.94, said, "are columns exchanged?", (one.name, other.name))
    for one in odd.values():
        yield from _undone(one)


def _rounded(seen: Evidence, one: Shape) -> Iterator[Finding]:
    """Multiples of a round number, all of them where a column has always had values."""
    if one.outside.any() or len(np.unique(one.now)) == 1:
        return
    column = quoted(one.name)
    for step in STEPS:
        usual = seen.one(f"select avg(cast({column} % {step} = 0 as int)) from recent")
        if (one.now % step == 0).mean() > 0.98 and usual < 0.6:
            said = f"is a multiple of {step} in all rows, in {percent(usual)} on other days"
            yield Finding("rounded values", 0.93, said, "are values rounded?", (one.name,))
            return


def _undone(one: Shape) -> Iterator[Finding]:
    """One value in all rows, another unit or another sign."""
    name, before, outside = (one.name,), one.unlike(one.now), one.outside
    if len(np.unique(one.now)) == 1:
        asked = "a default, an error code or a stuck sensor?"
        yield Finding("constant values", 0.93, "is one value in all rows", asked, name)
        return
    if outside.mean() <= _LEAST_OUTSIDE:
        return

    def closer(factor: float, offset: float) -> float:
        """How unlike it is where all values, or those outside, are converted back; 1 where it is no usual day then."""
        found = [1.0]
        for rows in (np.ones_like(outside), outside):
            values = np.where(rows, (one.now - offset) / factor, one.now)
            if one.holds(values) > 0.98 and before > 2 * one.unlike(values):
                found.append(one.unlike(values))
        return min(found)

    beyond = f"with {percent(outside.mean())} of its values outside of those of all earlier days"
    after = closer(-1, 0)
    if after < 1:
        said = f"has the opposite sign, {beyond}"
        yield Finding("wrong sign", 0.87 - 0.1 * after, said, "is the sign flipped or lost?", name)
    for factor, offset, asked in UNITS:
        after = closer(factor, offset)
        if after < 1:
            said = f"is {times(factor, offset)}, {beyond}"
            yield Finding("another unit", 0.87 - 0.1 * after, said, asked, name)
