"""How well scores rank and calibrate, and how sure of that one may be.

Uncertainty is a bootstrap that draws whole groups: the rows of one day share its weather and its jams, so drawing rows as
if they were independent would make noise look like skill. All models are measured on the same draws, so their differences
are paired. The intervals are percentile intervals; with few groups they are too narrow (Cameron, Gelbach and Miller,
2008, "Bootstrap-based improvements for inference with clustered errors"). Those of a model's metrics are shown, and decide nothing: what
decides on promotion is the mean of daily AUCs, or of their paired differences, with Student's t interval over the days, which is right for
few days (tests/ml/test_metrics.py shows the coverage of both). Of the checks of the model gate, the levels (`calibration`, `slices`), the
slope and `flips` are decided by percentile intervals: over few days they are surer than they say, and their limits are set far from
what good models were measured to have (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

METRICS = ("auc", "pr_auc", "log_loss", "brier")

# A rule can say 0 or 1 and be wrong: scores are kept this far inside for the log loss, so that one row cannot decide it.
_LOG_LOSS_MARGIN = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A measured value and its interval."""

    value: float
    low: float
    high: float


class Ranked:
    """Labels and scores sorted once, measured under any row weights in linear time."""

    def __init__(self, label: np.ndarray, score: np.ndarray) -> None:
        import numpy as np

        self._order = np.argsort(-score, kind="stable")
        label, score = label[self._order].astype("float64"), score[self._order]
        # Rows of one score are one threshold: only the last row of each run of ties counts.
        self._ends = np.flatnonzero(np.append(np.diff(score) != 0, True))
        clipped = np.clip(score, _LOG_LOSS_MARGIN, 1 - _LOG_LOSS_MARGIN)
        self._label = label
        self._log_loss = -(label * np.log(clipped) + (1 - label) * np.log1p(-clipped))
        self._brier = (score - label) ** 2

    def measure(self, weight: np.ndarray | None = None) -> tuple[float, ...]:
        """The METRICS, in order; NaN for the ranking ones where the weighted rows hold one class only."""
        import numpy as np

        weight = np.ones(len(self._label)) if weight is None else weight[self._order]
        total = weight.sum()
        hits = np.cumsum(weight * self._label)[self._ends]
        seen = np.cumsum(weight)[self._ends]
        positives, negatives = hits[-1], total - hits[-1]
        auc = pr_auc = float("nan")
        if positives and negatives:
            auc = float(np.trapezoid(np.append(0, hits), np.append(0, seen - hits)) / (positives * negatives))
            precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
            pr_auc = float(np.sum(np.diff(hits, prepend=0) * precision) / positives)
        return auc, pr_auc, float(weight @ self._log_loss / total), float(weight @ self._brier / total)


def draws(groups: np.ndarray, *, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Row weights of each bootstrap resample: how often the row's group was drawn."""
    import numpy as np

    _, index = np.unique(groups, return_inverse=True)
    size = index.max() + 1
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(0, size, size), minlength=size)[index].astype("float64")


def compare(
    label: np.ndarray, scores: Mapping[str, np.ndarray], groups: np.ndarray, *, resamples: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Measure several models on the same rows and the same resamples.

    Args:
        label: bool, (rows,); both classes are there.
        scores: model name to float64 in [0, 1], (rows,).
        groups: what is drawn together, (rows,): the day, or the row's own number.

    Returns:
        Model name to (the METRICS, (4,)) and (the METRICS of each resample, (resamples, 4)).
    """
    import numpy as np

    ranked = {name: Ranked(label, score) for name, score in scores.items()}
    samples: dict[str, list[tuple[float, ...]]] = {name: [] for name in ranked}
    for weight in draws(groups, resamples=resamples, seed=seed):
        for name, model in ranked.items():
            samples[name].append(model.measure(weight))
    return {name: (np.array(model.measure()), np.array(samples[name])) for name, model in ranked.items()}


def daily(label: np.ndarray, score: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The AUC within each day, in the order of days; NaN for a day of one class."""
    import numpy as np

    return np.array([Ranked(label[day == one], score[day == one]).measure()[0] for one in np.unique(day)])


def daily_auc(label: np.ndarray, score: np.ndarray, day: np.ndarray, *, confidence: float) -> Estimate | None:
    """Mean of the AUCs within each day: what one day's AUC can be compared with.

    The AUC over many days is higher, because it is also earned by telling bad days from good ones. Days of one class do not
    count; None where fewer than two count.
    """
    return mean_of_days(daily(label, score, day), confidence)


def mean_of_days(values: np.ndarray, confidence: float) -> Estimate | None:
    """The mean of a number a day with Student's two-sided t interval; NaN does not count, None of fewer than two days."""
    import numpy as np
    from scipy.special import stdtrit

    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    reach = stdtrit(len(known) - 1, (1 + confidence) / 2) * known.std(ddof=1) / np.sqrt(len(known))
    mean = float(known.mean())
    return Estimate(mean, mean - float(reach), mean + float(reach))


def concordance(one: np.ndarray, other: np.ndarray) -> float:
    """Lin's concordance correlation coefficient (Biometrics 45, 1989): 1 where two scores are the same row by row.

    It falls with another order of the rows as with another level or spread. Of two constants it is 1 or 0.
    """
    import numpy as np

    apart = one.var() + other.var() + (one.mean() - other.mean()) ** 2
    return float(2 * np.mean((one - one.mean()) * (other - other.mean())) / apart) if apart else 1.0


def interval(value: float, samples: np.ndarray, confidence: float) -> Estimate:
    """The value with the two-sided percentile interval of its resamples; resamples of one class only do not count."""
    import numpy as np

    tail = (1 - confidence) / 2
    low, high = np.nanquantile(samples, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))
