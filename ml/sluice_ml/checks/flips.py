"""Who relied on a right answer keeps it: rows that the champion has right at the operating point, and the candidate wrong.

Two models can be equally good on average and wrong on other rows: whoever acts on the scores meets each of these as a new
fault (negative flips; Yan et al., 2021, "Positive-Congruent Training").
"""

from __future__ import annotations

from sluice_ml.checks.judged import Finding, Judged, insufficient
from sluice_ml.config import FlipsConfig


def check(judged: Judged, limits: FlipsConfig) -> Finding:
    """FAIL where surely more rows than declared flip to wrong; NOT_APPLICABLE without a champion that can score."""
    import numpy as np

    if judged.rival != "champion":
        return Finding("flips", "NOT_APPLICABLE", "No champion to compare with: no answer can flip.")
    if too_few := insufficient(judged, "flips", judged.may_compare):
        return too_few
    mine, theirs = (
        (score >= limits.threshold) == judged.label for score in (judged.score, judged.rival_score)
    )
    place = judged.may_compare
    lost, won = theirs & ~mine, mine & ~theirs

    def share(flips: np.ndarray, weight: np.ndarray) -> float:
        kept = weight * place
        return float(kept @ flips / kept.sum()) if kept.any() else float("nan")

    found = judged.interval(lambda weight: share(lost, weight))
    gained = share(won, np.ones(len(won)))
    fails = found.low > limits.share
    return Finding(
        "flips",
        "FAIL" if fails else "PASS",
        f"At a score of {limits.threshold:g}, {found.value:.1%} of the rows ({found.low:.1%} to {found.high:.1%}; limit {limits.share:.0%}) are right by the "
        f"champion and wrong by the candidate; {gained:.1%} the other way round.",
        {"lost": vars(found), "gained": gained, "limits": vars(limits)},
    )
