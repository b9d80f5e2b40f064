"""A good mean hides nobody: what holds of all rows holds within each value of the declared columns, and of the declared pairs of columns.

Two things are asked of a value, and whoever is surely beyond a limit is named: its level, how far the mean score is from the
realised rate in log-odds, once the scores of all rows are set right (a bad season is the fault of no slice), with an interval from
draws of whole days; and the AUC within each day, beside that of a peer in the same slice (some carriers are hard to tell apart for any
model), with Student's t interval over the days on which both have one, as wide as so many slices ask for. The peer is the champion, or without one the other kind of model that
was trained. A value with fewer days, or fewer rows of either outcome, than a check needs is not judged, and named; so is one whose AUC has
nothing beside it. Where no AUC has, nobody can say that the slices are as good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.checks.calibration import recalibrated
from sluice_ml.checks.judged import Finding, Judged, State, level
from sluice_ml.config import SlicesConfig
from sluice_ml.metrics import Estimate, daily, mean_of_days

if TYPE_CHECKING:
    import numpy as np

_NOTHING = (
    "No slice could be compared: name columns with fewer values, lower `gate.min_outcomes`, declare more `test_days`, or train again "
    "where scores were not kept"
)


def check(judged: Judged, limits: SlicesConfig) -> Finding:
    """FAIL where the level of a value is surely beyond its limit, or its AUC surely below the peer's by more than the limit; INSUFFICIENT where no AUC could be compared."""
    every = {name: place for column in limits.columns for name, place in judged.groups(column)}
    for first, second in limits.pairs:
        for one, place in judged.groups(first):
            both = ((f"{one}, {other}", place & rows) for other, rows in judged.groups(second))
            every |= {name: rows for name, rows in both if rows.any()}
    large = {name: place for name, place in every.items() if judged.enough(place)}
    small = {name: int(place.sum()) for name, place in every.items() if name not in large}
    # Of many slices one is often far off by chance: what is asked of one is asked of all of them together (Bonferroni).
    confidence = 1 - (1 - judged.confidence) / max(1, len(large))
    right, wrong, found = recalibrated(judged), [], []
    for name, place in large.items():
        apart = _level(judged, place, right)
        auc = _auc_beside_peer(judged, place, confidence)
        if apart.low > limits.level or apart.high < -limits.level:
            wrong.append(f"{name} is at another level: {_said(apart)} in log-odds, limit {limits.level:g}")
        if auc and auc.high < -limits.auc:
            wrong.append(
                f"{name} is told apart worse than by {judged.peer}: AUC {_said(auc)}, limit -{limits.auc:g}"
            )
        found.append(
            {"slice": name, "rows": int(place.sum()), "level": vars(apart), "auc": auc and vars(auc)}
        )
    alone = [str(one["slice"]) for one in found if not one["auc"]]
    compared = len(found) - len(alone)
    state: State = "FAIL" if wrong else "PASS" if compared else "INSUFFICIENT"
    said = ["; ".join(wrong) or f"None of {compared} slices is worse" if wrong or compared else _NOTHING]
    if small:
        said.append(
            f"Too small to judge: {', '.join(f'{name} ({rows} rows)' for name, rows in small.items())}"
        )
    if alone:
        why = "of which no scores were kept" if judged.peer_score is None else "on too few days"
        said.append(f"Not compared with {judged.peer}, {why}: {', '.join(alone)}")
    return Finding(
        "slices",
        state,
        f"{'. '.join(said)}.",
        {
            "peer": judged.peer,
            "slices": found,
            "too_small": small,
            "not_compared": alone,
            "limits": vars(limits),
        },
    )


def _level(judged: Judged, place: np.ndarray, score: np.ndarray) -> Estimate:
    """The level of some scores of the rows at `place` minus that of all rows, in the same draws of days."""
    label = judged.label
    return judged.interval(
        lambda weight: level(label[place], score[place], weight[place]) - level(label, score, weight)
    )


def _auc_beside_peer(judged: Judged, place: np.ndarray, confidence: float) -> Estimate | None:
    """The daily AUC of the rows at `place` minus the peer's; None without a peer, or of too few days that both may be judged on."""
    import numpy as np

    if judged.peer_score is None:
        return None
    place = place & judged.may_compare
    label, day = judged.label[place], judged.day[place]
    apart = daily(label, judged.score[place], day) - daily(label, judged.peer_score[place], day)
    return mean_of_days(apart, confidence) if (~np.isnan(apart)).sum() >= judged.needed_days else None


def _said(found: Estimate) -> str:
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"
