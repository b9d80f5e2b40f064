"""What the YAML says of the search for other parameters: how long it may compute, and between which bounds it looks."""

from __future__ import annotations

from pydantic import Field, model_validator

from sluice.declare.contracts import Strict
from sluice.declare.field_types import Finite


class Bounds(Strict):
    """The least and the greatest value of a parameter; whole numbers where both are. `log`: by its order of magnitude."""

    low: int | Finite
    high: int | Finite
    log: bool = False

    @model_validator(mode="after")
    def _are_in_order(self) -> Bounds:
        if self.low >= self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: give a greater high, or no bounds")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}: what is searched by its order of magnitude is above 0")
        return self


# Ranges of Probst, Boulesteix and Bischl, "Tunability: Importance of Hyperparameters of Machine Learning Algorithms" (JMLR 20,
# 2019, table 1), without what cannot be reached in a few hundred rounds (learning rates below 0.01) or hardly differs from its
# neighbours (sums of penalties beyond 100, trees deeper than 12, samples below 0.4).
_SPACE = {
    "max_depth": Bounds(low=2, high=12),
    "learning_rate": Bounds(low=0.01, high=0.3, log=True),
    "min_child_weight": Bounds(low=1, high=128, log=True),
    "subsample": Bounds(low=0.4, high=1.0),
    "colsample_bytree": Bounds(low=0.4, high=1.0),
    "reg_lambda": Bounds(low=0.01, high=100.0, log=True),
}


class Tuning(Strict):
    """See `sluice_ml.tuning`: the search proposes parameters, and changes none."""

    # Of the processor, over all cores; at most a week.
    cpu_minutes: float = Field(gt=0, le=7 * 24 * 60, allow_inf_nan=False)
    trials: int = Field(200, ge=1)
    space: dict[str, Bounds] = Field(_SPACE, min_length=1)
