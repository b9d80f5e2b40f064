"""A good mean hides nobody: what holds of all rows holds within each value of the declared columns.

Three things are asked of a value, and whoever is surely beyond a limit is named: its level, how far the mean score is from the
realised rate in log-odds, once the scores of all rows are set right (a bad season is the fault of no slice), with an interval from
draws of whole days; and the AUC within each day, beside that of all rows and beside the champion's in the same slice, with Student's t interval
over the days on which both have one. A value with fewer days, or fewer rows of either outcome, than a check needs is not judged, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sluice_ml.checks.calibration import recalibrated
from sluice_ml.checks.judged import Finding, Judged, level
from sluice_ml.config import SlicesConfig
from sluice_ml.metrics import Estimate, daily, mean_of_days

if TYPE_CHECKING:
    import numpy as np


def check(judged: Judged, limits: SlicesConfig) -> Finding:
    """FAIL where the level of a value, or its AUC, is surely beyond its limit."""
    import numpy as np

    wrong, found, small = [], [], {}
    right = recalibrated(judged)
    for name, place in _slices(judged, limits.columns):
        if not judged.enough(place):
            small[name] = int(place.sum())
            continue
        apart = _level(judged, place, right)
        of_all = _auc(judged, place, np.ones_like(place), judged.score)
        of_rival = None
        if judged.rival == "champion":
            both = place & judged.may_compare
            of_rival = _auc(judged, both, both, judged.rival_score)
        if apart.low > limits.level or apart.high < -limits.level:
            wrong.append(f"{name} is at another level: {_said(apart)} in log-odds, limit {limits.level:g}")
        if of_all and of_all.high < -limits.auc:
            wrong.append(
                f"{name} is told apart worse than all rows: AUC {_said(of_all)}, limit -{limits.auc:g}"
            )
        if of_rival and of_rival.high < -limits.auc_champion:
            wrong.append(
                f"{name} is told apart worse than by the champion: AUC {_said(of_rival)}, limit -{limits.auc_champion:g}"
            )
        found.append(
            {
                "slice": name,
                "rows": int(place.sum()),
                "level": vars(apart),
                "auc": of_all and vars(of_all),
                "auc_champion": of_rival and vars(of_rival),
            }
        )
    unjudged = ", ".join(f"{name} ({rows} rows)" for name, rows in small.items())
    return Finding(
        "slices",
        "FAIL" if wrong else "PASS",
        f"{'; '.join(wrong) or f'None of {len(found)} slices is worse'}.{f' Too small to judge: {unjudged}.' if small else ''}",
        {"slices": found, "too_small": small, "limits": vars(limits)},
    )


def _slices(judged: Judged, columns: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of the columns by its name, and which rows have it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in columns:
        values = pc.fill_null(pc.cast(judged.rows[column], pa.string()), "(missing)").to_numpy().astype(str)
        for value in np.unique(values):
            yield f"{column} {value}", values == value


def _level(judged: Judged, place: np.ndarray, score: np.ndarray) -> Estimate:
    """The level of some scores of the rows at `place` minus that of all rows, in the same draws of days."""
    label = judged.label
    return judged.interval(
        lambda weight: level(label[place], score[place], weight[place]) - level(label, score, weight)
    )


def _auc(judged: Judged, place: np.ndarray, other: np.ndarray, scores: np.ndarray) -> Estimate | None:
    """The candidate's daily AUC of the rows at `place` minus that of `scores` at `other`; None of too few days."""
    import numpy as np

    label, day = judged.label, judged.day
    other = other & np.isin(day, day[place])
    apart = daily(label[place], judged.score[place], day[place]) - daily(
        label[other], scores[other], day[other]
    )
    enough = (~np.isnan(apart)).sum() >= judged.needed_days
    return mean_of_days(apart, judged.confidence) if enough else None


def _said(found: Estimate) -> str:
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
