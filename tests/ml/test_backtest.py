"""The replay knows on each day what was known on it, and does what monitoring and promotion decide."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.backtest import Day, replay
from sluice_ml.training import fit
from tests.ml.conftest import COLUMNS, drawn

FIRST, LAST = date(2013, 2, 5), date(2013, 2, 28)


@pytest.fixture(scope="module")
def policy(config):
    """Rounds are few, and a model of more than eight days is old."""
    return dataclasses.replace(
        config,
        **COLUMNS,
        valid_days=5,
        valid_blocks=1,
        test_days=8,
        comparison_days=4,
        rounds=12,
        resamples=100,
        simpler_margin=0.0,
        refresh_margin=0.1,
        threads=1,
    )


@pytest.fixture(scope="module")
def watched(monitoring):
    return dataclasses.replace(monitoring, max_model_age_days=8, min_rows=100)


@pytest.fixture(scope="module")
def replayed(policy, watched) -> list[Day]:
    return list(run(drawn(straight=False), policy, watched))


def run(rows, policy, watched, lag_days=1):
    return replay(rows, FIRST, LAST, model=policy, monitoring=watched, lag_days=lag_days, train=fit)


def test_replay_scores_with_the_model_of_the_day_before_and_asks_when_it_is_old(replayed):
    assert [day.ds for day in replayed] == [FIRST + timedelta(days=place) for place in range(24)]
    assert replayed[0].version is None
    assert replayed[0].trained.outcome == "promote"
    assert not replayed[0].requested
    assert [day.version for day in replayed[1:10]] == [1] * 9
    asked = [day for day in replayed if day.requested]
    assert [day.ds for day in asked][:1] == [FIRST + timedelta(days=9)]
    assert asked[0].decision.wanted == ("age",)
    assert asked[0].trained.decision.numbers["is_recipe_change"] is False
    assert asked[0].trained.outcome == "promote", asked[0].trained.reasons
    after = replayed[10]
    assert after.version == 2
    assert all(day.never == day.champion for day in replayed[:10])
    assert after.never != after.champion


def test_replay_knows_nothing_of_later_days(replayed, policy, watched):
    """Labels from a day on are turned round: all that was decided until the day after is as it was."""
    turned_on = FIRST + timedelta(days=12)
    rows = drawn(straight=False)
    later = rows["ds"].to_numpy() >= np.datetime64(turned_on)
    label = rows["is_late"].to_numpy()
    turned = rows.set_column(
        rows.schema.get_field_index("is_late"), "is_late", pa.array(np.where(later, ~label, label))
    )
    other = list(run(turned, policy, watched))
    for one, two in zip(replayed, other, strict=True):
        if one.ds < turned_on:
            assert one == two
        if one.ds == turned_on:
            # Its own outcomes come in the morning after.
            assert (one.decision, one.trained) == (two.decision, two.trained)
            assert one.champion != two.champion


def test_replay_outcomes_that_come_later_are_known_later(policy, watched):
    first = next(run(drawn(straight=False), policy, watched, lag_days=3))
    assert first.trained.decision.numbers["last"] == "2013-02-02"
    assert first.decision.numbers["days_with_outcomes"] == 0


def test_replay_first_candidate_that_was_refused_is_followed_by_others_after_longer_and_longer_waits(
    policy, watched
):
    """No candidate is good enough: there is no champion that could grow old, and a model is asked for all the same."""
    strict = dataclasses.replace(policy, confidence=1 - 1e-12)
    days = list(run(drawn(straight=False), strict, watched))
    assert days[0].trained.outcome == "refuse"
    asked = [day for day in days if day.requested]
    assert [(day.ds - FIRST).days for day in asked] == [7, 21]
    assert all(day.decision.wanted == ("no_champion",) for day in asked)
    assert f"the last was refused on {FIRST}" in asked[0].decision.reasons[0]


@pytest.mark.parametrize("empty", [FIRST, FIRST + timedelta(days=3)])
def test_replay_a_day_without_rows_is_passed_over(policy, watched, empty):
    rows = drawn(straight=False)
    others = rows.filter(pa.array(rows["ds"].to_numpy() != np.datetime64(empty)))
    replayed = replay(
        others, FIRST, FIRST + timedelta(days=4), model=policy, monitoring=watched, lag_days=1, train=fit
    )
    for day in replayed:
        assert (day.rows == 0, day.score_mean is None, day.champion.auc is None) == ((day.ds == empty,) * 3)
        assert day.version == (1 if day.ds > FIRST else None)


def test_replay_history_that_is_too_short_trains_nothing_and_goes_on(policy, watched):
    rows = drawn(straight=False)
    short = rows.filter(pa.array(rows["ds"].to_numpy() > np.datetime64(FIRST - timedelta(days=9))))
    days = list(run(short, policy, watched))
    assert days[0].trained.outcome == "not_trained"
    assert "to choose the rounds on" in days[0].trained.reasons[0]
    assert days[-1].version is None
    assert days[-1].champion == days[-1].baseline
