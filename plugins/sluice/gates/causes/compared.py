"""A numeric column beside what its values should be about: what is known of that from earlier days, or from others of the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sluice.gates.causes.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

DAY_MINUTES = 1440
# Values known of a column, below which nothing is said of it.
LEAST_KNOWN = 5
# Share of the rows that differ beyond those that usually do, below which nothing is said.
LEAST_DIFFERING = 0.03
# Where a value of another row would fit as often, what a value should be is not known.
_CHANCE = 0.4


@dataclass(frozen=True)
class Compared:
    """Values of a column as they are written, and what they should be about.

    `usual` is how far apart these are on other days. `read` makes minutes of clock readings, which go around a day; other values
    it leaves as they are. `own` says that the expectation is the row's own past, and not what others have at the same time.
    """

    name: str
    now: Numbers
    was: Numbers
    usual: Numbers
    read: Callable[[Numbers], Numbers]
    clock: bool = False
    own: bool = True

    @property
    def written(self) -> Numbers:
        """What the values should be about, as it is written."""
        return np.trunc(self.was / 60) * 100 + np.fmod(self.was, 60) if self.clock else self.was

    @cached_property
    def near(self) -> float:
        """How far from each other nine of ten values are on other days."""
        return float(np.quantile(self.usual, 0.9)) + 1e-9

    @cached_property
    def about(self) -> float:
        """How far from each other they may be where a corruption was undone: also a fiftieth of how far the values are spread."""
        low, high = np.nanquantile(self.was, [0.25, 0.75])
        return max(self.near, 0.02 * (high - low))

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        return np.isfinite(self.now) & np.isfinite(self.was)

    @cached_property
    def changed(self) -> NDArray[np.bool_]:
        return self.known & (np.abs(self.away(self.read(self.now))) > self.near)

    @cached_property
    def share(self) -> float:
        """Share of the values that are not what they should be."""
        return float(self.changed.sum() / max(1, self.known.sum()))

    @property
    def differs(self) -> bool:
        return bool(self.changed.sum() > 2 and self.share - np.mean(self.usual > self.near) > LEAST_DIFFERING)

    @property
    def is_far(self) -> bool:
        """Whether what differs does so by much more than values do on other days."""
        return bool(np.median(np.abs(self.away(self.read(self.now)))[self.changed]) > 2.5 * self.about)

    def away(self, values: Numbers) -> Numbers:
        return around(values - self.was) if self.clock else values - self.was

    def explained(self, undone: Numbers, more: float = 0.0) -> float:
        """Share of the changed values that are what they should be once a corruption is undone, beyond what chance explains."""
        within = self.about + more
        fits, chance = (
            float((np.abs(self.away(values))[self.changed] <= within).mean())
            for values in (undone, np.roll(undone, 11))
        )
        # Of those that differ on other days too it explains none.
        wrong = 1 - min(0.5, float(np.mean(self.usual > self.near)) / self.share)
        return min(1.0, (fits - chance) / max(0.2, 1 - chance) / wrong)


def compared(seen: Evidence) -> Iterator[Compared]:
    """Each numeric column in each way in which it is known what its values should be."""
    values = {
        name: _number(found) for name, found in seen.pairs.items() if name.split(" ")[-1] in seen.numbers
    }
    measured = [name for name in seen.numbers if name not in seen.key]
    for name in measured:
        for one in (_past(seen, values, name), _peers(seen, name)):
            if one is not None and _is_known(one):
                by_chance = np.abs(one.away(np.roll(one.was, 7)))
                if np.mean(by_chance[np.isfinite(one.was)] <= one.near) < _CHANCE:
                    yield one
    for clock in seen.clocks if values else ():
        for delay in seen.minutes:
            yield from filter(_is_known, _planned(values, clock, delay))


def _past(seen: Evidence, values: Mapping[str, Numbers], name: str) -> Compared | None:
    """Beside the value that the same entity had on an earlier day."""
    if not values:
        return None
    clock = name in seen.clocks
    read = minutes if clock else _as_it_is
    was, before = read(values[f"was {name}"]), read(values[f"before {name}"])
    return Compared(name, values[name], was, _usual(was - before, clock), read, clock)


def _peers(seen: Evidence, name: str) -> Compared | None:
    """Beside what others have at the same time."""
    found, past = seen.peers("batch", name), seen.peers("recent", name)
    if found is None or past is None:
        return None
    now, others = map(_number, found)
    then, theirs = map(_number, past)
    return Compared(name, now, others, _usual(then - theirs, False), _as_it_is, own=False)


def _planned(values: Mapping[str, Numbers], clock: str, delay: str) -> list[Compared]:
    """A clock less a delay is a time that was planned, and that is much the same on another day."""
    plan = minutes(values[f"was {clock}"]) - values[f"was {delay}"]
    usual = _usual(plan - minutes(values[f"before {clock}"]) + values[f"before {delay}"], True)
    # Minutes by which three of four plans may differ, and what more is worth: a plan of weekends differs by hours.
    if len(usual) < LEAST_KNOWN or np.quantile(usual, 0.75) > 15:
        return []
    usual = np.minimum(usual, 20)
    return [
        Compared(clock, values[clock], plan + values[delay], usual, minutes, clock=True),
        Compared(delay, values[delay], around(minutes(values[clock]) - plan), usual, _as_it_is),
    ]


def _is_known(one: Compared) -> bool:
    enough = max(LEAST_KNOWN, 0.3 * np.isfinite(one.now).sum())
    return len(one.usual) >= LEAST_KNOWN and bool(one.known.sum() >= enough)


def _usual(apart: Numbers, clock: bool) -> Numbers:
    found = np.abs(around(apart) if clock else apart)
    return found[np.isfinite(found)]


def _number(values: np.ndarray) -> Numbers:
    return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)


def _as_it_is(values: Numbers) -> Numbers:
    return values


def minutes(clock: Numbers) -> Numbers:
    """Minutes since midnight of readings HHMM."""
    return np.trunc(clock / 100) * 60 + np.fmod(clock, 100)


def around(apart: Numbers) -> Numbers:
    """How far clocks are apart, the short way around."""
    return (apart + DAY_MINUTES / 2) % DAY_MINUTES - DAY_MINUTES / 2
