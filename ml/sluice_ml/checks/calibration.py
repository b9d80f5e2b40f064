"""Scores mean what they say: as many come true as they add up to, and high ones more often by as much as they are higher.

Two numbers. `level` is the log-odds of the mean score minus those of the realised rate (calibration in the large): zero where as
many come true as was said. `slope` is that of a logistic regression of the outcome on the score's log-odds (Cox, 1958): one
where the scores are right, below one where they are too sure of themselves, far above it where they hardly differ. No metric of order
sees either of them: any monotone function of the scores has the same AUC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.checks.judged import Finding, Judged, level, log_odds
from sluice_ml.config import CalibrationConfig

if TYPE_CHECKING:
    import numpy as np

# Newton's method on two numbers: more steps than any sample of ours needed (8), and when to stop.
_STEPS, _CLOSE = 50, 1e-8


def check(judged: Judged, limits: CalibrationConfig) -> Finding:
    """FAIL where the level or the slope is surely beyond its limit: its interval, from draws of whole days, lies there."""
    import numpy as np

    odds, score, label = log_odds(judged.score), judged.score, judged.label.astype("float64")
    apart = judged.interval(lambda weight: level(label, score, weight))
    numbers = {
        "mean_score": float(score.mean()),
        "label_rate": float(label.mean()),
        "level": vars(apart),
        "limits": vars(limits),
    }
    said = [
        f"The mean score is {score.mean():.4f} and {label.mean():.4f} came true: {apart.value:+.2f} in log-odds "
        f"({apart.low:+.2f} to {apart.high:+.2f}; limit {limits.level:g} either way)"
    ]
    fails = apart.low > limits.level or apart.high < -limits.level
    # Of scores that are all the same there is no slope.
    if np.ptp(odds):
        whole = fit(odds, label, np.ones(len(label)), np.zeros(2))
        slope = judged.interval(lambda weight: float(fit(odds, label, weight, whole)[1]))
        numbers["slope"] = vars(slope)
        said.append(
            f"the slope is {slope.value:.2f} ({slope.low:.2f} to {slope.high:.2f}; limits {limits.slope_low:g} and {limits.slope_high:g})"
        )
        fails = fails or slope.high < limits.slope_low or slope.low > limits.slope_high
    return Finding(
        "calibration",
        "FAIL" if fails else "PASS",
        f"{'; '.join(said)}.",
        numbers,
    )


def fit(odds: np.ndarray, label: np.ndarray, weight: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Intercept and slope of the weighted logistic regression, by Newton's method."""
    import numpy as np

    found, design = start, np.column_stack([np.ones(len(odds)), odds])
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-design @ found))
        curvature = (design * (weight * said * (1 - said))[:, None]).T @ design
        step = np.linalg.solve(curvature, design.T @ (weight * (label - said)))
        found = found + step
        if np.abs(step).max() < _CLOSE:
            return found
    raise ArithmeticError(
        "the slope of the scores' log-odds was not found: do they tell both outcomes apart without an error?"
    )


def recalibrated(judged: Judged) -> np.ndarray:
    """The scores with level and slope set right: what is wrong with them all is taken away."""
    import numpy as np

    odds = log_odds(judged.score)
    if not np.ptp(odds):
        return np.full(len(odds), judged.label.mean())
    found = fit(odds, judged.label.astype("float64"), np.ones(len(odds)), np.zeros(2))
    return 1 / (1 + np.exp(-(found[0] + found[1] * odds)))
