"""What a candidate has to beat or keep up with, and on which days, from scores that are drawn: nothing is trained."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.model import BaselineModel, ModelMeta
from sluice_ml.promotion import Champion, Decision, decide
from sluice_ml.training import Candidate

DAYS, PER_DAY = 14, 300
BEFORE = "2013-02-28"


@pytest.fixture
def candidate() -> Candidate:
    """A candidate that is better than the baseline; other columns are the scores of possible champions."""
    drawn = np.random.default_rng(7)
    count = DAYS * PER_DAY
    label = drawn.random(count) < 0.3
    good = np.clip(0.3 * label + drawn.random(count) * 0.7, 0, 1)
    other = np.clip(0.3 * label + drawn.random(count) * 0.7, 0, 1)
    better = np.clip(0.4 * label + drawn.random(count) * 0.6, 0, 1)
    test = pa.table(
        {
            "ds": pa.array(
                [date(2013, 3, 1) + timedelta(days=i // PER_DAY) for i in range(count)], pa.date32()
            ),
            "is_late": pa.array(label),
            "same": good,
            "as_good": other,
            "better": better,
            "noise": drawn.random(count),
            "score_candidate": good,
            "score_baseline": drawn.random(count),
        }
    )
    meta = ModelMeta(
        format=1,
        name="late",
        numeric=(),
        categorical=(),
        vocabulary={},
        splits={"test": {"first": "2013-03-01", "last": "2013-03-14", "days": DAYS, "rows": count}},
        unlabelled_rows=0,
        rows_sha256="",
        metrics={},
        config={"label": "is_late"},
        libraries={},
        recipe_sha256="this",
        agreement=0.7,
        refit_loss_change=-0.01,
    )
    return Candidate(b"", "", meta, test)


def champion(column: str, *, recipe: str = "this", until: str = BEFORE) -> Champion:
    return Champion(BaselineModel(column, 0.2), until, recipe)


def passed(decision: Decision) -> dict[str, bool]:
    return {one.against: one.passed for one in decision.comparisons}


def test_first_candidate_must_beat_the_baseline(candidate, config):
    decision = decide(candidate, None, config)
    assert (decision.outcome, passed(decision)) == ("promote", {"baseline": True})
    assert decision.numbers["not_compared"] == ""
    held = {name: decision.numbers[name] for name in ("first", "last", "days", "rows")}
    assert held == candidate.meta.splits["test"]
    place = candidate.test.schema.get_field_index("score_baseline")
    alike = candidate.test.set_column(place, "score_baseline", candidate.test["same"])
    decision = decide(dataclasses.replace(candidate, test=alike), None, config)
    assert (decision.outcome, passed(decision)) == ("refuse", {"baseline": False})


def test_refresh_that_is_as_good_replaces_its_champion_and_a_recipe_change_does_not(candidate, config):
    refresh = decide(candidate, champion("as_good"), config)
    assert refresh.outcome == "promote", refresh.reasons
    assert (refresh.comparisons[1].must, refresh.numbers["is_recipe_change"]) == ("keep_up", False)
    change = decide(candidate, champion("as_good", recipe="another"), config)
    assert (change.outcome, change.numbers["is_recipe_change"]) == ("refuse", True)
    assert "does not beat the champion by more than the noise" in change.reasons[1]


def test_refresh_that_is_worse_by_more_than_the_margin_is_refused(candidate, config):
    decision = decide(candidate, champion("better"), config)
    assert (decision.outcome, passed(decision)) == ("refuse", {"baseline": True, "champion": False})
    assert decision.comparisons[1].difference.value < -config.refresh_margin
    assert "may be worse than the champion by more than 0.02" in decision.reasons[1]


def test_recipe_change_that_beats_the_champion_is_promoted(candidate, config):
    assert decide(candidate, champion("noise", recipe="another"), config).promote


def test_champion_whose_recipe_was_not_recorded_has_another_one(candidate, config):
    old = dataclasses.replace(
        candidate, meta=dataclasses.replace(candidate.meta, recipe_sha256="", refit_loss_change=None)
    )
    assert decide(old, champion("as_good", recipe=""), config).numbers["is_recipe_change"]
    assert decide(candidate, champion("as_good", recipe=""), config).numbers["is_recipe_change"]


@pytest.mark.parametrize(("until", "days"), [("2013-03-05", 9), ("2013-03-07", 7)])
def test_days_that_the_champion_learned_from_do_not_count(candidate, config, until, days):
    """Whatever the champion says of its own days: here it knows their outcomes."""
    label, day = candidate.test["is_late"].to_numpy(), candidate.test["ds"].to_numpy()
    knows = np.where(day <= np.datetime64(until), label, candidate.test["same"].to_numpy())
    learned = dataclasses.replace(candidate, test=candidate.test.append_column("knows", [knows]))
    decision = decide(learned, champion("knows", until=until), config)
    assert decision.promote, decision.reasons
    assert decision.comparisons[1].days == days
    assert decision.comparisons[1].first == str(np.datetime64(until) + 1)
    assert decide(learned, champion("knows"), config).outcome == "refuse"


@pytest.mark.parametrize(("until", "days"), [("2013-03-08", 6), ("2013-03-14", 0), ("2013-04-30", 0)])
def test_too_few_days_after_the_champion_decide_nothing(candidate, config, until, days):
    decision = decide(candidate, champion("noise", until=until), config)
    assert (decision.outcome, decision.promote) == ("insufficient_data", False)
    assert decision.comparisons[1].days == days
    assert f"{days} of the held-out days" in decision.reasons[1]
    assert f"when {7 - days} more days have outcomes" in decision.reasons[1]


def test_same_model_against_itself_is_no_improvement(candidate, config):
    decision = decide(candidate, champion("same", recipe="another"), config)
    assert decision.outcome == "refuse"
    assert decision.comparisons[1].difference.value == 0
    assert decide(candidate, champion("same"), config).promote


def test_two_equal_recipes_beat_each_other_in_few_of_200_draws(candidate, config):
    drawn, won = np.random.default_rng(11), 0
    label = candidate.test["is_late"].to_numpy()
    place = candidate.test.schema.get_field_index("score_candidate")
    for _ in range(200):
        mine, theirs = (np.clip(0.3 * label + drawn.random(len(label)) * 0.7, 0, 1) for _ in range(2))
        test = candidate.test.set_column(place, "score_candidate", [mine]).append_column("theirs", [theirs])
        decision = decide(
            dataclasses.replace(candidate, test=test), champion("theirs", recipe="another"), config
        )
        won += decision.promote
    # Of a two-sided 95% interval one side: 2.5%.
    assert won <= 0.05 * 200


def test_model_that_was_fitted_again_and_fits_the_days_that_it_learned_worse_is_refused(candidate, config):
    apart = dataclasses.replace(candidate, meta=dataclasses.replace(candidate.meta, refit_loss_change=0.02))
    decision = decide(apart, None, config)
    assert (decision.outcome, passed(decision)) == ("refuse", {"baseline": True})
    assert "log loss +0.0200" in decision.reasons[1]


@pytest.mark.parametrize(
    ("rival", "given", "said"),
    [(champion("gone"), "", "gone"), (None, "It is damaged.", "damaged")],
)
def test_champion_that_cannot_be_compared_is_named(candidate, config, rival, given, said):
    decision = decide(candidate, rival, config, not_compared=given)
    assert decision.promote
    assert decision.reasons[1].startswith("The champion could not be compared: ")
    assert said in decision.numbers["not_compared"]


def test_brier_score_and_calibration_stand_beside_the_auc(candidate, config):
    decision = decide(candidate, champion("as_good"), config)
    label, mine = (candidate.test[name].to_numpy() for name in ("is_late", "score_candidate"))
    theirs = candidate.test["as_good"].to_numpy()
    found = decision.comparisons[1]
    assert found.brier == pytest.approx(np.mean((theirs - label) ** 2))
    assert found.brier_difference == pytest.approx(np.mean((mine - label) ** 2) - found.brier)
    assert decision.numbers["calibration"] == {"mean_score": mine.mean(), "label_rate": label.mean()}
