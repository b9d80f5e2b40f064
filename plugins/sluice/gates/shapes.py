"""What a rule's query counts, where that can be counted together with other rules: recognised in its syntax tree.

DuckDB itself parses the query, so that nothing depends on how it is written. A query of another shape is none of this
module's business: Great Expectations runs it alone, as it is. The shapes are those that rules have:

    select * from {batch} where <condition>                                             Rows
    select ds, <aggregates> from {batch} group by ds having <condition>                 Groups
    select ds, name, <aggregates> from {batch} group by ds, name
        qualify <condition that compares a group with sum(..) over (partition by ds)>   Groups
    select * exclude (share) from (select *, avg(..) over (partition by ds) as share
        from {batch}) where share > .. and <condition>                                  RowsOfGroups
    select * from {batch} qualify count(*) over (partition by <key>) > 1                Repeated
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import duckdb

_Node = dict[str, Any]


class Rows(NamedTuple):
    """Rows for which the SQL `condition` is true."""

    condition: str


class Groups(NamedTuple):
    """Groups of rows, by the SQL expressions `by`, for which `condition`, made of aggregates, is true.

    It may compare a group with others: with aggregates of the groups' aggregates over whole partitions of them.
    """

    by: tuple[str, ...]
    condition: str


class RowsOfGroups(NamedTuple):
    """Rows for which `condition` is true, of those groups for which `of_group`, made of aggregates, is true."""

    by: tuple[str, ...]
    of_group: str
    condition: str


class Repeated(NamedTuple):
    """Rows whose `key` more than `times` rows have, and for which `condition` is true; nulls are equal."""

    key: tuple[str, ...]
    times: int = 1
    condition: str = "true"


Shape = Rows | Groups | RowsOfGroups | Repeated


class _OtherError(Exception):
    """The query has another shape."""


class Reader:
    """Recognises queries over a view `batch` with the given columns."""

    def __init__(self, con: duckdb.DuckDBPyConnection, columns: Collection[str]) -> None:
        self._con, self._columns = con, {name.lower() for name in columns}
        self._aggregates, self._volatile = _functions()
        # Where expressions are put to be written as SQL, and the call of an aggregate without arguments.
        self._frame = self._parsed("select count()")
        self._call = self._frame["statements"][0]["node"]["select_list"][0]

    def read(self, query: str) -> Shape | None:
        """The shape of a query, in which `{batch}` stands as `(select * from batch) as <name>`; None if it has none."""
        import duckdb

        tree = self._parsed(query)
        if tree["error"] or len(tree["statements"]) != 1:
            return None
        node = tree["statements"][0]["node"]
        if node["type"] != "SELECT_NODE":
            return None
        for shape in (self._rows, self._groups, self._repeated, self._rows_of_groups):
            try:
                return shape(node)
            except (_OtherError, duckdb.Error):  # the latter where DuckDB cannot write what it has read
                continue
        return None

    def _rows(self, node: _Node) -> Rows:
        _plain(node, "where_clause")
        _all_columns(node)
        _batch(node["from_table"])
        return Rows(self._sql(node["where_clause"]))

    def _groups(self, node: _Node) -> Groups:
        clause = "qualify" if node["qualify"] else "having"
        _plain(node, "group_expressions", clause)
        _batch(node["from_table"])
        if node["group_sets"] != [list(range(len(node["group_expressions"])))]:
            raise _OtherError
        by = self._key(node["group_expressions"])
        aliases: dict[str, _Node] = {}
        for one in node["select_list"]:
            # In the select list a column goes before a name of the list.
            earlier = {name: each for name, each in aliases.items() if name not in self._columns}
            plain = self._without_aliases(one, earlier)
            if one["alias"]:
                aliases[one["alias"].lower()] = plain
        # After HAVING a column goes first only where rows are grouped by it, after QUALIFY always.
        if aliases.keys() & (
            self._columns if clause == "qualify" else _columns_in(node["group_expressions"])
        ):
            raise _OtherError
        condition = self._without_aliases(node[clause], aliases)
        return Groups(by, self._sql(condition, windows=clause == "qualify"))

    def _repeated(self, node: _Node) -> Repeated:
        _plain(node, "qualify")
        _all_columns(node)
        _batch(node["from_table"])
        compared = node["qualify"]
        if compared["type"] != "COMPARE_GREATERTHAN" or compared["right"]["class"] != "CONSTANT":
            raise _OtherError
        literal = compared["right"].get("literal", {})
        call, key = self._window(compared["left"])
        if (
            literal.get("kind") != "INTEGER"
            or call["function_name"] not in ("count", "count_star")
            or call["arguments"]
        ):
            raise _OtherError
        return Repeated(key, int(literal["text"]))

    def _rows_of_groups(self, node: _Node) -> RowsOfGroups:
        _plain(node, "where_clause")
        inner = _select(node["from_table"])
        _plain(inner)
        _batch(inner["from_table"])
        star, *windows = inner["select_list"]
        _star(star)
        read = {one["alias"].lower(): self._window(one) for one in windows}
        if (
            not read
            or len(read) < len(windows)
            or read.keys() & (self._columns | {""})
            or len(node["select_list"]) != 1
        ):
            raise _OtherError
        _star(node["select_list"][0], excluding=set(read))
        keys = {key for _, key in read.values()}
        calls = {name: call for name, (call, _) in read.items()}
        if len(keys) > 1:
            raise _OtherError
        of_group, of_row = [], []
        for one in _conjuncts(node["where_clause"]):
            used = _columns_in(one)
            if used and used <= read.keys():
                of_group.append(self._sql(self._without_aliases(one, calls)))
            elif not used & read.keys():
                of_row.append(self._sql(one))
            else:
                raise _OtherError
        return RowsOfGroups(keys.pop(), " and ".join(of_group) or "true", " and ".join(of_row) or "true")

    def _window(self, window: _Node) -> tuple[_Node, tuple[str, ...]]:
        """An aggregate over whole partitions: its call as if it were none over a window, and what makes the partitions."""
        if window.get("type") != "WINDOW_AGGREGATE" or not window["partitions"]:
            raise _OtherError
        odd = ("orders", "start_expr", "end_expr", "offset_expr", "default_expr", "filter_expr", "arg_orders")
        if any(window[name] for name in (*odd, "ignore_nulls", "distinct", "schema")):
            raise _OtherError
        if (window["start"], window["end"], window["exclude_clause"]) != _WHOLE:
            raise _OtherError
        name = window["function_name"].lower()
        if name not in self._aggregates:
            raise _OtherError
        path = {"function_name": name, "qualified_name": {"path": [name]}}
        call = {**self._call, **path, "arguments": window["arguments"]}
        return call, self._key(window["partitions"])

    def _key(self, nodes: list[_Node]) -> tuple[str, ...]:
        """What rows are grouped by. A number means a place in the select list, which is another list here."""
        if any(one["class"] == "CONSTANT" for one in nodes):
            raise _OtherError
        return tuple(self._sql(one) for one in nodes)

    def _without_aliases(self, tree: Any, aliases: Mapping[str, _Node]) -> Any:
        """An expression with names replaced by what they stand for; inside an aggregate a name is a column's."""
        if isinstance(tree, list):
            return [self._without_aliases(one, aliases) for one in tree]
        if not isinstance(tree, dict):
            return tree
        if tree.get("class") == "FUNCTION" and tree["function_name"].lower() in self._aggregates:
            return tree
        if tree.get("class") == "COLUMN_REF":
            meant = aliases.get(".".join(tree["column_names"]).lower())
            return tree if meant is None else {**meant, "alias": ""}
        return {key: self._without_aliases(value, aliases) for key, value in tree.items()}

    def _sql(self, node: _Node, *, windows: bool = False) -> str:
        """An expression of the batch's columns as SQL; it may have aggregates over whole partitions if `windows`."""
        if not _columns_in(node) <= self._columns:
            raise _OtherError
        for one in _walk(node):
            if windows and one.get("class") == "WINDOW":
                self._window(one)
            elif one.get("class") in _NOT_ALONE or len(one.get("column_names", ())) > 1:
                raise _OtherError
            if str(one.get("function_name", "")).lower() in self._volatile:
                raise _OtherError
        tree = deepcopy(self._frame)
        tree["statements"][0]["node"]["select_list"] = [{**node, "alias": ""}]
        text = self._con.execute("select json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()[0][0]
        return f"({text.removeprefix('SELECT ')})"

    def _parsed(self, query: str) -> _Node:
        return json.loads(self._con.execute("select json_serialize_sql(?)", [query]).fetchall()[0][0])


# How a window is written that is said to be nothing but its partition.
_WHOLE = ("UNBOUNDED_PRECEDING", "CURRENT_ROW_RANGE", "NO_OTHER")
# Expressions that mean something only where they stand.
_NOT_ALONE = ("SUBQUERY", "WINDOW", "STAR", "POSITIONAL_REFERENCE", "PARAMETER", "DEFAULT")
_PARTS = ("modifiers", "where_clause", "group_expressions", "group_sets", "having", "sample", "qualify")


@lru_cache(maxsize=1)
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    """Names of DuckDB's aggregates, and of what gives another answer each time, which cannot be asked in another way."""
    import duckdb

    with duckdb.connect() as con:
        found = con.execute(
            "select function_name, bool_or(function_type = 'aggregate'), bool_or(stability = 'VOLATILE')"
            " from duckdb_functions() group by all"
        ).fetchall()
    aggregates = frozenset(name for name, aggregate, _ in found if aggregate)
    return aggregates | {"count_star"}, frozenset(name for name, _, volatile in found if volatile)


def _plain(node: _Node, *present: str) -> None:
    """A SELECT that has these clauses and no others."""
    wanted = {*present, *(["group_sets"] if "group_expressions" in present else [])}
    if any(bool(node[name]) != (name in wanted) for name in _PARTS):
        raise _OtherError
    if node["cte_map"]["map"] or node["aggregate_handling"] != "STANDARD_HANDLING":
        raise _OtherError


def _all_columns(node: _Node) -> None:
    if len(node["select_list"]) != 1:
        raise _OtherError
    _star(node["select_list"][0])


def _star(node: _Node, excluding: Collection[str] = ()) -> None:
    """A `*` of all columns, or of all but these."""
    odd = (
        "relation_name",
        "replace_list",
        "columns",
        "expr",
        "qualified_exclude_list",
        "rename_list",
        "alias",
    )
    if node["class"] != "STAR" or any(node[name] for name in odd):
        raise _OtherError
    if {name.lower() for name in node["exclude_list"]} != set(excluding):
        raise _OtherError


def _select(table: _Node) -> _Node:
    """The SELECT that a subquery is, as it stands."""
    if table["type"] != "SUBQUERY" or table["column_name_alias"] or table["sample"]:
        raise _OtherError
    node: _Node = table["subquery"]["node"]
    if node["type"] != "SELECT_NODE":
        raise _OtherError
    return node


def _batch(table: _Node) -> None:
    """The subquery that Great Expectations puts in the place of `{batch}`."""
    node = _select(table)
    _plain(node)
    _all_columns(node)
    source = node["from_table"]
    if source["type"] != "BASE_TABLE" or source["qualified_name"]["path"] != ["batch"] or source["sample"]:
        raise _OtherError


def _conjuncts(node: _Node) -> Iterator[_Node]:
    if node["type"] == "CONJUNCTION_AND":
        for one in node["children"]:
            yield from _conjuncts(one)
    else:
        yield node


def _columns_in(tree: Any) -> set[str]:
    return {one["column_names"][-1].lower() for one in _walk(tree) if one.get("class") == "COLUMN_REF"}


def _walk(tree: Any) -> Iterator[_Node]:
    """All objects of a tree."""
    if isinstance(tree, dict):
        yield tree
    for one in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _walk(one)
