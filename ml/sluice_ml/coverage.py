"""What a model was shown enough of, and what it has never seen.

A model gives every row a number, also one of a kind that it met three times. So each segment (a value of a declared
column) is counted on the training days; rows of a segment with too few of them, or without both outcomes, are scored
like all others and say so. A category that was not there at all is scored as `some other` and counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig
from sluice_ml.model import ModelMeta, require

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# What is kept of a value that nobody expected: enough to recognise it.
_SHOWN_LETTERS = 40


def measure(train: pa.Table, label: np.ndarray, config: ModelConfig) -> dict[str, dict[str, dict[str, Any]]]:
    """Segment column to value to {rows, label_rate, supported}; a missing value is the segment "".

    Raises:
        RowsUnusableError: a segment is no column of the rows.
    """
    import pyarrow as pa

    require(train, config.segments)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name in config.segments:
        counted = (
            pa.table({"value": _values(train, name), "late": pa.array(label.astype("float64"))})
            .group_by("value")
            .aggregate([("late", "count"), ("late", "mean")])
            .sort_by("value")
        )
        found[name] = {
            item["value"]: {
                "rows": item["late_count"],
                "label_rate": item["late_mean"],
                "supported": item["late_count"] >= config.segment_min_rows and 0 < item["late_mean"] < 1,
            }
            for item in counted.to_pylist()
        }
    return found


def supported(rows: pa.Table | pa.RecordBatch, meta: ModelMeta) -> pa.Array:
    """For each row, whether all its segments had enough rows in training.

    Raises:
        RowsUnusableError: a segment is no column of the rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require(rows, list(meta.coverage))
    answer = pa.repeat(pa.scalar(True), rows.num_rows)
    for name, segments in meta.coverage.items():
        known = pa.array([value for value, seen in segments.items() if seen["supported"]], pa.string())
        answer = pc.and_(answer, pc.is_in(_values(rows, name), value_set=known))
    return answer


def unseen(rows: pa.Table | pa.RecordBatch, meta: ModelMeta) -> pa.Array:
    """For each row, the categories that training never met, as a JSON object of column and value; null where none is.

    A model that does not know which rare categories it met takes those for unseen too.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found: dict[int, dict[str, str]] = {}
    for name in meta.categorical:
        values = pc.cast(rows[name], pa.string())
        known = pa.array([*meta.vocabulary[name], *meta.rare.get(name, ())], pa.string())
        new = pc.and_(pc.is_valid(values), pc.invert(pc.is_in(values, value_set=known)))
        places = pc.indices_nonzero(new)
        shown = pc.utf8_slice_codeunits(values.take(places), 0, _SHOWN_LETTERS)
        for place, value in zip(places.to_pylist(), shown.to_pylist(), strict=True):
            found.setdefault(place, {})[name] = value
    if not found:
        return pa.nulls(rows.num_rows, pa.string())
    texts = {place: json.dumps(categories, ensure_ascii=False) for place, categories in found.items()}
    return pa.array([texts.get(place) for place in range(rows.num_rows)], pa.string())


def summarise(predictions: pa.Table) -> dict[str, Any]:
    """Counts of what scoring met, for the record of its batch: unsupported rows, and rows by unseen category."""
    import pyarrow.compute as pc

    texts = predictions["unseen_categories"].drop_null()
    counts = pc.value_counts(texts).to_pylist()
    by_category: dict[str, int] = {}
    for item in counts:
        for column, value in json.loads(item["values"]).items():
            name = f"{column}={value}"
            by_category[name] = by_category.get(name, 0) + item["counts"]
    rows = predictions.num_rows
    return {
        "unsupported_rows": rows - (pc.sum(predictions["is_supported"]).as_py() or 0),
        "unseen_rows": len(texts),
        "unseen_share": len(texts) / rows if rows else 0.0,
        "unseen": dict(sorted(by_category.items(), key=lambda item: (-item[1], item[0]))[:20]),
    }


def unsupported(coverage: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[str]:
    """Segments that had too few rows, as `column value (n rows)`."""
    return [
        f"{name} {value or 'missing'} ({seen['rows']} rows)"
        for name, segments in coverage.items()
        for value, seen in segments.items()
        if not seen["supported"]
    ]


def _values(rows: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(pc.cast(rows[name], pa.string()), "")
