"""What many rules ask of one batch, asked together: one pass over the rows instead of one a rule.

Great Expectations asks each rule's query alone, twice, and each time all rows are read. Here the rules of our own types
are answered beforehand, from what they declare: conditions of rows and of groups from aggregates that one pass computes for
all of them, keys by their hashes, rules that compare with history from statistics that they share. Great Expectations
then takes its metrics from here, and judges as always; what has no answer here, such as a query that a suite writes
itself, it asks itself. So an answer is missing, never guessed: a statement that fails is one that Great Expectations will
ask rule by rule, and the rule that is to blame is found.
"""

# ruff: noqa: S608 - conditions are the suite's own SQL; names of tables are written here
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice.core.sql import quoted
from sluice.gates import statistics

if TYPE_CHECKING:
    import duckdb

    from sluice.gates.conditions import Grouped
    from sluice.gates.suites import Rule

log = logging.getLogger(__name__)
_UNIQUE = "expect_column_values_to_be_unique"


class Answers:
    """Answers to a suite's rules over the views `batch` and `history` of one connection.

    `counts` has the number of rows that a query returns, `tables` the rows of a rule that compares with history, each by
    the rule's query; `repeated` has, by column, the number of rows whose value is not unique. `unjudged` has, by query, the
    number of rows for which its condition is neither true nor false.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.repeated: dict[str, int] = {}
        self.unjudged: dict[str, int] = {}


def ask(con: duckdb.DuckDBPyConnection, rules: Sequence[Rule]) -> Answers:
    """Answer all rules that can be answered together."""
    from sluice.gates.conditions import ExpectKeyToBeUnique, Grouped

    answers = Answers()
    grouped: dict[tuple[tuple[str, ...], str], dict[str, Grouped]] = {}
    for number, rule in enumerate(rules):
        one, given = rule.expectation, rule.expectation.configuration.kwargs
        if isinstance(one, Grouped):
            grouped.setdefault(one.groups, {})[str(rule.query)] = one
        elif isinstance(one, ExpectKeyToBeUnique):
            _take(answers.counts, str(rule.query), count_repeated(con, one.key, f"repeated_{number}"))
        elif rule.kind == _UNIQUE and not given.get("row_condition"):
            name = quoted(given["column"])
            found = count_repeated(con, [name], "repeated_values", where=f"{name} is not null")
            _take(answers.repeated, given["column"], found)
    for number, ((by, where), mine) in enumerate(grouped.items()):
        _groups(con, answers, by, where, mine, f"groups_{number}")
    _history(con, answers, [rule for rule in rules if rule.history_days])
    return answers


def _groups(
    con: duckdb.DuckDBPyConnection,
    answers: Answers,
    by: Sequence[str],
    where: str,
    rules: Mapping[str, Grouped],
    table: str,
) -> None:
    """Answer rules about the same groups of rows, from one table of what they need of each group."""
    keys = ", ".join(map(quoted, by))
    parts = {query: one.parts() for query, one in rules.items()}
    # Rules may give the same name to different things.
    made = [sql for each in parts.values() for sql in each.values()]
    wanted = ", ".join(f"{sql} as part_{number}" for number, sql in enumerate(made))
    if (
        _rows(
            con,
            f"create or replace temp table {table} as select {keys}, {wanted} from batch{where} group by {keys}",
        )
        is None
    ):
        return
    first = 0
    for query, one in rules.items():
        named = "".join(f", part_{first + i} as {quoted(name)}" for i, name in enumerate(parts[query]))
        first += len(parts[query])
        found = _rows(con, one.counts(f"(select {keys}{named} from {table})"))
        if found:
            failing, unknown = found[0]
            answers.counts[query] = int(failing)
            _take(answers.unjudged, query, None if unknown is None else int(unknown))


def _take(answers: dict[str, int], name: str, count: int | None) -> None:
    if count is not None:
        answers[name] = count


def count_repeated(
    con: duckdb.DuckDBPyConnection, key: Sequence[str], table: str, where: str = "true"
) -> int | None:
    """Count the rows whose key others have, too; None if it cannot be asked.

    Equal keys have equal hashes: only keys of a repeated hash are compared themselves. A hash is a number, however long the
    key is: ten million of them take a tenth of the memory.
    """
    listed = ", ".join(key)
    hashes = f"select hash({listed}) as h from batch where {where}"
    made = _rows(
        con,
        f"create or replace temp table {table} as select h from ({hashes}) group by h having count(*) > 1",
    )
    if made is None:
        return None
    counts = (
        f"select count(*) as n from batch where {where} and hash({listed}) in (from {table})"
        f" group by {listed} having count(*) > 1"
    )
    found = _rows(con, f"select coalesce(sum(n), 0) from ({counts})") if made[0][0] else [(0,)]
    return None if found is None else int(found[0][0])


def _history(con: duckdb.DuckDBPyConnection, answers: Answers, rules: Sequence[Rule]) -> None:
    days = _rows(con, "select distinct ds from batch where ds is not null") if rules else None
    if not days:
        return
    shared = statistics.Shared([day for (day,) in days], max(rule.history_days for rule in rules))
    expectations: dict[str, Any] = {str(rule.query): rule.expectation for rule in rules}
    statements = {query: one.statement(shared) for query, one in expectations.items()}
    # A rule that shares nothing with others has one way only, and is asked by Great Expectations.
    statements = {query: one for query, one in statements.items() if one != query}
    if any(_rows(con, query) is None for query in shared.queries()):
        return
    for query, statement in statements.items():
        found = _rows(con, statement)
        if found is not None:
            names = [column[0] for column in con.description or ()]
            answers.tables[query] = [dict(zip(names, row, strict=True)) for row in found]


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]] | None:
    """The rows of a query; None if it fails, so that it has no answer here."""
    import duckdb

    try:
        return con.execute(query).fetchall()
    except duckdb.Error as error:
        # Its message may hold values of the data.
        log.info("Rules are evaluated one by one, because of %s", type(error).__name__)
        return None
