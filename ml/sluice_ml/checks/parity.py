"""What serves is what was judged: held-out rows, scored as they are served, have the scores that the model gives the rows of the training.

This check is given tables and the model's file, not scores of a comparison: the rows as a training read them are scored a second time by other code
(`sluice_ml.recomputation`), and the same rows as they are served, by the code that serves. Whatever lies between the two (a column that is changed on the
way, how rows become numbers) shows as another score. What both have in common is not seen: the snapshot, how it is read, the model's file and XGBoost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice_ml.checks.judged import Finding
from sluice_ml.checks.replay import differing
from sluice_ml.recomputation import SAME_NEAR_ZERO, SAME_SCORE, recompute

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice_ml.model import ModelMeta

# Units that are taken for one another: percent, minutes and hours, thousands.
_FACTORS = (0.01, 100.0, 1 / 60, 60.0, 0.001, 1000.0)
# Rows that a changed column is looked for with.
_TRIED = 50


def check(learned: pa.Table, served: pa.Table, meta: ModelMeta, content: bytes, *, key: str) -> Finding:
    """FAIL where a row has another score as it is served, or is not served at all; names the columns, where they can be told.

    Args:
        learned: held-out rows as the training read them: key and features.
        served: rows of the same days as they are served: key, features and `score`.
        content: the model's file.
    """
    places = {row: place for place, row in enumerate(served[key].to_pylist())}
    rows = [places.get(row) for row in learned[key].to_pylist()]
    absent = rows.count(None)
    if absent or not rows:
        said = f"{absent:,} of {len(rows):,} held-out rows are not served at all."
        return Finding("parity", "FAIL" if absent else "ERROR", said, {"rows": len(rows), "absent": absent})
    # A lake may hand out the same keys as large_string.
    served = served.take(rows).set_column(served.column_names.index(key), key, learned[key])
    expected, found = recompute(learned, meta, content), served["score"].to_pylist()
    if broken := sum(not math.isfinite(one) for one in found):
        said = (
            f"{broken:,} of {len(rows):,} held-out rows have scores that are no numbers as they are served."
        )
        return Finding("parity", "FAIL", said, {"rows": len(rows), "no_numbers": broken})
    off = [place for place, both in enumerate(zip(expected, found, strict=True)) if not _same(*both)]
    largest = max((abs(expected[place] - found[place]) for place in off), default=0.0)
    numbers = {"rows": len(rows), "off": len(off), "largest": largest, "limits": {"score": SAME_SCORE}}
    if not off:
        return Finding(
            "parity",
            "PASS",
            f"{len(rows):,} held-out rows have the same score as they are served.",
            numbers,
        )
    columns = differing(learned, served, key, [*meta.numeric, *meta.categorical])
    where = (
        f"They are served with other values of {', '.join(columns)}"
        if columns
        else _changed(learned.take(off[:_TRIED]), [found[place] for place in off[:_TRIED]], meta, content)
    )
    return Finding(
        "parity",
        "FAIL",
        f"{len(off):,} of {len(rows):,} held-out rows have another score as they are served, by {largest:.3g} at most. {where}.",
        {**numbers, "columns": list(columns)},
    )


def _changed(rows: pa.Table, found: Sequence[float], meta: ModelMeta, content: bytes) -> str:
    """Which one column, in another unit, gives the scores that were found."""
    import pyarrow.compute as pc

    for name in meta.numeric:
        place, values = rows.column_names.index(name), pc.cast(rows[name], "float64")
        for factor in _FACTORS:
            changed = rows.set_column(place, name, pc.multiply(values, factor))
            if all(map(_same, recompute(changed, meta, content), found)):
                return f"The scores are as if {name} came in another unit on the way to the model (times {factor:g}, or about that)"
    return "The columns are the same: look at how they become numbers on the way to the model"


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME_SCORE, abs_tol=SAME_NEAR_ZERO)
