"""Parameters of XGBoost: those that every training has, and whether the declared ones exist."""

from __future__ import annotations

import difflib
import json
import re
import warnings
from collections.abc import Mapping
from typing import Any

FIXED = {
    "objective": "binary:logistic",
    # Rounds are chosen by it, not by the AUC that promotion compares: that is too noisy on a few days, and says nothing of
    # how far a score is from the truth.
    "eval_metric": "logloss",
    "tree_method": "hist",
}
# What has a key of its own in the YAML, because not only XGBoost has to know it.
_DECLARED = {
    "monotone_constraints": "model.features.increasing and decreasing",
    "scale_pos_weight": "model.class_weights",
}
# What every training sets itself, whatever is declared.
_OVERWRITTEN = {*FIXED, "seed", "random_state", "nthread", "n_jobs"}
# Two names of one parameter (XGBoost's parameter reference): of both at once it takes one, whichever comes last.
_ALIASES = {
    "eta": "learning_rate",
    "gamma": "min_split_loss",
    "lambda": "reg_lambda",
    "alpha": "reg_alpha",
}
_UNUSED = re.compile(r"Parameters: \{(.*)\} are not used")
_LOG_PREFIX = re.compile(r"^\[[\d:]+\] \S+: ")


def problems(params: Mapping[str, Any]) -> list[str]:
    """Say in words which parameters XGBoost does not know or does not take, by training on a few rows.

    It only warns of a name that it does not know, and trains without it.
    """
    import numpy as np
    import xgboost

    if elsewhere := [f"{name} is declared as {key}" for name, key in _DECLARED.items() if name in params]:
        return elsewhere
    if overwritten := [
        f"{name} is set by every training itself: leave it out" for name in params if name in _OVERWRITTEN
    ]:
        return overwritten
    if twice := [
        f"{one} and {other} are one parameter: give one of them"
        for one, other in _ALIASES.items()
        if {one, other} <= {*params}
    ]:
        return twice
    rows, label = np.array([[0.0], [1.0]] * 4), np.array([0, 1] * 4)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            data = xgboost.DMatrix(rows, label, nthread=1)
            xgboost.train({**params, **FIXED, "validate_parameters": True, "nthread": 1}, data, 1)
        except (xgboost.core.XGBoostError, TypeError, ValueError) as error:
            return [_LOG_PREFIX.sub("", str(error).partition("\n")[0])]
    unused = [found[1] for each in warned if (found := _UNUSED.search(str(each.message)))]
    return [_unknown(name) for names in unused for name in re.findall(r'"(.+?)"', names)]


def known() -> list[str]:
    """Names of the parameters of its trees that XGBoost says it has, as its own configuration of a booster lists them."""
    import xgboost

    booster = xgboost.train({"nthread": 1, **FIXED}, xgboost.DMatrix([[0.0], [1.0]], [0, 1], nthread=1), 1)
    trees = json.loads(booster.save_config())["learner"]["gradient_booster"]["tree_train_param"]
    return sorted({*trees} - {*_DECLARED} - _OVERWRITTEN)


def _unknown(name: str) -> str:
    names = known()
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"XGBoost has no parameter {name} (allowed: {', '.join(names)}){hint}"
