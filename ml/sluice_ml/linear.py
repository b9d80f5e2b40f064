"""A logistic regression that serves like any other model: numbers in JSON, and sums that anybody can repeat by hand.

A missing number counts as the training rows' median and has a weight of its own for being missing; numbers are scaled to
a deviation of one; each category has its own weight. `spread` is, by feature, the deviation of what it adds to the sums of the
training rows. Columns are added one by one, so that a batch scored whole equals
its rows scored alone to the last bit, which a matrix product does not promise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig
from sluice_ml.model import ModelMeta, encode

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Inverse strength of the penalty on the sum of squared weights (scikit-learn's `C`).
_INVERSE_STRENGTH = 0.1
# Steps of the solver: of 76 days of flights it needs some 100.
_STEPS = 1000


class LinearModel:
    """A trained logistic regression, as `fit` wrote it."""

    def __init__(self, content: bytes, meta: ModelMeta) -> None:
        self.meta = meta
        self._weights: dict[str, Any] = json.loads(content)

    def gains(self) -> dict[str, float]:
        """Feature to the variance of what it adds to the sum; without those that add the same to all rows."""
        names = (*self.meta.numeric, *self.meta.categorical)
        spread = zip(names, self._weights["spread"], strict=True)
        return {name: deviation**2 for name, deviation in spread if deviation}

    def score(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """As `sluice_ml.model.ScoringModel.score`."""
        matrix = encode(rows, self.meta.numeric, self.meta.categorical, self.meta.vocabulary)
        return predict(self._weights, matrix)

    def contributions(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """As `sluice_ml.model.Trained.contributions`."""
        import numpy as np

        matrix = encode(rows, self.meta.numeric, self.meta.categorical, self.meta.vocabulary)
        same = np.full(len(matrix), self._weights["intercept"])
        return np.column_stack([*_parts(self._weights, matrix), same])


def predict(weights: dict[str, Any], matrix: np.ndarray) -> np.ndarray:
    """Probabilities of the rows of a matrix as `sluice_ml.model.encode` returns it."""
    import numpy as np

    margin = np.full(len(matrix), weights["intercept"])
    for part in _parts(weights, matrix):
        margin += part
    return 1 / (1 + np.exp(-margin))


def _parts(weights: dict[str, Any], matrix: np.ndarray) -> Iterator[np.ndarray]:
    """What each column of the matrix adds to the sum of each row, column by column."""
    import numpy as np

    for place, number in enumerate(weights["numbers"]):
        column = matrix[:, place].astype("float64")
        absent = np.isnan(column)
        scaled = (np.where(absent, number["median"], column) - number["mean"]) / number["deviation"]
        yield number["weight"] * scaled + number["missing"] * absent
    for place, category in enumerate(weights["categories"], start=len(weights["numbers"])):
        codes = matrix[:, place]
        known = ~np.isnan(codes)
        part = np.zeros(len(matrix))
        part[known] = np.array(category)[codes[known].astype(int)]
        yield part


def fit(matrix: np.ndarray, label: np.ndarray, config: ModelConfig, sizes: list[int]) -> bytes:
    """Fit the weights; the same rows in the same order give the same bytes.

    Args:
        matrix: as `sluice_ml.model.encode` returns it.
        sizes: how many values each category's vocabulary has.
    """
    import numpy as np
    import scipy.sparse
    from sklearn.linear_model import LogisticRegression

    numbers, columns = [], []
    for place in range(len(config.numeric)):
        column = matrix[:, place].astype("float64")
        absent = np.isnan(column)
        median = float(np.median(column[~absent])) if not absent.all() else 0.0
        filled = np.where(absent, median, column)
        mean, deviation = float(filled.mean()), float(filled.std()) or 1.0
        numbers.append({"median": median, "mean": mean, "deviation": deviation})
        columns += [(filled - mean) / deviation, absent]
    hot = []
    for place, size in enumerate(sizes, start=len(config.numeric)):
        codes = matrix[:, place]
        known = np.flatnonzero(~np.isnan(codes))
        where = (known, codes[known].astype(int))
        hot.append(scipy.sparse.csr_matrix((np.ones(len(known)), where), (len(label), size + 1)))
    design = scipy.sparse.hstack([scipy.sparse.csr_matrix(np.column_stack(columns).astype("float64")), *hot])
    model = LogisticRegression(C=_INVERSE_STRENGTH, max_iter=_STEPS).fit(design.tocsr(), label)
    weights = iter(model.coef_[0].tolist())
    content: dict[str, Any] = {
        "intercept": float(model.intercept_[0]),
        "numbers": [{**number, "weight": next(weights), "missing": next(weights)} for number in numbers],
        "categories": [[next(weights) for _ in range(size + 1)] for size in sizes],
    }
    content["spread"] = [float(part.std()) for part in _parts(content, matrix)]
    return json.dumps(content, indent=1).encode()
