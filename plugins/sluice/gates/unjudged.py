"""Rows that a rule does not judge, because a value that it needs is missing, and whether they count as failing.

Great Expectations leaves such rows out and says that none fails. The line drawn here:

- A rule about one column judges its values, and a null is none: whether nulls may be there is for the contract, or for a
  rule of its own. So they pass; but a rule that judged no row at all has shown nothing, and fails.
- A rule about several columns says how they belong together, and of a row that lacks one of them that was not shown. So
  it fails.

A rule's `meta` may decide the other way, with `"unjudged": "pass"` or `"fail"`. How many rows were not judged is in the
verdict either way. A condition or a query says itself what becomes of a null; rows for which a condition is unknown are
only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sluice.core.sql import quoted

if TYPE_CHECKING:
    import duckdb
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

    from sluice.gates.suites import Rule


def can_be(expectation: Expectation) -> bool:
    """Whether Great Expectations evaluates an expectation row by row, so that rows can be left out."""
    from great_expectations.expectations.expectation import ColumnMapExpectation

    return isinstance(expectation, ColumnMapExpectation) or _several(expectation) is not None


def count(
    con: duckdb.DuckDBPyConnection,
    rule: Rule,
    found: ExpectationValidationResult,
    ask: Callable[[Expectation], ExpectationValidationResult],
) -> int | None:
    """How many rows a rule did not judge; None where it is not about single rows.

    Args:
        found: what the rule said.
        ask: evaluates another expectation over the same rows.
    """
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    several = _several(rule.expectation)
    if several is None:
        return found.result.get("missing_count")
    if not con.execute(f"select count(*) from batch where {missing(rule)}").fetchall()[0][0]:  # noqa: S608
        return 0
    # Some types do judge a row that lacks a value, as two that differ: it is among the failing ones then.
    own = rule.expectation.configuration
    strict = ExpectationConfiguration(type=own.type, kwargs={**own.kwargs, "ignore_row_if": several})
    complete = ask(strict.to_domain_obj()).result
    judged = found.result["unexpected_count"] - complete["unexpected_count"]
    return complete["missing_count"] - judged


def counts_as_failing(rule: Rule, unjudged: int, total: int) -> bool:
    """Whether rows that were not judged count as rows that fail."""
    if rule.meta.unjudged is not None:
        return rule.meta.unjudged == "fail"
    return unjudged == total or _several(rule.expectation) is not None


def missing(rule: Rule) -> str:
    """A SQL condition: the row lacks a value of one of the rule's columns."""
    return f"({' or '.join(f'{quoted(name)} is null' for name in rule.columns)})"


def examples(con: duckdb.DuckDBPyConnection, rule: Rule, most: int) -> list[dict[str, Any]]:
    """Some of the rows that lack a value."""
    found = con.execute(f"select * from batch where {missing(rule)} limit {most}")  # noqa: S608
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def problems(rules: Sequence[Rule]) -> list[str]:
    """Why what some rules say of rows that they do not judge cannot be; one sentence a rule."""
    found = []
    for rule in rules:
        if rule.meta.unjudged is not None and not can_be(rule.expectation):
            found.append(
                f"rule {rule.meta.rule}: `unjudged` is for expectations that look at each row; "
                "a condition says itself what becomes of a null: `(a > b) is true` fails for one"
            )
        elif (
            rule.meta.severity == "quarantine"
            and rule.meta.unjudged != "pass"
            and rule.expectation.configuration.kwargs.get("row_condition")
            and _several(rule.expectation) is not None
        ):
            found.append(
                f"rule {rule.meta.rule}: with a row_condition it cannot tell which rows it did not judge, and so cannot "
                'set them aside; say `"unjudged": "pass"`, or write it as expect_rows_to_satisfy_condition'
            )
    return found


def _several(expectation: Expectation) -> str | None:
    """How an expectation about several columns is told to leave out every row that lacks a value; None for others."""
    from great_expectations.expectations.expectation import (
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    if isinstance(expectation, ColumnPairMapExpectation):
        return "either_value_is_missing"
    return "any_value_is_missing" if isinstance(expectation, MulticolumnMapExpectation) else None
