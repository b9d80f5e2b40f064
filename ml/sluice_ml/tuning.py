"""Other parameters of the boosted trees, searched for within a budget of processor time.

Each set of parameters is measured as a training measures the declared one: by the mean daily AUC over the rolling blocks, with
the rounds that these choose. The days that judge a candidate are not looked at. What comes out is a proposal: the best of many sets looks better on
the days that chose it than it is. So it is proposed only where its lead holds at a confidence for as many sets as were tried (Bonferroni),
and where a training would take the trees that it makes rather than the linear model: else the same linear model would count as
a change of recipe and had to beat itself. Only the gate, on held-out days, says whether it is better at all.

The trials are those of one seed, in one order: where the budget ends, it ends the same list sooner or later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sluice_ml import boosting
from sluice_ml.config import BoundsConfig, ModelConfig, TuningConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.metrics import Estimate, mean_of_days
from sluice_ml.model import BOOSTED, LINEAR
from sluice_ml.splits import labelled, split
from sluice_ml.training import Blocks, simplest

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import pyarrow as pa
    import xgboost

# Digits of a number that is tried: nobody wants to read more of them in a YAML, and fewer would leave nothing between narrow bounds.
_DIGITS = 6


@dataclass(frozen=True)
class Trial:
    """One set of parameters; `daily` is the AUC of each day of the blocks, NaN of one with one class."""

    params: Mapping[str, Any]
    rounds: int
    daily_auc: float
    cpu_seconds: float
    daily: np.ndarray = field(repr=False, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {name: value for name, value in vars(self).items() if name != "daily"}


@dataclass(frozen=True)
class Tuned:
    """What a search found. `best` is a place in `trials`, `gain` its daily AUC minus that of `present` over the same days, at
    `confidence`: that of one comparison, made stricter by the number of trials. `linear` is the linear model's mean daily AUC over them,
    and `algorithm` the kind of model that a training by the best would take.

    `ended` is "budget" or "trials": which of the two was used up.
    """

    present: Trial
    trials: tuple[Trial, ...]
    best: int | None
    gain: Estimate | None
    confidence: float
    linear: float | None
    algorithm: str | None
    first: str
    last: str
    days: int
    cpu_seconds: float
    ended: str

    @property
    def proposed(self) -> Mapping[str, Any]:
        """All parameters as they are proposed; none where the best are not better by more than noise, or not used."""
        if self.best is None or self.gain is None or self.gain.low <= 0 or self.algorithm != BOOSTED:
            return {}
        return self.trials[self.best].params


class _SpentError(Exception):
    """The budget is used up."""


def tune(
    rows: pa.Table, config: ModelConfig, tuning: TuningConfig, say: Callable[[str], None] = lambda _: None
) -> Tuned:
    """Search for parameters on labelled rows, as `sluice_ml.training.fit` takes them.

    Args:
        say: takes a line for each trial.

    Raises:
        RowsUnusableError: too few days, or the budget does not even suffice for the present parameters.
    """
    import optuna

    started = time.process_time()

    def spent() -> float:
        return time.process_time() - started

    def require() -> None:
        if spent() >= 60 * tuning.cpu_minutes:
            raise _SpentError

    logging.getLogger("optuna").setLevel(logging.WARNING)
    known, _ = labelled(rows, config)
    parts = split(known, config)
    blocks = Blocks(parts, config)
    trials: list[Trial] = []
    ended = "trials"
    try:
        present = _measure(blocks, config, config.params, require)
        say(f"present parameters: mean daily AUC {present.daily_auc:.4f}, {present.rounds} rounds")
    except _SpentError:
        raise RowsUnusableError(
            f"The budget of {tuning.cpu_minutes:g} CPU minutes does not suffice to measure the present parameters.",
            where=f"{known.num_rows:,} rows, model.tuning.cpu_minutes",
            todo="declare more minutes, or fewer rounds",
        ) from None
    straight = mean_of_days(blocks.daily(blocks.linear(config)), config.confidence)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=config.seed))
    try:
        while len(trials) < tuning.trials:
            require()
            asked = study.ask()
            params = {**config.params, **{name: _ask(asked, name, one) for name, one in tuning.space.items()}}
            made = _measure(blocks, config, params, require)
            study.tell(asked, made.daily_auc)
            trials.append(made)
            say(
                f"trial {len(trials)}: mean daily AUC {made.daily_auc:.4f}, the best so far "
                f"{study.best_value:.4f}; {spent() / 60:.1f} of {tuning.cpu_minutes:g} CPU minutes"
            )
    except _SpentError:
        ended = "budget"
    best = max(range(len(trials)), key=lambda place: trials[place].daily_auc, default=None)
    # Bonferroni: of so many sets that are no better, the best seems so in at most as many cases as one would.
    confidence = 1 - (1 - config.confidence) / max(len(trials), 1)
    gain, algorithm = None, None
    if best is not None:
        gain = mean_of_days(trials[best].daily - present.daily, confidence)
        reached = {LINEAR: straight.value if straight else None, BOOSTED: trials[best].daily_auc}
        algorithm = simplest(reached, config.simpler_margin)
    return Tuned(
        present=present,
        trials=tuple(trials),
        best=best,
        gain=gain,
        confidence=confidence,
        linear=straight.value if straight else None,
        algorithm=algorithm,
        first=str(parts.blocks[0][1]["ds"][0]),
        last=str(parts.blocks[-1][1]["ds"][-1]),
        days=len(present.daily),
        cpu_seconds=spent(),
        ended=ended,
    )


def _measure(
    blocks: Blocks, config: ModelConfig, params: Mapping[str, Any], require: Callable[[], None]
) -> Trial:
    started = time.process_time()
    rounds, scores = boosting.search(blocks.folds, replace(config, params=params), [_asking(require)])
    each = blocks.daily(scores)
    mean = mean_of_days(each, config.confidence)
    if mean is None:
        raise RowsUnusableError(
            f"Fewer than two of the {len(each)} days that choose the rounds have both outcomes.",
            where=config.label,
            todo="search when more days have outcomes, or declare more valid_days",
        )
    return Trial(params, rounds, mean.value, time.process_time() - started, each)


def _ask(asked: optuna.Trial, name: str, bounds: BoundsConfig) -> float | int:
    if isinstance(bounds.low, int) and isinstance(bounds.high, int):
        return asked.suggest_int(name, bounds.low, bounds.high, log=bounds.log)
    rounded = float(f"{asked.suggest_float(name, bounds.low, bounds.high, log=bounds.log):.{_DIGITS}g}")
    return min(max(rounded, bounds.low), bounds.high)


def _asking(require: Callable[[], None]) -> xgboost.callback.TrainingCallback:
    """What XGBoost calls after each round."""
    import xgboost

    class Asking(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            require()
            return False

    return Asking()
