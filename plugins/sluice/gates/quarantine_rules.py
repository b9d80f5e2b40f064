"""Which rules may set rows aside: those whose failures are whole rows of the batch, each by itself.

A share that is too high, a mean that moved or a row that an aggregate made up cannot be taken out of a batch; a rule
about such a thing holds or warns. It is refused here, before any data is there, so that no batch is ever split by it. Of
a query that a suite writes itself only its result shows what it returns: `sluice check` looks at its columns, and a gate
compares its rows with those of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.gates.suites import Rule

# The type of a rule whose query the suite writes itself.
QUERY_TYPE = "unexpected_rows_expectation"
_TODO = "make it about rows, or give it the severity 'hold' or 'warn'"


def problems(rules: Sequence[Rule]) -> list[str]:
    """Why some of these rules cannot set rows aside; one sentence a rule."""
    return [f"rule {rule.meta.rule}: {refusal(problem)}" for rule in rules if (problem := _problem(rule))]


def refusal(problem: str) -> str:
    """Return the sentence that says why rows cannot be set aside, and what to do."""
    return f"it cannot set rows aside, because {problem}; {_TODO}"


def _problem(rule: Rule) -> str:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    from sluice.gates.conditions import OF_ROWS

    kinds = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation, *OF_ROWS)
    given = rule.expectation.configuration.kwargs
    if rule.kind == QUERY_TYPE:
        return ""
    if not isinstance(rule.expectation, kinds):
        return f"{rule.kind} is not about single rows"
    if given.get("mostly", 1) != 1:
        return "`mostly` lets rows fail unseen: the rule's limit is what may fail"
    return ""
