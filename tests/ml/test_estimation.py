"""What calibrated scores expect of themselves comes true, and what they cannot see is told when outcomes come."""

from __future__ import annotations

import numpy as np
import pytest

from sluice_ml.estimation import error, estimate
from sluice_ml.metrics import METRICS, Ranked
from tests.ml.test_monitoring import day

pytestmark = pytest.mark.fast


def test_estimate_of_calibrated_scores_comes_true():
    rng = np.random.default_rng(1)
    score = rng.beta(1.2, 4, 200_000)
    realised = dict(zip(METRICS, Ranked(rng.random(len(score)) < score, score).measure(), strict=True))
    found = estimate(score)
    assert found["estimated_auc"] == pytest.approx(realised["auc"], abs=0.005)
    assert found["estimated_brier"] == pytest.approx(realised["brier"], abs=0.002)


def test_estimate_of_one_score_for_all_rows_is_that_nothing_is_ranked():
    assert estimate(np.full(50, 0.2))["estimated_auc"] == pytest.approx(0.5)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_estimate_of_scores_that_leave_nothing_open_has_no_auc(score):
    assert estimate(np.full(50, score)) == {"estimated_auc": None, "estimated_brier": 0.0}


def test_error_is_measured_on_days_whose_outcomes_are_known():
    days = [
        day(1, auc=0.6, estimated_auc=0.7),
        day(2, auc=0.7, estimated_auc=0.7),
        day(3, auc=None, labelled=0, estimated_auc=0.9),
    ]
    assert error(days) == (pytest.approx(0.05), 2)
    assert error(days[2:]) is None
