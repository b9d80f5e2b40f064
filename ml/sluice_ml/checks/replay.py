"""No peeking: features rebuilt with everything hidden that came later are what they are with it.

This check is given tables, not scores: what was published, the same day rebuilt as of its own run, and, where these differ, rebuilt
with all that came later. Only what differs between the two rebuilds was looked up in the future; what differs from the
published rows alone was corrected since, or is made by other code today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice_ml.checks.judged import Finding

if TYPE_CHECKING:
    import pyarrow as pa

# Sums of other orders differ in their last digits.
_CLOSE = 1e-9


@dataclass(frozen=True)
class Replayed:
    """Columns of one day that differ: from the published rows, and from what is built with all that came later."""

    rows: int
    from_published: tuple[str, ...]
    by_later: tuple[str, ...]


def check(days: Mapping[str, Replayed]) -> Finding:
    """FAIL where a column of a day is another one if what came later is there; names the columns."""
    leaking = {day: one.by_later for day, one in days.items() if one.by_later}
    unlike = {day: one.from_published for day, one in days.items() if one.from_published and not one.by_later}
    named = ", ".join(sorted({name for columns in leaking.values() for name in columns}))
    said = [
        f"Rebuilt with everything hidden that came later: {', '.join(f'{day} ({one.rows:,} rows)' for day, one in days.items())}."
    ]
    if leaking:
        said.append(
            f"What came later changes {named} of {', '.join(leaking)}: find the model that looks at the day itself, or after it."
        )
    if unlike:
        said.append(
            f"As published they are otherwise, whatever came later ({', '.join(unlike)}): corrected since, or made by other code."
        )
    empty = not days or not all(one.rows for one in days.values())
    if empty:
        said.append("A day without rows shows nothing.")
    return Finding(
        "replay",
        "FAIL" if leaking else "ERROR" if empty else "PASS",
        " ".join(said),
        {"days": {day: vars(one) for day, one in days.items()}},
    )


def differing(one: pa.Table, other: pa.Table, key: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns in which two tables of the same rows differ; the key's, where they have other rows."""
    one, other = (table.sort_by(key) for table in (one, other))
    if not one[key].combine_chunks().equals(other[key].combine_chunks()):
        return (key,)
    return tuple(name for name in columns if not _same(one[name], other[name]))


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    import numpy as np
    import pyarrow as pa

    if any(pa.types.is_floating(kind) or pa.types.is_decimal(kind) for kind in (one.type, other.type)):
        mine, theirs = (values.cast(pa.float64()).to_numpy() for values in (one, other))
        return bool(np.allclose(mine, theirs, rtol=_CLOSE, atol=0, equal_nan=True))
    # A published table may hold the same values in a wider type.
    return bool(one.cast(pa.string()).combine_chunks().equals(other.cast(pa.string()).combine_chunks()))
