"""What the model learned by heart does not count: on days that it learned it may be better, but not by any amount."""

from __future__ import annotations

from sluice_ml.checks.judged import Finding, Judged
from sluice_ml.config import LearnedGapConfig
from sluice_ml.metrics import daily, mean_of_days


def check(judged: Judged, limits: LearnedGapConfig) -> Finding:
    """FAIL where the mean daily AUC of the days that the judged model learned is surely above the held-out days' by more than declared."""
    learned = judged.learned_daily_auc
    if learned is None:
        raise ValueError(
            "the candidate was trained before its AUC on the days that it learned was recorded; train again"
        )
    if not 0 <= learned <= 1:
        raise ValueError(
            f"the AUC on the days that the judged model learned is recorded as {learned}, and is from 0 to 1; train again"
        )
    held = mean_of_days(daily(judged.label, judged.score, judged.day), judged.confidence)
    if held is None:
        raise ValueError("fewer than two held-out days have both outcomes")
    gap = learned - held.value
    fails = learned - held.high > limits.auc
    return Finding(
        "learned_gap",
        "FAIL" if fails else "PASS",
        f"The mean daily AUC is {learned:.4f} on the days that the judged model learned and {held.value:.4f} on the held-out ones: "
        f"{gap:+.4f} ({learned - held.high:+.4f} to {learned - held.low:+.4f}; limit {limits.auc:g}).",
        {"learned": learned, "held_out": vars(held), "gap": gap, "limits": vars(limits)},
    )
