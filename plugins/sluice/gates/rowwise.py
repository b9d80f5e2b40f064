"""Which rules may set rows aside: those whose failures are whole rows of the batch, each by itself.

A share that is too high, a mean that moved or a row that an aggregate made up cannot be taken out of a batch; a rule
about such a thing holds or warns. It is refused here, before any data is there, so that no batch is ever split by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

    from sluice.gates.suites import Rule

_TODO = "make it about rows, or give it the severity 'hold' or 'warn'"


def problems(rules: Sequence[Rule], columns: Callable[[], Mapping[str, str]]) -> list[str]:
    """Why some of these rules cannot set rows aside; one sentence a rule.

    Args:
        columns: DuckDB types of the table's columns, by name; only asked for where a rule is a query.
    """
    found = [(rule, _problem(rule)) for rule in rules]
    queries = [rule for rule, problem in found if rule.query and not problem]
    if queries:
        found += [(rule, _query_problem(rule, columns())) for rule in queries]
    return [
        f"rule {rule.meta.rule}: it cannot set rows aside, because {problem}; {_TODO}"
        for rule, problem in found
        if problem
    ]


def empty_batch(columns: Mapping[str, str]) -> duckdb.DuckDBPyConnection:
    """A database with an empty table `batch` of these columns, to try queries on."""
    import duckdb

    con = duckdb.connect()
    con.execute(f"create table batch ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")
    return con


def _problem(rule: Rule) -> str:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    kinds = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    given = rule.expectation.configuration.kwargs
    if rule.query and rule.kind == "unexpected_rows_expectation":
        return (
            "a query says its conditions itself, without a row_condition"
            if given.get("row_condition")
            else ""
        )
    if not isinstance(rule.expectation, kinds):
        return f"{rule.kind} is not about single rows"
    if given.get("mostly", 1) != 1:
        return "`mostly` lets rows fail unseen: the rule's limit is what may fail"
    return ""


def _query_problem(rule: Rule, columns: Mapping[str, str]) -> str:
    import duckdb

    try:
        with empty_batch(columns) as con:
            returned = [column[0] for column in con.sql(rule.sql).description]
    except duckdb.Error as error:
        return f"its query cannot be read: {str(error).partition(chr(10))[0]}"
    missing = [name for name in columns if name not in returned]
    return f"its query does not return whole rows: {missing[0]!r} is missing" if missing else ""
