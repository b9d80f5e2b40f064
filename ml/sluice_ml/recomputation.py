"""Scores computed a second time, by other code than that which scores: what scoring, or whatever came after it, got wrong shows.

Rows become numbers here one by one in plain Python, and XGBoost predicts from a `DMatrix`; `sluice_ml.model` encodes whole columns
with Arrow and predicts in place. What both have in common is the model's own file and XGBoost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice_ml.model import LINEAR, ModelMeta, feature_types

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# What two scores of a row may differ by, as a share, and are the same: they are sums in float32 (relative precision 1.2e-7) of some
# hundred trees, which another machine may add in another order. On one machine 5,000 scores of boosted models of 30 and of 400 trees
# were the same to the last bit, and those of a linear one to 4e-16.
SAME_SCORE = 1e-5
# What a score that is nearly nothing may differ by.
SAME_NEAR_ZERO = 1e-9


def recompute(rows: pa.Table, meta: ModelMeta, content: bytes) -> list[float]:
    """Probabilities of the rows by a model's file.

    Args:
        rows: with the columns of `meta.numeric` and `meta.categorical`.
        content: XGBoost's UBJSON, or the weights of a linear model.
    """
    import numpy as np
    import pyarrow as pa

    numbers = [rows[name].to_pylist() for name in meta.numeric]
    texts = [rows[name].cast(pa.string()).to_pylist() for name in meta.categorical]
    places = [
        {value: place for place, value in enumerate(meta.vocabulary[name])} for name in meta.categorical
    ]
    encoded = [[math.nan if value is None else float(value) for value in column] for column in numbers] + [
        # All values that training has not met share one code, after the last; a null stays missing.
        [math.nan if value is None else float(known.get(value, len(known))) for value in column]
        for column, known in zip(texts, places, strict=True)
    ]
    matrix = np.array(encoded, "float32").T
    if meta.algorithm == LINEAR:
        weights = json.loads(content)
        return [_linear(weights, row) for row in matrix.tolist()]
    return _boosted(content, matrix, meta)


def recompute_baseline(rows: pa.Table, column: str, default: float) -> list[float]:
    """The baseline's scores: the column, `default` where it has no value, between 0 and 1."""
    values = (
        default if value is None or math.isnan(value) else float(value) for value in rows[column].to_pylist()
    )
    return [min(max(value, 0.0), 1.0) for value in values]


def _boosted(content: bytes, matrix: np.ndarray, meta: ModelMeta) -> list[float]:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(content))
    types = feature_types(meta.numeric, meta.categorical)
    data = xgboost.DMatrix(matrix, feature_types=types, enable_categorical=True, nthread=1)
    return [float(score) for score in booster.predict(data)]


def _linear(weights: Mapping[str, Any], row: list[float]) -> float:
    total = float(weights["intercept"])
    split = len(weights["numbers"])
    for number, value in zip(weights["numbers"], row[:split], strict=True):
        known = number["median"] if math.isnan(value) else value
        total += number["weight"] * (known - number["mean"]) / number["deviation"]
        total += number["missing"] if math.isnan(value) else 0.0
    for category, value in zip(weights["categories"], row[split:], strict=True):
        total += 0.0 if math.isnan(value) else category[int(value)]
    return 1 / (1 + math.exp(-total)) if total > 0 else math.exp(total) / (1 + math.exp(total))
