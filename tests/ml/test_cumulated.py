"""Small losses that last are found, and chance is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_ml.config import CusumConfig
from sluice_ml.cumulated import calibration_gap, cumulate, usual_lead
from tests.ml.test_monitoring import day

pytestmark = pytest.mark.fast

CONFIG = CusumConfig(slack=0.035, limit=0.35)


def after(*losses):
    return cumulate(((f"{number:03}", loss) for number, loss in enumerate(losses)), CONFIG)


def test_sum_knows_since_when_it_grows():
    found = after(0.0, 0.0, 0.135, 0.135, 0.135)
    assert (round(found.value, 3), found.since, found.days) == (0.3, "002", 3)
    assert not found.is_alarm
    assert after(0.0, 0.0, *[0.135] * 4).is_alarm


def test_alarm_lasts_over_single_good_days_and_ends_after_as_many_as_make_up_for_it():
    assert after(*[0.2] * 100, 0.0).is_alarm
    good = 1 + round(CONFIG.limit / CONFIG.slack)
    assert not after(*[0.2] * 100, *[0.0] * good).is_alarm


@given(st.lists(st.floats(-1, CONFIG.slack), max_size=400))
def test_days_within_the_slack_are_never_an_alarm(losses):
    assert after(*losses).value == 0


@given(st.floats(CONFIG.slack + 0.005, 0.5))
def test_loss_of_every_day_beyond_the_slack_is_found(loss):
    assert after(*[loss] * 100).is_alarm


@pytest.mark.parametrize(
    ("expected", "came_true", "gap"),
    [(0.2, 0.2, 0.0), (0.03, 0.55, 3.67), (0.2, 0.5, 1.38), (0.2, 0.0, -6.1)],
)
def test_calibration_gap_is_the_difference_of_log_odds(expected, came_true, gap):
    assert calibration_gap(day(1, expected_rate=expected, label_rate=came_true)) == pytest.approx(
        gap, abs=0.05
    )


def test_calibration_gap_of_a_day_without_outcomes_is_not_known():
    assert calibration_gap(day(1, label_rate=None, labelled=0)) is None


def test_usual_lead_is_that_of_the_held_out_days_and_of_the_first_own_days():
    own = [day(number, auc=0.70, baseline_auc=0.60) for number in range(1, 29)]
    fallen = [day(number, auc=0.60, baseline_auc=0.60) for number in range(29, 60)]
    assert usual_lead([], 0.16, 14, 28) == 0.16
    assert usual_lead([*own, *fallen], 0.16, 14, 28) == pytest.approx(0.12)
