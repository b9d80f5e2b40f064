"""Rows in, a candidate out: the same rows give the same bytes, whatever their order.

Days are never mixed: the model learns on the first days, stops on the next and is measured on the last, as it would have
been used. What is measured is what is registered: nothing is fitted again on the held-out days afterwards. Beside the
candidate stand the rule that it has to be worth replacing and a linear model that it has to be worth its trees.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig
from sluice_ml.coverage import measure
from sluice_ml.errors import RowsUnusableError
from sluice_ml.influence import cap
from sluice_ml.leakage import require_apart
from sluice_ml.metrics import METRICS, compare, daily_auc, interval
from sluice_ml.model import FORMAT, BaselineModel, ModelMeta, ScoringModel, encode, feature_types
from sluice_ml.parameters import FIXED
from sluice_ml.splits import days_of, label_of, labelled, rare_of, split, vocabulary_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Candidate:
    """A trained model and what is known of it.

    `test` holds all columns of the held-out rows and `score_candidate`, `score_baseline`, `score_linear` (float64), so that
    another model can be scored on the very same rows.
    """

    ubj: bytes
    sha256: str
    meta: ModelMeta
    test: pa.Table


def fit(rows: pa.Table, config: ModelConfig) -> Candidate:
    """Train the candidate of `config` on labelled rows.

    Args:
        rows: the key, `ds` (date32), the label (bool, null where it will never be known) and all features. Of more than
            `training_days` days only the last are used.

    Raises:
        RowsUnusableError: columns, days or classes are missing, or a key is there twice.
        RowsLeakError: test rows are copies of rows that the model learns from.
    """
    import pyarrow as pa

    used, unlabelled = labelled(rows, config)
    parts = split(used, config)
    learned = pa.concat_tables([parts["train"], parts["valid"]])
    require_apart(learned, parts["test"], config)
    capped: dict[str, dict[str, int]] = {}
    for name in ("train", "valid"):
        parts[name], cut = cap(parts[name], config)
        capped |= cut
    vocabulary = vocabulary_of(parts["train"], config)
    matrices = {
        name: encode(part, config.numeric, config.categorical, vocabulary) for name, part in parts.items()
    }
    labels = {name: label_of(part, config) for name, part in parts.items()}
    for name, label in labels.items():
        if label.all() or not label.any():
            raise RowsUnusableError(
                f"All {len(label)} {name} rows have the same label.",
                where=f"{config.label}, days {days_of(parts[name])[0]} to {days_of(parts[name])[-1]}",
                todo="train on more days, or look at how the label is built",
            )
    ubj, best_iteration = _boost(matrices, labels, config)
    description: dict[str, Any] = {
        "format": FORMAT,
        "name": config.name,
        "numeric": config.numeric,
        "categorical": config.categorical,
        "vocabulary": vocabulary,
        "rare": rare_of(parts["train"], config),
        "coverage": measure(parts["train"], labels["train"], config),
        "capped": capped,
        "best_iteration": best_iteration,
        "splits": {name: _describe(part, labels[name]) for name, part in parts.items()},
        "unlabelled_rows": unlabelled,
        "rows_sha256": _fingerprint(matrices, labels),
        "config": config.as_dict(),
        "libraries": {name: version(name) for name in ("xgboost", "scikit-learn", "numpy", "pyarrow")},
    }
    model = ScoringModel(ubj, ModelMeta(**description, metrics={}), threads=config.threads)
    test = parts["test"]
    scores = {
        "candidate": model.score(test),
        "baseline": BaselineModel(config.baseline, config.baseline_default).score(test),
        "linear": _linear(matrices, labels["train"], config),
    }
    metrics = _measure(test, labels["test"], scores, config)
    for name, score in scores.items():
        test = test.append_column(f"score_{name}", [score])
    return Candidate(ubj, hashlib.sha256(ubj).hexdigest(), ModelMeta(**description, metrics=metrics), test)


def _measure(
    test: pa.Table, label: np.ndarray, scores: dict[str, np.ndarray], config: ModelConfig
) -> dict[str, dict[str, dict[str, float]]]:
    """Model to metric to {value, low, high}: the METRICS over all test days, and `daily_auc`."""
    import pyarrow.compute as pc

    day = pc.cast(test["ds"], "int32").to_numpy()
    drawn = {"resamples": config.resamples, "seed": config.seed}
    metrics = {}
    for name, (values, samples) in compare(label, scores, day, **drawn).items():
        metrics[name] = {
            metric: asdict(interval(values[place], samples[:, place], config.confidence))
            for place, metric in enumerate(METRICS)
        }
        daily = daily_auc(label, scores[name], day, confidence=config.confidence, **drawn)
        if daily is not None:
            metrics[name]["daily_auc"] = asdict(daily)
    return metrics


def _boost(
    matrices: dict[str, np.ndarray], labels: dict[str, np.ndarray], config: ModelConfig
) -> tuple[bytes, int]:
    """The model's bytes, cut at its best round so that no reader needs to know about early stopping."""
    import xgboost

    types = feature_types(config.numeric, config.categorical)

    def data(name: str, ref: xgboost.DMatrix | None = None) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(
            matrices[name],
            labels[name],
            feature_types=types,
            enable_categorical=True,
            nthread=config.threads,
            ref=ref,
        )

    train = data("train")
    booster = xgboost.train(
        {**config.params, **FIXED, "seed": config.seed, "nthread": config.threads},
        train,
        config.rounds,
        evals=[(data("valid", train), "valid")],
        early_stopping_rounds=config.early_stopping_rounds,
        verbose_eval=False,
    )
    best = int(booster.best_iteration)
    return bytes(booster[: best + 1].save_raw(raw_format="ubj")), best


def _linear(matrices: dict[str, np.ndarray], label: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Scores of a logistic regression on the test rows: imputed and scaled numbers, one-hot categories."""
    import numpy as np
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = len(config.numeric)
    imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    model = make_pipeline(
        make_column_transformer(
            (make_pipeline(imputer, StandardScaler()), slice(0, numbers)),
            (OneHotEncoder(handle_unknown="ignore"), slice(numbers, None)),
        ),
        LogisticRegression(max_iter=1000),
    )
    model.fit(matrices["train"], label)
    return model.predict_proba(matrices["test"])[:, list(model.classes_).index(np.True_)].astype("float64")


def _describe(rows: pa.Table, label: np.ndarray) -> dict[str, Any]:
    days = days_of(rows)
    return {
        "first": days[0].isoformat(),
        "last": days[-1].isoformat(),
        "days": len(days),
        "rows": rows.num_rows,
        "label_rate": float(label.mean()),
    }


def _fingerprint(matrices: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> str:
    """Hash of the numbers that decided the model: train and valid, in order."""
    digest = hashlib.sha256()
    for name in ("train", "valid"):
        digest.update(matrices[name].tobytes())
        digest.update(labels[name].tobytes())
    return digest.hexdigest()
