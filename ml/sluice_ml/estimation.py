"""How good predictions probably are, before their outcomes are known: confidence-based performance estimation (CBPE).

If a score is a calibrated probability, each row is a hit with that probability: counting every row as so much of a hit, and the
rest of a miss, gives the expected AUC, Brier score and rate of a day without any outcome (J. Bialek and others, Estimating Model
Performance Under Covariate Shift Without Labels, arXiv:2401.08348; the method of NannyML). It is an estimate and says so wherever it
is shown: it believes the scores, so that it cannot see that the world has changed under them (concept change). Whether it may be
believed is seen when outcomes come: `error` is how far it was off on days that are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from sluice_ml.metrics import Ranked

if TYPE_CHECKING:
    import numpy as np

    from sluice_ml.monitored_day import DayNumbers


def estimate(score: np.ndarray) -> dict[str, float | None]:
    """The AUC and the Brier score that calibrated scores expect of themselves; the AUC is None where it has no meaning.

    Args:
        score: float64 in [0, 1], (rows,), at least one.
    """
    auc, *_ = Ranked(score, score).measure()
    return {
        "estimated_auc": None if auc != auc else auc,
        "estimated_brier": float((score * (1 - score)).mean()),
    }


def error(days: Sequence[DayNumbers]) -> tuple[float, int] | None:
    """Mean of the estimated less the realised AUC, over the days where both are known, and their number; None where none is."""
    off = [
        day.estimated_auc - day.auc for day in days if day.estimated_auc is not None and day.auc is not None
    ]
    return (fmean(off), len(off)) if off else None
