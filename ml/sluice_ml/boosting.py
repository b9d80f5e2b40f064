"""Boosted trees: how many rounds, chosen over several blocks of days, and the fit with that many.

Early stopping on the days of one week stops wherever that week's noise says: one model that was shipped had a single tree.
The loss of every round is therefore averaged over blocks of days, each predicted by a model of the days before it, and the
number with the lowest mean is fixed from then on.

With class weights that loss is weighted as the training is, and afterwards what the weights moved is taken back from the one
number that all rows have in common: scores are probabilities with and without them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice_ml.config import ModelConfig
from sluice_ml.model import feature_types
from sluice_ml.parameters import FIXED
from sluice_ml.splits import weights_of

if TYPE_CHECKING:
    import numpy as np
    import xgboost

# Matrix and labels.
Data = tuple["np.ndarray", "np.ndarray"]


def search(
    folds: Sequence[tuple[Data, Data]],
    config: ModelConfig,
    callbacks: Sequence[xgboost.callback.TrainingCallback] = (),
) -> tuple[int, list[np.ndarray]]:
    """The number of rounds with the lowest mean loss over all blocks, and the scores of each block at it.

    Args:
        folds: days to learn from, and the block of days after them.
        callbacks: what XGBoost calls while it trains.
    """
    import numpy as np

    curves, boosters = [], []
    for before, block in folds:
        seen: dict[str, dict[str, list[float]]] = {}
        boosters.append(_train(before, config, config.rounds, block, seen, callbacks))
        curves.append(seen["block"][FIXED["eval_metric"]])
    rounds = int(np.argmin(np.mean(curves, axis=0))) + 1
    scores = [
        booster[:rounds].inplace_predict(block[0]).astype("float64")
        for booster, (_, block) in zip(boosters, folds, strict=True)
    ]
    return rounds, scores


def fit(matrix: np.ndarray, label: np.ndarray, config: ModelConfig, rounds: int) -> bytes:
    """The model's bytes, after exactly so many rounds."""
    return bytes(_train((matrix, label), config, rounds).save_raw(raw_format="ubj"))


def _train(
    data: Data,
    config: ModelConfig,
    rounds: int,
    block: Data | None = None,
    seen: dict[str, dict[str, list[float]]] | None = None,
    callbacks: Sequence[xgboost.callback.TrainingCallback] = (),
) -> xgboost.Booster:
    import xgboost

    types = feature_types(config.numeric, config.categorical)

    def quantised(part: Data, ref: xgboost.DMatrix | None = None) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(
            *part,
            weight=weights_of(part[1], config),
            feature_types=types,
            enable_categorical=True,
            nthread=config.threads,
            ref=ref,
        )

    params = {**config.params, **FIXED, "seed": config.seed, "nthread": config.threads}
    if any(config.directions):
        params["monotone_constraints"] = f"({','.join(map(str, config.directions))})"
    train = quantised(data)
    booster = xgboost.train(
        params,
        train,
        rounds,
        evals=[(quantised(block, train), "block")] if block else [],
        evals_result=seen,
        callbacks=callbacks,
        verbose_eval=False,
    )
    return _unweighted(booster, config) if config.weighted_odds else booster


def _unweighted(booster: xgboost.Booster, config: ModelConfig) -> xgboost.Booster:
    """Take what the weights moved from the log-odds that all rows have in common; where there are trees, only the model's JSON can."""
    import xgboost

    model = json.loads(bytes(booster.save_raw(raw_format="json")))
    common = model["learner"]["learner_model_param"]
    (base,) = json.loads(common["base_score"])
    common["base_score"] = json.dumps([1 / (1 + math.exp(config.weighted_odds) * (1 - base) / base)])
    return xgboost.Booster({"nthread": config.threads}, model_file=bytearray(json.dumps(model).encode()))
