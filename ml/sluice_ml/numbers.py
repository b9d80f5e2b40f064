"""Which numbers a model can hold: it sees float32, where what is larger becomes infinite, and XGBoost refuses a whole matrix.

The gate holds such rows where they arrive; `keep_representable` is for those that were published before it did, so that
one row cannot stop every training whose window has its day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# The largest finite float32.
LARGEST = 3.4028234663852886e38


def keep_representable(rows: pa.Table, numeric: Sequence[str]) -> tuple[pa.Table, dict[str, int]]:
    """Leave out rows with a number that is infinite or none, or becomes so as float32.

    Args:
        rows: `ds` and the columns `numeric`; a null is no number and stays.

    Returns: the other rows, and how many were left out, by `<day> <column>`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    left_out: dict[str, int] = {}
    keep = pa.chunked_array([pa.repeat(True, rows.num_rows)])
    for name in numeric:
        values = rows[name]
        if not pa.types.is_floating(values.type):
            continue  # no integer is too large
        good = pc.fill_null(pc.and_(pc.is_finite(values), pc.less_equal(pc.abs(values), LARGEST)), True)
        keep = pc.and_(keep, good)
        days = pc.value_counts(pc.cast(rows["ds"].filter(pc.invert(good)), pa.string()))
        left_out |= {f"{one['values']} {name}": one["counts"] for one in days.to_pylist()}
    return (rows.filter(keep) if left_out else rows), dict(sorted(left_out.items()))
