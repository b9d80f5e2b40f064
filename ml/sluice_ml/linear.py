"""A logistic regression that serves like any other model: numbers in JSON, and sums that anybody can repeat by hand.

A missing number counts as the training rows' median and has a weight of its own for being missing; numbers are scaled to
a deviation of one; each category has its own weight. `spread` is, by feature, the deviation of what it adds to the sums of the
training rows. Columns are added one by one, so that a batch scored whole equals
its rows scored alone to the last bit, which a matrix product does not promise.

What class weights moved is taken back from the intercept. Where a feature has a direction, the sign of its weight is a bound of the
same problem, which scikit-learn does not take: SciPy solves it then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import ModelMeta, encode
from sluice_ml.splits import weights_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import scipy.sparse

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
    solve = _bounded if any(config.directions) else _unbounded
    intercept, found = solve(design.tocsr(), label, config)
    weights = iter(found.tolist())
    content: dict[str, Any] = {
        "intercept": intercept - config.weighted_odds,
        "numbers": [{**number, "weight": next(weights), "missing": next(weights)} for number in numbers],
        "categories": [[next(weights) for _ in range(size + 1)] for size in sizes],
    }
    content["spread"] = [float(part.std()) for part in _parts(content, matrix)]
    return json.dumps(content, indent=1).encode()


def _unbounded(
    design: scipy.sparse.csr_matrix, label: np.ndarray, config: ModelConfig
) -> tuple[float, np.ndarray]:
    """The intercept and the weights of a regularised logistic regression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=_INVERSE_STRENGTH, max_iter=_STEPS)
    model.fit(design, label, sample_weight=weights_of(label, config))
    return float(model.intercept_[0]), model.coef_[0]


def _bounded(
    design: scipy.sparse.csr_matrix, label: np.ndarray, config: ModelConfig
) -> tuple[float, np.ndarray]:
    """The same, the weights of numbers that have a direction on its side of zero."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    rows = weights_of(label, config)
    rows = np.ones(len(label)) if rows is None else rows
    strength = 1 / (_INVERSE_STRENGTH * rows.sum())

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean loss with its penalty, and its slopes: last the intercept's, which has no penalty."""
        weights, margin = point[:-1], design @ point[:-1] + point[-1]
        wrong = rows * (expit(margin) - label) / rows.sum()
        value = (
            rows @ (np.logaddexp(0, margin) - label * margin) / rows.sum() + strength / 2 * weights @ weights
        )
        return value, np.append(design.T @ wrong + strength * weights, wrong.sum())

    sides: dict[int, tuple[int | None, int | None]] = {1: (0, None), -1: (None, 0), 0: (None, None)}
    bounds: list[tuple[int | None, int | None]] = [(None, None)] * (design.shape[1] + 1)
    # Each number has two columns: its value, and that it is missing.
    bounds[: 2 * len(config.numeric) : 2] = [sides[one] for one in config.directions[: len(config.numeric)]]
    # As scikit-learn's solver (its `tol`).
    options = {"maxiter": _STEPS, "maxls": 50, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps}
    found = minimize(loss, np.zeros(len(bounds)), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    if not found.success:
        raise RowsUnusableError(
            f"The weights of the linear model did not settle in {found.nit} steps: {found.message}",
            where=f"{len(label):,} rows, features.increasing and decreasing",
            todo="look for features that are hardly ever there or the same as another, or leave a direction out",
        )
    return float(found.x[-1]), found.x[:-1]
