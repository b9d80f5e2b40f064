"""Rows that would let a model see its own test, or the future. Each is a reason not to train at all.

A copy of a training row among the test rows, or a row that was known only after it happened, makes a model look better
than it is; nobody notices before it is used. The ids of the rows are named, because the fault is where they were made.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from ml.config import ModelConfig
from ml.errors import RowsLeakError
from ml.model import encode, require

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Ids that an error names.
_NAMED = 50
# Where this share of the training rows looks like a row of another training day, equal content says nothing.
_ORDINARY_SHARE = 0.01


def require_apart(learned: pa.Table, test: pa.Table, config: ModelConfig) -> None:
    """Refuse test rows that are copies of rows that the model learned from: by key, however spelled, or by content.

    Args:
        learned: train and valid rows; test: held-out rows; both with the key, `ds`, all features and the label.

    Raises:
        RowsLeakError: there are copies; names their ids.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    same_key = pc.is_in(_spelled(test, config.key), value_set=_spelled(learned, config.key).combine_chunks())
    copies = same_key.to_numpy()
    contents = _contents(pa.concat_tables([part.select(_read(config)) for part in (learned, test)]), config)
    mine, theirs = contents[: learned.num_rows], contents[learned.num_rows :]
    if _share_of_ordinary_copies(mine, learned) < _ORDINARY_SHARE:
        copies = copies | np.isin(theirs, mine)
    if copies.any():
        raise RowsLeakError(
            f"{copies.sum()} of {test.num_rows} test rows are copies of rows that the model learns from: "
            f"{_named(test, copies, config.key)}.",
            where=f"{config.key}; test days begin on {test['ds'][0]}",
            todo="remove the copies where they were made; a row belongs to one day",
        )


def require_before(rows: pa.Table, cutoff: datetime, config: ModelConfig) -> None:
    """Refuse rows whose features were known too late, or that happen at or after the cutoff.

    Raises:
        RowsLeakError: there are such rows; names their ids.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if config.known_at is None or config.happens_at is None:
        return
    require(rows, [config.key, config.known_at, config.happens_at])
    known, happens = rows[config.known_at], rows[config.happens_at]
    late = pc.or_kleene(
        pc.greater_equal(known, happens), pc.greater_equal(happens, pa.scalar(cutoff, happens.type))
    )
    # An instant that is missing proves nothing.
    found = pc.fill_null(late, True).to_numpy()
    if found.any():
        raise RowsLeakError(
            f"{found.sum()} of {rows.num_rows} rows were known only after they happened, or happen after the cutoff: "
            f"{_named(rows, found, config.key)}.",
            where=f"{config.known_at} must be before {config.happens_at}, and that before {cutoff.isoformat()}",
            todo="find the feature that is computed from what came later",
        )


def _read(config: ModelConfig) -> list[str]:
    return list(dict.fromkeys([*config.features, config.label]))


def _spelled(rows: pa.Table, key: str) -> pa.ChunkedArray:
    """Keys without differences of case and blanks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_substring_regex(pc.utf8_upper(pc.cast(rows[key], pa.string())), r"\s+", "")


def _contents(rows: pa.Table, config: ModelConfig) -> np.ndarray:
    """A number a row, equal for rows with the same features and label, and for no others but by rare chance."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [*encode(rows, config.numeric, (), {}).T, rows[config.label].to_numpy()]
    for name in config.categorical:
        text = pc.utf8_trim_whitespace(pc.utf8_upper(pc.fill_null(pc.cast(rows[name], pa.string()), "")))
        columns.append(text.combine_chunks().dictionary_encode().indices.to_numpy())
    found = np.zeros(rows.num_rows, dtype="uint64")
    for column in columns:
        # One NaN and one zero: equal values have equal bits.
        bits = np.where(np.isnan(column.astype("float64")), np.nan, column.astype("float64") + 0.0).view(
            "uint64"
        )
        found = (found ^ bits) * np.uint64(0x9E3779B97F4A7C15)
        found ^= found >> np.uint64(29)
    return found


def _share_of_ordinary_copies(contents: np.ndarray, rows: pa.Table) -> float:
    """Share of the rows that look like a row of another day, on the days where nothing is hidden."""
    import numpy as np
    import pyarrow.compute as pc

    day = pc.cast(rows["ds"], "int32").to_numpy()
    order = np.lexsort((day, contents))
    contents, day = contents[order], day[order]
    copied = (contents[1:] == contents[:-1]) & (day[1:] != day[:-1])
    return float((np.append(copied, False) | np.append(False, copied)).mean())


def _named(rows: pa.Table, found: np.ndarray, key: str) -> str:
    import pyarrow as pa

    ids = rows[key].filter(pa.array(found)).to_pylist()
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(map(str, ids[:_NAMED])) + more
