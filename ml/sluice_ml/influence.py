"""No day, and no one within a day, may decide what a model learns.

Labels come back from the world that the model acts in, and somebody may send a burst of them. So the rows of a training
day, and those of one value of a declared column within it, are capped at a share. Which rows stay is decided by a hash
of their keys: the same rows stay whatever order they came in, and nobody can choose them by sending theirs first.
A limit never cuts below twice an even share, so that a short history, or a day of two carriers, is not thinned out.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

from sluice_ml.config import ModelConfig
from sluice_ml.model import require

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# No even share twice.
_EVEN_SHARES = 2


def cap(rows: pa.Table, config: ModelConfig) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """The rows that may be learned from, in their order, and what was cut: where to {rows, kept}.

    Raises:
        RowsUnusableError: the capped column is not there.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.cast(rows["ds"], pa.string()).to_numpy(zero_copy_only=False)
    keep = np.ones(rows.num_rows, dtype=bool)
    cut: dict[str, dict[str, int]] = {}
    total, day_names = rows.num_rows, np.unique(days)
    if config.capped_column:
        require(rows, [config.capped_column])
        values = pc.fill_null(pc.cast(rows[config.capped_column], pa.string()), "").to_numpy(
            zero_copy_only=False
        )
        for day in day_names:
            places = np.flatnonzero(days == day)
            names, counts = np.unique(values[places], return_counts=True)
            most = _most(config.max_value_share, len(names), len(places))
            for name in names[counts > most]:
                mine = places[values[places] == name]
                _thin(keep, mine, most, rows, config.key)
                cut[f"{day} {config.capped_column} {name or 'missing'}"] = {"rows": len(mine), "kept": most}
    most = _most(config.max_day_share, len(day_names), total)
    for day in day_names:
        mine = np.flatnonzero((days == day) & keep)
        if len(mine) > most:
            _thin(keep, mine, most, rows, config.key)
            cut[str(day)] = {"rows": len(mine), "kept": most}
    return (rows.filter(pa.array(keep)).combine_chunks() if cut else rows), cut


def _most(share: float, parts: int, rows: int) -> int:
    return math.floor(max(share, min(1.0, _EVEN_SHARES / parts)) * rows)


def _thin(keep: np.ndarray, places: np.ndarray, most: int, rows: pa.Table, key: str) -> None:
    """Keep `most` of the rows at `places`: those whose keys hash lowest."""
    keys = rows[key].take(places).to_pylist()
    order = sorted(
        zip(keys, places, strict=True),
        key=lambda item: hashlib.blake2b(str(item[0]).encode(), digest_size=8).digest(),
    )
    for _, place in order[most:]:
        keep[place] = False
