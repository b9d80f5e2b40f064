"""What differs between two versions of the same rows, by business key: counts, columns, and a few examples.

The rule kept here: only what the rows say is compared. Columns in which the platform writes where a row came from differ
in every new version, and would make every row look changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice.core.sql import literal, quoted
from sluice.lake import connection

if TYPE_CHECKING:
    import duckdb

# Written by the platform, not by the producer or the model.
PROVENANCE = frozenset({"delivery_id", "prediction_id", "run_id", "scored_at", "feature_snapshot_id"})
EXAMPLES = 20
_NONE: Mapping[str, tuple[float, float]] = {}
# DuckDB's types of numbers; of decimals no size is told.
_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE"}
_NUMBERS |= {f"U{name}" for name in _NUMBERS if name.endswith("INT") or name == "INTEGER"}


def compare(
    before: Sequence[str],
    after: Sequence[str],
    key: Sequence[str],
    *,
    examples: bool,
    tolerances: Mapping[str, tuple[float, float]] = _NONE,
) -> dict[str, Any]:
    """Compare the rows of two sets of Parquet files.

    Args:
        before, after: paths or URIs.
        key: columns that name a row; of rows with the same key the first is compared with the first, and so on.
        tolerances: what a number may differ by and is the same, by column: a share of its old value, and an amount besides.
        examples: whether rows and sizes may be shown; False where they may hold personal data.

    Returns: JSON: `added`, `removed` and `changed` rows, `columns` (changed rows by column, most first),
        `sizes` (of numbers among them: the mean absolute difference in the rows that changed), `columns_added`,
        `columns_removed`, and at most 20 `examples`: {"change", "key", "before", "after"}.
    """
    import duckdb

    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        old, new = _load(con, "old", before), _load(con, "new", after)
        shared = [name for name in old if name in new and name not in PROVENANCE]
        keys = [name for name in key if name in shared]
        values = [name for name in shared if name not in keys]
        differs = {name: _differs(name, old[name] == new[name], tolerances.get(name)) for name in values}
        _pair(con, keys, values)
        counted = ", ".join(f"count(*) filter (where {differs[name]})" for name in values)
        anything = " or ".join(differs.values()) or "false"
        # Names come from the tables themselves, quoted.
        added, removed, changed, *by_column = con.execute(
            "select count(*) filter (where o is null), count(*) filter (where n is null),"  # noqa: S608
            f" count(*) filter (where o is not null and n is not null and ({anything}))"
            f"{', ' + counted if counted else ''} from pairs"
        ).fetchall()[0]
        columns = {name: count for name, count in zip(values, by_column, strict=True) if count}
        return {
            "added": added,
            "removed": removed,
            "changed": changed,
            "columns": dict(sorted(columns.items(), key=lambda item: -item[1])),
            "sizes": _sizes(con, {n: differs[n] for n in columns if {old[n], new[n]} <= _NUMBERS})
            if examples
            else {},
            "columns_added": [name for name in new if name not in old],
            "columns_removed": [name for name in old if name not in new],
            "examples": _examples(con, keys, values, anything) if examples else [],
        }


def sentence(diff: dict[str, Any]) -> str:
    """A comparison in one sentence, without any value of a row."""
    said = f"{diff['changed']:,} rows changed, {diff['added']:,} added, {diff['removed']:,} removed"
    columns = [f"{name} in {count:,}" for name, count in list(diff["columns"].items())[:5]]
    return f"{said}{'; changed: ' + ', '.join(columns) if columns else ''}."


def _load(con: duckdb.DuckDBPyConnection, name: str, files: Sequence[str]) -> dict[str, str]:
    """Make a view of some files; returns its columns and their types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = [connection.local_path(file) for file in files]
    if all(paths):
        listed = ", ".join(literal(str(path)) for path in paths)
        con.execute(
            f"create view {name} as from read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"
        )
    else:
        found = [connection.filesystem(file) for file in files]
        tables = [pq.read_table(path, filesystem=fs, partitioning=None) for fs, path in found]
        con.register(name, pa.concat_tables(tables, promote_options="permissive"))
    return {row[0]: row[1] for row in con.execute(f"describe {name}").fetchall()}


def _pair(con: duckdb.DuckDBPyConnection, keys: Sequence[str], values: Sequence[str]) -> None:
    """Table `pairs`: structs `o` and `n`, the row of a key before and after; null where it is not there."""
    columns = [*keys, *values]
    packed = ", ".join(f"{quoted(name)} := {quoted(name)}" for name in columns)
    by = ", ".join(map(quoted, keys))
    # Rows that are alike in the whole must meet each other first, so all columns order the rows of one key.
    order = ", ".join(map(quoted, columns))
    window = f"{'partition by ' + by if by else ''} order by {order}"
    sides = [
        f"{side} as (select struct_pack({packed}) as row, row_number() over ({window}) as nth from {view})"  # noqa: S608
        for side, view in (("a", "old"), ("b", "new"))
    ]
    on = " and ".join(
        [
            *(f"a.row.{quoted(name)} is not distinct from b.row.{quoted(name)}" for name in keys),
            "a.nth = b.nth",
        ]
    )
    con.execute(
        f"create table pairs as with {', '.join(sides)} "  # noqa: S608
        f"select a.row as o, b.row as n from a full join b on {on}"
    )


def _differs(name: str, same_type: bool, tolerance: tuple[float, float] | None) -> str:
    cast = "" if same_type else "::varchar"
    column = quoted(name)
    differs = f"o.{column}{cast} is distinct from n.{column}{cast}"
    if tolerance is not None:
        share, amount = tolerance
        differs += f" and (abs(o.{column} - n.{column}) <= {share} * abs(o.{column}) + {amount}) is not true"
    return f"(o is not null and n is not null and {differs})"


def _sizes(con: duckdb.DuckDBPyConnection, differs: Mapping[str, str]) -> dict[str, float]:
    """Mean absolute difference by column, of the rows that have a number on both sides."""
    if not differs:
        return {}
    asked = ", ".join(
        f"avg(abs(n.{quoted(name)}::double - o.{quoted(name)}::double)) filter (where {there})"
        for name, there in differs.items()
    )
    means = con.execute(f"select {asked} from pairs").fetchall()[0]  # noqa: S608
    return {
        name: mean
        for name, mean in zip(differs, means, strict=True)
        if mean is not None and math.isfinite(mean)
    }


def _examples(
    con: duckdb.DuckDBPyConnection, keys: Sequence[str], values: Sequence[str], anything: str
) -> list[dict[str, Any]]:
    from pydantic_core import to_jsonable_python

    order = ", ".join([*(f"coalesce(o.{quoted(name)}, n.{quoted(name)})" for name in keys), "1"])
    found = con.execute(
        f"select o, n from pairs where o is null or n is null or {anything} "  # noqa: S608
        f"order by o is null or n is null, {order} limit {EXAMPLES}"
    ).fetchall()
    examples = []
    for before, after in found:
        if before and after:
            about = [name for name in values if before[name] != after[name]]
            change = "changed"
        else:
            about, change = list(values), "added" if after else "removed"
        row = {
            "change": change,
            "key": {name: (before or after)[name] for name in keys},
            "before": {name: before[name] for name in about} if before else None,
            "after": {name: after[name] for name in about} if after else None,
        }
        examples.append(to_jsonable_python(row, inf_nan_mode="null", fallback=str))
    return examples
