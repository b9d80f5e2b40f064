from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from sluice_ml.metrics import Ranked, compare, concordance, daily_auc, draws, interval, mean_of_days

# Few distinct scores, so that there are ties.
ROWS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.05, 0.2, 0.35, 0.5, 0.9]), st.integers(0, 3)),
    min_size=2,
    max_size=40,
)


@given(ROWS)
def test_measure_any_weights_and_ties_equals_scikit_learn(rows):
    label, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    weight = weight.astype(float)
    drawn = label[weight > 0]
    if not len(drawn) or drawn.all() or not drawn.any():
        return
    auc, pr_auc, loss, brier = Ranked(label, score).measure(weight)
    assert auc == pytest.approx(roc_auc_score(label, score, sample_weight=weight))
    assert pr_auc == pytest.approx(average_precision_score(label, score, sample_weight=weight))
    assert loss == pytest.approx(log_loss(label, score, sample_weight=weight, labels=[False, True]))
    assert brier == pytest.approx(brier_score_loss(label, score, sample_weight=weight))


def test_measure_one_class_has_no_ranking():
    auc, pr_auc, loss, _ = Ranked(np.array([True, True]), np.array([0.5, 0.5])).measure()
    assert math.isnan(auc)
    assert math.isnan(pr_auc)
    assert loss == pytest.approx(math.log(2))


def test_measure_certain_and_wrong_score_gives_a_finite_log_loss():
    assert Ranked(np.array([True, False]), np.array([0.0, 0.0])).measure()[2] < 10


def test_draws_groups_are_drawn_whole_and_as_many_as_there_are():
    groups = np.repeat([10, 20, 30], [5, 2, 7])
    for weight in draws(groups, resamples=20, seed=1):
        each = [set(weight[groups == group]) for group in (10, 20, 30)]
        assert all(len(values) == 1 for values in each)
        assert sum(values.pop() for values in each) == 3


def test_compare_rows_alike_within_days_gives_a_wider_interval_by_day():
    generator = np.random.default_rng(0)
    day = np.repeat(np.arange(12), 200)
    skill = generator.normal(size=12)[day]
    score = generator.random(len(day))
    label = generator.random(len(day)) < 1 / (1 + np.exp(-3 * skill * (score - 0.5)))
    widths = {}
    for name, groups in (("day", day), ("row", np.arange(len(day)))):
        values, samples = compare(label, {"m": score}, groups, resamples=200, seed=1)["m"]
        found = interval(values[0], samples[:, 0], 0.95)
        assert found.low < found.value < found.high
        widths[name] = found.high - found.low
    assert widths["day"] > 1.5 * widths["row"]


def test_daily_auc_score_that_only_tells_days_apart_is_a_coin_toss():
    generator = np.random.default_rng(0)
    day = np.repeat(np.arange(6), 300)
    score = np.linspace(0.1, 0.6, 6)[day]
    label = generator.random(len(day)) < score
    assert Ranked(label, score).measure()[0] > 0.6
    assert daily_auc(label, score, day, confidence=0.95).value == 0.5


def test_daily_auc_no_day_of_both_classes_is_none():
    day = np.array([0, 0, 1, 1])
    found = daily_auc(np.array([True, True, False, False]), np.full(4, 0.5), day, confidence=0.9)
    assert found is None


def test_mean_of_days_interval_covers_the_truth_of_few_days_and_the_bootstrap_does_not():
    """Of 2,000 draws of a number a day, the 95% interval should hold the true mean in 95%."""
    generator = np.random.default_rng(3)
    for days in (5, 7, 14):
        held = {"t": 0, "percentile": 0}
        for _ in range(2000):
            values = 0.01 + 0.03 * generator.standard_normal(days)
            drawn = values[generator.integers(0, days, (200, days))].mean(axis=1)
            for name, found in (
                ("t", mean_of_days(values, 0.95)),
                ("percentile", interval(values.mean(), drawn, 0.95)),
            ):
                held[name] += found.low <= 0.01 <= found.high
        # Three standard errors of a share of 2,000.
        assert held["t"] / 2000 == pytest.approx(0.95, abs=0.015), days
        assert held["percentile"] < held["t"]
        if days < 14:
            assert held["percentile"] / 2000 < 0.92, days


def test_mean_of_days_without_two_days_is_unknown():
    assert mean_of_days(np.array([0.6, np.nan]), 0.95) is None
    same = mean_of_days(np.array([0.6, 0.6, np.nan]), 0.95)
    assert (same.value, same.low, same.high) == (0.6, 0.6, 0.6)


def test_concordance_falls_with_order_level_and_spread():
    score = np.random.default_rng(1).random(2000)
    assert concordance(score, score) == pytest.approx(1)
    shuffled, lower, cubed = np.random.default_rng(2).permutation(score), score - 0.4, score**6
    assert concordance(score, shuffled) < 0.1
    assert concordance(score, lower) < 0.8
    assert concordance(score, cubed) < 0.8
    assert concordance(np.zeros(3), np.ones(3)) == 0
