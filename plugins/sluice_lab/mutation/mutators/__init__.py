"""The catalogue of damage: every mutator with its kind, by name.

A mutator takes a `Draft`, or `Predictions`, changes it and says in words what it did, with the parameters that it drew; it raises
NotApplicableError where there is nothing to damage. A mutator draws from the draft's own random numbers only, so
that the same seed makes the same bytes.
"""

from __future__ import annotations

from sluice_lab.mutation.mutators import (
    categories,
    files,
    gaps,
    records,
    scores,
    shapes,
    times,
    units,
    values,
)
from sluice_lab.mutation.mutators.registry import CAUSES, MUTATORS, SCORE_MUTATORS, Mutator, choose

__all__ = [
    "CAUSES",
    "MUTATORS",
    "SCORE_MUTATORS",
    "Mutator",
    "categories",
    "choose",
    "files",
    "gaps",
    "records",
    "scores",
    "shapes",
    "times",
    "units",
    "values",
]
