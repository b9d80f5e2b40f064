"""Ways in which a source system really goes wrong, for rehearsals.

Each mode damages what a producer delivers: `seconds`, `shifted` and `clocks` keep every type right and must be caught by
a gate, the last of them row by row; the others must be caught before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.core.errors import SpecInvalidError
from sluice.declare.spec import Source

if TYPE_CHECKING:
    import pyarrow as pa

MODES = ("seconds", "shifted", "clocks", "missing_column", "wrong_type", "empty", "truncated")

# Columns of arrivals that hold minutes.
_MINUTES = ("dep_delay", "arr_delay", "air_time")
# Flights whose departure is written as a clock that runs past midnight: 25:10 for 01:10.
_WRONG_CLOCKS = 6


def damage(table: pa.Table, source: str, declared: Source, mode: str) -> pa.Table:
    """The rows as a broken producer would send them; `truncated` cuts the file instead, on its way.

    Raises:
        SpecInvalidError: there is no such mode, or the source has no column that it could damage.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    others = [name for name in table.column_names if name not in declared.key]
    numbers = [name for name in others if declared.contract.columns[name].type in ("integer", "number")]
    if mode in ("truncated", "empty"):
        return table.slice(0, 0) if mode == "empty" else table
    if mode == "seconds" and set(_MINUTES) <= set(numbers):
        # A new version of the producer reports seconds where the contract says minutes.
        for name in _MINUTES:
            table = _replace(table, name, pc.multiply(table[name], 60))
        return table
    if mode == "clocks" and "dep_time" in numbers:
        known = pc.fill_null(pc.less(table["dep_time"], 2400), False)
        wrong = pc.and_(known, pc.less_equal(pc.cumulative_sum(known.cast(pa.int64())), _WRONG_CLOCKS))
        return _replace(
            table, "dep_time", pc.if_else(wrong, pc.add(table["dep_time"], 2400), table["dep_time"])
        )
    if mode == "shifted" and len(numbers) > 1:
        # One field was lost and those after it moved up: each number stands under its neighbour's name.
        moved = [table[name] for name in [*numbers[1:], numbers[0]]]
        for name, values in zip(numbers, moved, strict=True):
            table = _replace(table, name, values)
        return table
    if mode == "missing_column" and others:
        return table.drop_columns(others[-1])
    if mode == "wrong_type" and numbers:
        text = table[numbers[0]].cast(pa.string()).to_pylist()
        text[len(text) // 2] = "unknown"
        return _replace(table, numbers[0], pa.array(text))
    raise SpecInvalidError(
        f"A delivery of {source!r} cannot be corrupted in the way {mode!r}.",
        where="sluice feed",
        allowed=f"{', '.join(MODES)}; seconds and clocks for arrivals, shifted and wrong_type where there are numbers",
        todo="choose another mode or source",
    )


def _replace(table: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
