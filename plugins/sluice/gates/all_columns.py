"""Rules about all columns of a table but some: a column that is added later is judged by them too.

A rule that looks at each column by itself takes `all_columns_but` in the place of its `column_list`: groups of columns to leave out,
each with a reason. What the platform adds to a row, the column that the rule groups by, and a key of one column, which differs in each
row, are left out anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sluice.declare.contracts import PLATFORM_COLUMNS
from sluice.lake.columns import PLATFORM

ARGUMENT = "all_columns_but"
# Rules that look at each column by itself, and whether it has to be a number.
TYPES: Mapping[str, bool] = {
    "expect_column_means_to_fit_history": True,
    "expect_column_magnitudes_to_fit_history": True,
    "expect_column_null_shares_to_fit_history": False,
    "expect_column_categories_to_be_known_from_history": False,
    "expect_column_values_not_to_spike": False,
    "expect_column_mode_shares_to_fit_history": False,
}
# Ids of DuckDB's types.
_NUMBERS = ("tinyint", "smallint", "integer", "bigint", "hugeint", "float", "double", "decimal")


class _LeftOut(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[str, ...] = Field(min_length=1)
    why: str = Field(min_length=1)


class _Arguments(BaseModel):
    all_columns_but: list[_LeftOut]


def listed(
    kind: str, arguments: Mapping[str, Any], columns: Callable[[], Mapping[str, str]], key: Collection[str]
) -> dict[str, Any]:
    """Arguments with a `column_list` in the place of `all_columns_but`, where they have that.

    Args:
        columns: gives the table's columns with their DuckDB types.
        key: the table's business key.

    Raises:
        ValueError: a group has no columns or no reason, a column is none of the table's, or none is left.
    """
    if ARGUMENT not in arguments:
        return dict(arguments)
    import duckdb

    groups, there = _Arguments.model_validate(arguments).all_columns_but, columns()
    left_out = {name for group in groups for name in group.columns}
    if unknown := sorted(left_out - set(there)):
        raise ValueError(f"{ARGUMENT}: there is no column {unknown[0]!r} (it has {', '.join(there)})")
    left_out |= {*PLATFORM_COLUMNS, *PLATFORM, str(arguments.get("by")), *(key if len(key) == 1 else ())}
    chosen = [
        name
        for name, type_ in there.items()
        if name not in left_out and (not TYPES[kind] or duckdb.sqltype(type_).id in _NUMBERS)
    ]
    if not chosen:
        raise ValueError(f"{ARGUMENT}: no column is left")
    given = {name: value for name, value in arguments.items() if name != ARGUMENT}
    return {**given, "column_list": chosen}
