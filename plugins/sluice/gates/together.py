"""What many rules ask of one batch, asked together: one pass over the rows instead of one a rule.

Great Expectations asks each rule's query alone, twice, and each time all rows are read. Here the queries whose shape is
known are answered beforehand: conditions of rows and of groups by one statement, repeated keys by their hashes, rules
that compare with history from statistics that they share. Great Expectations then takes its metrics from here, and
judges as always; what has no answer here it asks itself. So an answer is missing, never guessed: a statement that
fails is one that Great Expectations will ask rule by rule, and the rule that is to blame is found.
"""

# ruff: noqa: S608 - conditions are the suite's own SQL; names of tables are written here
from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sluice.gates import shapes, statistics
from sluice.gates.shapes import Groups, Repeated, Rows, RowsOfGroups

if TYPE_CHECKING:
    import duckdb

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
    answers = Answers()
    reader = shapes.Reader(con, con.table("batch").columns)
    queries = [rule for rule in rules if rule.query and not rule.history_days]
    known = {str(rule.query): shape for rule in queries if (shape := reader.read(rule.sql))}
    _scan(con, answers, {query: one for query, one in known.items() if not isinstance(one, Repeated)})
    for number, (query, shape) in enumerate(known.items()):
        if isinstance(shape, Repeated):
            _take(answers.counts, query, _count_repeated(con, shape, f"repeated_{number}"))
    for rule in rules:
        given = rule.expectation.configuration.kwargs
        if rule.kind == _UNIQUE and not given.get("row_condition"):
            name = '"' + given["column"].replace('"', '""') + '"'
            shape = Repeated((name,), condition=f"{name} is not null")
            _take(answers.repeated, given["column"], _count_repeated(con, shape, "repeated_values"))
    _history(con, answers, [rule for rule in rules if rule.history_days])
    return answers


def _scan(con: duckdb.DuckDBPyConnection, answers: Answers, known: dict[str, Any]) -> None:
    """Conditions of rows and of groups: one statement for each way of grouping, and nearly all rules group by day."""
    ways = Counter(shape.by for shape in known.values() if not isinstance(shape, Rows))
    most = max(ways, key=lambda by: ways[by], default=())
    for by in {**ways, most: 0}:
        mine = {query: one for query, one in known.items() if getattr(one, "by", most) == by}
        if not mine:
            continue
        inner, outer, unknown = [], [], []
        for number, shape in enumerate(mine.values()):
            name, group = f"c{number}", f"g{number}"
            if isinstance(shape, Groups):
                inner.append(f"{shape.condition} as {name}")
                outer.append(f"count(*) filter ({name})")
            else:
                inner.append(f"count(*) filter ({shape.condition}) as {name}")
                if isinstance(shape, Rows):
                    inner.append(f"count(*) filter (({shape.condition}) is null) as n{number}")
                    unknown.append(f"coalesce(sum(n{number}), 0)")
                if isinstance(shape, RowsOfGroups):
                    inner.append(f"({shape.of_group}) as {group}")
                chosen = f" filter ({group})" if isinstance(shape, RowsOfGroups) else ""
                outer.append(f"coalesce(sum({name}){chosen}, 0)")
        grouped = f" group by {', '.join(by)}" if by else ""
        wanted = ", ".join([*outer, *unknown])
        found = _rows(con, f"select {wanted} from (select {', '.join(inner)} from batch{grouped})")
        if found:
            numbers = [int(number) for number in found[0]]
            answers.counts.update(zip(mine, numbers[: len(outer)], strict=True))
            of_rows = [query for query, shape in mine.items() if isinstance(shape, Rows)]
            answers.unjudged.update(zip(of_rows, numbers[len(outer) :], strict=True))


def _take(answers: dict[str, int], name: str, count: int | None) -> None:
    if count is not None:
        answers[name] = count


def _count_repeated(con: duckdb.DuckDBPyConnection, shape: Repeated, table: str) -> int | None:
    """Rows with a repeated key. Equal keys have equal hashes: only keys of a repeated hash are compared themselves.

    A hash is a number, however long the key is: ten million of them take a tenth of the memory.
    """
    hashes = f"select {_hash(shape)} as h from batch where {shape.condition}"
    made = _rows(
        con,
        f"create or replace temp table {table} as select h from ({hashes}) group by h having count(*) > {shape.times}",
    )
    if made is None:
        return None
    counts = (
        f"select count(*) as n from batch where {shape.condition} and {_hash(shape)} in (from {table})"
        f" group by {', '.join(shape.key)} having count(*) > {shape.times}"
    )
    found = _rows(con, f"select coalesce(sum(n), 0) from ({counts})") if made[0][0] else [(0,)]
    return None if found is None else int(found[0][0])


def _hash(shape: Repeated) -> str:
    return f"hash({', '.join(shape.key)})"


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
