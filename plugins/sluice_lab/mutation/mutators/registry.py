"""Where mutators are registered: `@mutator(kind)` on a function of a draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sluice_lab.mutation.draft import Draft

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
    apply: Callable[[Draft], str]


MUTATORS: dict[str, Mutator] = {}


def mutator(
    kind: str, *, sources: tuple[str, ...] = SOURCES, harmless: bool = False
) -> Callable[[Callable[[Draft], str]], Callable[[Draft], str]]:
    """Register a function of a draft under its own name."""

    def register(function: Callable[[Draft], str]) -> Callable[[Draft], str]:
        does = (function.__doc__ or "").strip().splitlines()[0]
        MUTATORS[function.__name__] = Mutator(function.__name__, kind, sources, does, harmless, function)
        return function

    return register
