"""A better order is worth nothing if acting on it costs more: what the answers at the operating point cost, by a declared matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.checks.judged import Finding, Judged, insufficient
from sluice_ml.config import ValueConfig
from sluice_ml.metrics import mean_of_days

if TYPE_CHECKING:
    import numpy as np


def check(judged: Judged, limits: ValueConfig) -> Finding:
    """FAIL where a row costs more than by whoever scores otherwise, by more than the margin.

    It is the mean of each day's difference that is held to the margin; its interval (Student's, over the days) is shown. The outcome
    of a few bad days decides most of it: a cost that is higher by a sixth was not beyond an interval of ten days.
    """
    import numpy as np

    if too_few := insufficient(judged, "value", judged.may_compare):
        return too_few
    mine, theirs = (_costs(judged, score, limits) for score in (judged.score, judged.rival_score))
    day = judged.day[judged.may_compare]
    each = np.array(
        [(mine - theirs)[judged.may_compare][day == one].mean() for one in np.unique(day)], dtype="float64"
    )
    difference = mean_of_days(each, judged.confidence)
    if difference is None:
        raise AssertionError("days that suffice are two at least")
    fails = difference.value > limits.margin
    cost, other = (float(costs[judged.may_compare].mean()) for costs in (mine, theirs))
    return Finding(
        "value",
        "FAIL" if fails else "PASS",
        f"Acting from a score of {limits.threshold:g} on costs {cost:.4f} a row, by the {judged.rival} {other:.4f}: {difference.value:+.4f} a row "
        f"and day ({difference.low:+.4f} to {difference.high:+.4f}), {'more' if fails else 'not more'} than the margin of {limits.margin:g}.",
        {
            "cost": cost,
            "rival": judged.rival,
            "rival_cost": other,
            "difference": vars(difference),
            "limits": vars(limits),
        },
    )


def _costs(judged: Judged, score: np.ndarray, limits: ValueConfig) -> np.ndarray:
    """What the answer to each row costs."""
    import numpy as np

    acts = score >= limits.threshold
    return np.where(
        judged.label,
        np.where(acts, limits.true_positive, limits.false_negative),
        np.where(acts, limits.false_positive, limits.true_negative),
    )
