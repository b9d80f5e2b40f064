"""How often a challenger wins that should not: from scores that are drawn, by the comparison that decides on it."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, ndtri

from sluice_ml.errors import RowsUnusableError
from sluice_ml.shadow import SCORE, compare, pair

# As many as `flights` declares for a comparison, at a third of its rows a day.
DAYS, PER_DAY = 10, 300
DRAWS = 200


def drawn(seed: int, *, auc: float = 0.7, other: float = 0.7) -> pa.Table:
    """Rows on which the champion has one AUC within a day and the challenger another, whose scores are noise of their own."""
    generator = np.random.default_rng(seed)
    count = DAYS * PER_DAY
    label = generator.random(count) < 0.2
    # Of two normal distributions that lie d apart the AUC is Φ(d / √2).
    apart = np.sqrt(2) * ndtri([auc, other])
    published, challenger = (expit(generator.normal(size=count) + one * label - 1) for one in apart)
    days = [date(2013, 4, 1) + timedelta(days=place // PER_DAY) for place in range(count)]
    return pa.table(
        {"ds": pa.array(days, pa.date32()), "score": published, SCORE: challenger, "is_late": label}
    )


def wins(config, must: str, tables) -> int:
    return sum(compare(rows, config, days=DAYS, must=must, against="champion").passed for rows in tables)


def test_another_recipe_that_is_as_good_wins_at_most_one_time_in_twenty(config):
    assert wins(config, "beat", (drawn(seed) for seed in range(DRAWS))) <= 0.05 * DRAWS


def test_refresh_that_is_worse_by_the_whole_margin_keeps_up_at_most_one_time_in_twenty(config):
    worse = (drawn(seed, other=0.7 - config.refresh_margin) for seed in range(DRAWS))
    assert wins(config, "keep_up", worse) <= 0.05 * DRAWS


def test_the_very_same_scores_never_win_and_always_keep_up(config):
    same = [rows.set_column(2, SCORE, rows["score"]) for rows in map(drawn, range(DRAWS))]
    assert wins(config, "beat", same) == 0
    assert wins(config, "keep_up", same) == DRAWS


def test_better_challenger_wins_and_worse_one_does_not(config):
    tables = [drawn(seed, other=0.78) for seed in range(20)]
    assert wins(config, "beat", tables) >= 19
    assert wins(config, "keep_up", [drawn(seed, other=0.62) for seed in range(20)]) == 0


@pytest.mark.parametrize("days", [DAYS + 1, 30])
def test_fewer_days_than_declared_decide_nothing_whatever_a_candidate_needs(config, days):
    little = dataclasses.replace(config, comparison_days=2)
    found = compare(drawn(1, other=0.9), little, days=days, must="beat", against="champion")
    assert (found.outcome, found.days, found.needed) == ("insufficient_data", DAYS, days)


def test_pair_takes_the_rows_that_both_scored_and_whose_outcome_is_known(config):
    published = pa.table(
        {"flight_id": ["a", "b", "c", "d"], "ds": ["2013-04-01"] * 4, "score": [0.1, 0.2, 0.3, 0.4]}
    )
    scored = pa.table({"flight_id": ["c", "b", "a"], SCORE: [0.33, 0.22, 0.11]})
    outcomes = pa.table({"flight_id": ["b", "a", "d", "c"], "is_late": [None, True, True, False]})
    rows = pair(published, scored, outcomes, config)
    assert rows.select(["score", SCORE, "is_late"]).to_pylist() == [
        {"score": 0.1, SCORE: 0.11, "is_late": True},
        {"score": 0.3, SCORE: 0.33, "is_late": False},
    ]
    with pytest.raises(RowsUnusableError, match=SCORE):
        pair(published, published, outcomes, config)
