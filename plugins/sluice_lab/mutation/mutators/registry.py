"""Where mutators are registered: `@mutator(kind)` on a function of a draft, `@score_mutator(kind)` on one of predictions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from sluice.declare.spec import PREDICTIONS
from sluice.gates.verdict import CauseKind

SOURCES = ("schedule", "arrivals", "weather", "planes", "airports", "airlines")
# The sources that arrive every day.
DAILY = ("schedule", "arrivals", "weather")
FLIGHTS = ("schedule", "arrivals")


@dataclass(frozen=True)
class Mutator:
    """One way of damage. `does` is the first line of its docstring; `meant_harmless` says that no value is lost by it."""

    name: str
    kind: str
    sources: tuple[str, ...]
    does: str
    meant_harmless: bool
    # Takes what it damages, and says in words what it did.
    apply: Callable[[Any], str]


# What a held delivery's probable cause should be, by the kind of what was done to it: of some kinds there are two that a person would
# call right, of those that have none nothing that is named is.
CAUSES: Mapping[str, tuple[CauseKind, ...]] = {
    "categories": ("other codes",),
    "columns": ("swapped columns",),
    "constant": ("constant values",),
    "correlated": ("constant offset",),
    "cut files": ("missing rows",),
    "dates": ("wrong dates",),
    "delimiters": (),
    "duplicates": ("duplicate rows",),
    "encoding": ("another encoding",),
    "foreign rows": ("another day's rows", "another source's rows"),
    "headers": (),
    "missing rows": ("missing rows",),
    "noise": (),
    "nulls": ("missing values",),
    "offsets": ("constant offset", "another unit"),
    "ordering": ("rows mixed up",),
    "outliers": ("another unit",),
    "references": ("other codes", "rows mixed up"),
    "rounding": ("rounded values",),
    "shifts": ("shifted columns", "rows mixed up"),
    "signs": ("wrong sign",),
    "spikes": ("constant values",),
    "staleness": ("stale file",),
    "swaps": ("swapped columns",),
    "text": ("other codes", "cut text"),
    "time zones": ("another time zone",),
    "types": (),
    "units": ("another unit",),
}

# Of deliveries, and of predictions.
MUTATORS: dict[str, Mutator] = {}
SCORE_MUTATORS: dict[str, Mutator] = {}

_Register = Callable[[Callable[[Any], str]], Callable[[Any], str]]


def mutator(
    kind: str,
    *,
    sources: tuple[str, ...] = SOURCES,
    harmless: bool = False,
    among: dict[str, Mutator] = MUTATORS,
) -> _Register:
    """Register a function of a draft under its own name."""

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        does = (function.__doc__ or "").strip().splitlines()[0]
        among[function.__name__] = Mutator(function.__name__, kind, sources, does, harmless, function)
        return function

    return register


def score_mutator(kind: str, *, harmless: bool = False) -> _Register:
    """As `mutator`, of a function of predictions."""
    return mutator(kind, sources=(PREDICTIONS,), harmless=harmless, among=SCORE_MUTATORS)


def choose(among: Mapping[str, Mutator], seed: int, number: int) -> Mutator:
    """All mutators in a random order, then again in another: so each is tried as often as any other."""
    whole, index = divmod(number, len(among))
    names = sorted(among)
    Random(f"{seed}/order/{whole}").shuffle(names)  # noqa: S311 - reproducible on purpose
    return among[names[index]]
