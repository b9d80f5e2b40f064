"""Scores tell rows apart: a model that gives most rows the same score has learned little, whatever the rest earns it."""

from __future__ import annotations

from sluice_ml.checks.judged import Finding, Judged, log_odds
from sluice_ml.config import ConstantConfig

# Scores are the same where their log-odds are in these steps: about 0.2% of a score of 0.2. Noise far below it is no score of its own.
_STEP = 0.01


def check(judged: Judged, limits: ConstantConfig) -> Finding:
    """FAIL where more rows than declared have the same score."""
    import numpy as np

    steps = np.round(log_odds(judged.score) / _STEP)
    values, counts = np.unique(steps, return_counts=True)
    share = float(counts.max() / len(steps))
    score = float(np.median(judged.score[steps == values[counts.argmax()]]))
    fails = share > limits.share
    return Finding(
        "constant",
        "FAIL" if fails else "PASS",
        f"{share:.1%} of the rows have the same score, {score:.4f} (limit {limits.share:.0%}); there are {len(values)} different ones.",
        {"share": share, "score": score, "different": len(values), "limits": vars(limits)},
    )
