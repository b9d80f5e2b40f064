"""Models that score, and the one way rows become numbers.

Training and scoring call the same `encode`, so that a row can never be read in two ways. The vocabulary of a categorical
column is learned once, on the training days, and travels with the model: all values it does not hold become one,
a null stays missing. Nothing here can fit. A model is two files, XGBoost's own UBJSON or the weights of a linear model, and a JSON description; no
pickle.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sluice_ml.errors import RowsUnusableError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Days that an error names.
_NAMED_DAYS = 5
# Written into every description; a reader refuses what it does not know.
FORMAT = 1
# Kinds of models, the simplest first.
LINEAR, BOOSTED = "linear", "boosted"
ALGORITHMS = (LINEAR, BOOSTED)


class Scorer(Protocol):
    """What scores rows: probabilities of the label, float64 in [0, 1], in the rows' order."""

    def score(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class ModelMeta:
    """Everything about a model that is not in its trees; JSON-safe.

    `vocabulary` maps each categorical column to its known values, in code order. `splits` gives days, rows and label rate
    of: `train`, what the judged model learned; `valid`, the days among them that chose its rounds; `test`, the days that it
    was judged on; `refit`, what the model that serves learned, by the same recipe. `metrics` maps model ("candidate",
    "baseline", "linear", "boosted") to metric to {value, low, high} on the test days, `chosen_by` the kinds of model to their
    mean daily AUC on the valid days, which chose `algorithm`. `agreement` is the concordance of the two models' scores on the
    test days, `refit_loss_change` the log loss there of the one that serves minus that of the judged one.
    `learned_daily_auc` is the judged model's mean daily AUC on `train`, the days that it learned.
    `outliers` is `sluice_ml.outliers.fit`, of the same days and calibrated on the test days.
    `recipe_sha256` is `sluice_ml.recipe.digest`, `judged_sha256` the hash of the judged model's file.
    `rows_sha256` is the hash of exactly the numbers the serving model was fitted on. `rare` maps each categorical column
    to the values that training met too seldom to learn; `coverage` is `sluice_ml.coverage.measure`, `capped`
    what `sluice_ml.influence.cap` cut. Models of before these were recorded have none of them: what was judged serves,
    fitted on `train` and stopped on `valid` after `best_iteration`.
    """

    format: int
    name: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    vocabulary: Mapping[str, Sequence[str]]
    splits: Mapping[str, Mapping[str, Any]]
    unlabelled_rows: int
    rows_sha256: str
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    config: Mapping[str, Any]
    libraries: Mapping[str, str]
    rare: Mapping[str, Sequence[str]] = field(default_factory=dict)
    coverage: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    capped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    algorithm: str = BOOSTED
    rounds: int | None = None
    best_iteration: int | None = None
    chosen_by: Mapping[str, float | None] = field(default_factory=dict)
    recipe_sha256: str = ""
    judged_sha256: str = ""
    agreement: float | None = None
    refit_loss_change: float | None = None
    learned_daily_auc: float | None = None
    outliers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def learned_until(self) -> str:
        """The last day (YYYY-MM-DD) that the serving model learned anything from."""
        return str(self.splits["refit" if "refit" in self.splits else "valid"]["last"])

    @property
    def fitted_on(self) -> Mapping[str, Any]:
        """The days whose rows the serving model was fitted on, as `splits` describes them."""
        return self.splits["refit" if "refit" in self.splits else "train"]

    @property
    def lead(self) -> float:
        """How much the AUC of a day was above the baseline's, on the held-out days."""
        mine, baseline = (self.metrics[name]["daily_auc"]["value"] for name in ("candidate", "baseline"))
        return mine - baseline

    def to_json(self) -> str:
        """The same meta gives the same text, so that its hash means something."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> ModelMeta:
        """Raises ValueError where the text is of another format."""
        raw = json.loads(text)
        if raw.get("format") != FORMAT:
            raise ValueError(f"model description of format {raw.get('format')!r}; this code reads {FORMAT}")
        return cls(**{**raw, "numeric": tuple(raw["numeric"]), "categorical": tuple(raw["categorical"])})


class Trained(Scorer, Protocol):
    """A model that was trained, and what is known of it."""

    meta: ModelMeta

    def gains(self) -> dict[str, float]:
        """Feature to its importance, above zero; without those that the model does not use."""
        ...

    def contributions(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """What each feature adds to the log odds of each row: (rows, numeric then categorical, then what all rows have).

        A row's sum is the logit of its score. Of trees they are Shapley values (Lundberg, Erion and Lee, "Consistent
        Individualized Feature Attribution for Tree Ensembles", 2018), computed by XGBoost.
        """
        ...


def load(content: bytes, meta: ModelMeta, *, threads: int) -> Trained:
    """The model of a file, whatever its kind. Raises ValueError where this code does not know the kind."""
    from sluice_ml.linear import LinearModel

    if meta.algorithm == LINEAR:
        return LinearModel(content, meta)
    if meta.algorithm == BOOSTED:
        return ScoringModel(content, meta, threads=threads)
    raise ValueError(f"a model of kind {meta.algorithm!r}; this code knows {', '.join(ALGORITHMS)}")


class ScoringModel:
    """A trained XGBoost model. `threads` changes its speed, never its scores."""

    def __init__(self, ubj: bytes, meta: ModelMeta, *, threads: int) -> None:
        import xgboost

        self.meta = meta
        self._booster = xgboost.Booster({"nthread": threads})
        self._booster.load_model(bytearray(ubj))

    def gains(self) -> dict[str, float]:
        """Feature to the gain of all splits by it; without those that no tree splits by."""
        names = (*self.meta.numeric, *self.meta.categorical)
        gains: dict[str, Any] = self._booster.get_score(importance_type="total_gain")
        return {name: float(gains[f"f{place}"]) for place, name in enumerate(names) if f"f{place}" in gains}

    def score(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """Probabilities of the label; a batch scored whole equals its rows scored one by one.

        Raises:
            RowsUnusableError: a feature of the model is not a column of `rows`.
        """
        matrix = encode(rows, self.meta.numeric, self.meta.categorical, self.meta.vocabulary)
        return self._booster.inplace_predict(matrix).astype("float64")

    def contributions(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """As `Trained.contributions`."""
        import xgboost

        matrix = encode(rows, self.meta.numeric, self.meta.categorical, self.meta.vocabulary)
        types = feature_types(self.meta.numeric, self.meta.categorical)
        data = xgboost.DMatrix(matrix, feature_types=types, enable_categorical=True)
        return self._booster.predict(data, pred_contribs=True).astype("float64")


@dataclass(frozen=True)
class BaselineModel:
    """A rule in place of a model: one column of the features as the score, `default` where it is null."""

    column: str
    default: float

    def score(self, rows: pa.Table | pa.RecordBatch) -> np.ndarray:
        """As `ScoringModel.score`."""
        import numpy as np

        values = encode(rows, (self.column,), (), {})[:, 0].astype("float64")
        return np.clip(np.where(np.isnan(values), self.default, values), 0.0, 1.0)


def encode(
    rows: pa.Table | pa.RecordBatch,
    numeric: Sequence[str],
    categorical: Sequence[str],
    vocabulary: Mapping[str, Sequence[str]],
) -> np.ndarray:
    """The matrix that models see: float32, (rows, numeric then categorical), null as NaN.

    A categorical value is its position in the column's vocabulary; all unknown values share the position after the last.

    Raises:
        RowsUnusableError: a column is missing, or a number is infinite, or becomes so as float32.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    require(rows, [*numeric, *categorical])
    # Column by column in memory, as it is filled: row by row, each column would touch all of it (four times as slow).
    matrix = np.empty((rows.num_rows, len(numeric) + len(categorical)), dtype="float32", order="F")
    for place, name in enumerate(numeric):
        # Unsafe only in that an integer beyond 2**24 may be rounded: XGBoost would round it too.
        matrix[:, place] = pc.cast(rows[name], pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        if np.isinf(matrix[:, place]).any():
            raise _unrepresentable(rows, name, np.isinf(matrix[:, place]))
    for place, name in enumerate(categorical, start=len(numeric)):
        known = vocabulary[name]
        values = pc.cast(rows[name], pa.string())
        codes = pc.fill_null(pc.index_in(values, value_set=pa.array(known, pa.string())), len(known))
        codes = pc.if_else(pc.is_valid(values), codes, None)
        matrix[:, place] = pc.cast(codes, pa.float32()).to_numpy(zero_copy_only=False)
    return matrix


def _unrepresentable(rows: pa.Table | pa.RecordBatch, name: str, places: np.ndarray) -> RowsUnusableError:
    days = rows["ds"].to_numpy(zero_copy_only=False)[places] if "ds" in rows.schema.names else ()
    of = f" of {', '.join(sorted({str(day) for day in days})[:_NAMED_DAYS])}" if len(days) else ""
    return RowsUnusableError(
        f"{int(places.sum())} rows{of} have a {name} that is infinite, or larger than a model can hold (float32).",
        where=name,
        todo="correct the value where it came from and replay the day; its gate has the rule numbers_fit_float32",
    )


def feature_types(numeric: Sequence[str], categorical: Sequence[str]) -> list[str]:
    """XGBoost's type letter of each column of the matrix."""
    return ["q"] * len(numeric) + ["c"] * len(categorical)


def require(rows: pa.Table | pa.RecordBatch, columns: Sequence[str]) -> None:
    """Raise RowsUnusableError naming all of `columns` that `rows` does not have."""
    missing = sorted(set(columns) - set(rows.schema.names))
    if missing:
        raise RowsUnusableError(
            f"The rows have no column {', '.join(missing)}.",
            where=f"columns given: {', '.join(rows.schema.names)}",
            todo="build the feature table with these columns, or correct the model's features",
        )
