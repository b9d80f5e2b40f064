"""The search for parameters: it finds better ones than bad ones, sees no day that judges, and keeps its budget."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.config import BoundsConfig, TuningConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import LINEAR, load
from sluice_ml.promotion import Champion, decide
from sluice_ml.training import fit
from sluice_ml.tuning import tune
from tests.ml.conftest import drawn

# One cut a tree, and steps that lead nowhere in the rounds that there are: no stump finds the bump in these rows.
BAD = {"max_depth": 1, "learning_rate": 0.001, "min_child_weight": 500}
SPACE = {
    "max_depth": BoundsConfig(low=1, high=5, log=False),
    "learning_rate": BoundsConfig(low=0.001, high=0.3, log=True),
    "min_child_weight": BoundsConfig(low=5, high=500, log=True),
}
SEEDS = (0, 1, 2, 3, 4, 5)
AMPLE = TuningConfig(cpu_minutes=10, trials=8, space=SPACE)


@pytest.fixture(scope="module")
def rows():
    return drawn(straight=False)


@pytest.fixture
def bad(small):
    return dataclasses.replace(small, params=BAD, rounds=10, simpler_margin=-1.0)


def found(tuned) -> list[tuple]:
    return [(one.params, one.rounds, one.daily_auc) for one in tuned.trials]


def test_search_proposes_better_parameters_and_they_earn_their_place_as_a_change_of_recipe(rows, bad):
    said: list[str] = []
    tuned = tune(rows, bad, AMPLE, said.append)
    assert (len(tuned.trials), tuned.ended) == (8, "trials")
    assert len(said) == 9
    assert tuned.proposed == tuned.trials[tuned.best].params
    assert tuned.gain.low > 0
    # The last four weeks before the ten held-out days.
    assert (tuned.days, tuned.last) == (28, "2013-02-19")
    worse, better = fit(rows, bad), fit(rows, dataclasses.replace(bad, params=tuned.proposed))
    assert better.meta.rounds == tuned.trials[tuned.best].rounds
    champion = dataclasses.replace(
        Champion.of(load(worse.content, worse.meta, threads=1)), learned_until="2013-02-19"
    )
    decision = decide(better, champion, bad)
    assert decision.promote, decision.reasons
    assert decision.numbers["is_recipe_change"]


@pytest.mark.parametrize("seed", SEEDS)
def test_search_proposes_nothing_where_there_is_nothing_to_learn(rows, bad, seed):
    """Late or not is drawn anew, whatever the risk: the best of twenty sets is the luckiest."""
    draw = np.random.default_rng(seed)
    late = pa.array(draw.permutation(rows["is_late"].to_numpy()))
    mixed = rows.set_column(rows.schema.get_field_index("is_late"), "is_late", late)
    good = dataclasses.replace(
        bad, seed=seed, params={"max_depth": 3, "learning_rate": 0.3, "min_child_weight": 5}
    )
    tuned = tune(mixed, good, dataclasses.replace(AMPLE, trials=20))
    assert len({one.daily_auc for one in tuned.trials}) > 10, "they differ"
    assert tuned.confidence == pytest.approx(1 - 0.05 / 20)
    assert tuned.proposed == {}


def test_search_proposes_nothing_where_a_training_would_take_the_linear_model_all_the_same(bad):
    """The committed parameters would make the same linear model a change of recipe, which had to beat itself."""
    rows = drawn(straight=True)
    few = dataclasses.replace(AMPLE, trials=4)
    tuned = tune(rows, dataclasses.replace(bad, simpler_margin=0.005), few)
    assert (tuned.algorithm, tuned.proposed) == (LINEAR, {})
    assert tuned.gain.low > 0
    assert fit(rows, dataclasses.replace(bad, simpler_margin=0.005)).meta.chosen_by[LINEAR] == tuned.linear
    assert tune(rows, bad, few).proposed


def test_number_that_is_tried_is_within_its_bounds_also_where_rounding_would_leave_them(rows, bad):
    low, high = 0.83000041, 0.83000049
    space = {"subsample": BoundsConfig(low=low, high=high, log=False)}
    tuned = tune(rows, bad, TuningConfig(cpu_minutes=10, trials=2, space=space))
    assert all(low <= one.params["subsample"] <= high for one in tuned.trials)


def test_search_is_the_same_again_as_far_as_it_reaches_and_sees_no_day_that_judges(rows, bad):
    few = tune(rows, bad, dataclasses.replace(AMPLE, trials=3))
    place = rows.schema.get_field_index("is_late")
    late = rows["is_late"].to_numpy().copy()
    late[-10 * 150 :] = ~late[-10 * 150 :]
    turned = rows.set_column(place, "is_late", pa.array(late))
    again = tune(turned, bad, dataclasses.replace(AMPLE, trials=5))
    assert found(again)[:3] == found(few)
    assert len(found(again)) == 5
    seen = late.copy()
    seen[-11 * 150 : -10 * 150] = ~seen[-11 * 150 : -10 * 150]
    other = tune(rows.set_column(place, "is_late", pa.array(seen)), bad, dataclasses.replace(AMPLE, trials=1))
    assert found(other)[0][2] != found(few)[0][2], "the last day before them chooses"


def test_budget_ends_the_search_between_two_rounds_of_a_trial(rows, bad):
    """A round takes some milliseconds; all rounds of one trial of such trees would take some ten times the budget."""
    present = tune(rows, bad, dataclasses.replace(AMPLE, trials=1)).present.cpu_seconds
    minutes = (3 * present + 1) / 60
    slow = {
        "max_depth": BoundsConfig(low=11, high=12, log=False),
        "min_child_weight": BoundsConfig(low=0, high=1, log=False),
    }
    started = time.process_time()
    tuned = tune(
        rows,
        bad,
        TuningConfig(
            cpu_minutes=minutes,
            trials=10**6,
            space=slow | {"num_parallel_tree": BoundsConfig(low=100, high=101, log=False)},
        ),
    )
    spent = time.process_time() - started
    assert tuned.ended == "budget"
    assert tuned.cpu_seconds <= spent < 60 * minutes + 2
    assert all(np.isfinite(one.daily_auc) for one in tuned.trials)


def test_budget_that_does_not_suffice_for_the_present_parameters_is_an_error_and_is_kept(rows, bad):
    many = dataclasses.replace(bad, rounds=3000)
    started = time.process_time()
    with pytest.raises(RowsUnusableError, match="does not suffice to measure the present parameters"):
        tune(rows, many, TuningConfig(cpu_minutes=0.5 / 60, trials=1, space=SPACE))
    assert time.process_time() - started < 2.5
