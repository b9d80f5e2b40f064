from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml import checks, promotion
from sluice_ml.config import (
    CalibrationConfig,
    ConstantConfig,
    FairnessConfig,
    FlipsConfig,
    LearnedGapConfig,
    ResourcesConfig,
    SlicesConfig,
    ValueConfig,
)
from sluice_ml.metrics import daily
from sluice_ml.model import BaselineModel, ScoringModel
from sluice_ml.promotion import Champion, RecordedScores, decide
from sluice_ml.training import fit
from sluice_ml.usage import Usage
from tests.ml.conftest import gate


def relabelled(rows, values):
    return rows.set_column(
        rows.schema.get_field_index("is_late"), "is_late", pa.array(values, from_pandas=True)
    )


def against(decision, name):
    return next(found for found in decision.comparisons if found.against == name)


def rule(column: str) -> Champion:
    return Champion(BaselineModel(column, 0.2), "2013-02-28", "another")


def test_decide_a_candidate_that_learned_is_promoted(candidate, config):
    decision = decide(candidate, None, config)
    assert decision.promote, decision.reasons
    assert against(decision, "baseline").difference.low > 0
    assert [found.against for found in decision.comparisons] == ["baseline"]
    assert json.loads(json.dumps(decision.numbers))["days"] == 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_decide_shuffled_labels_are_refused(rows, config, seed):
    label = np.random.default_rng(seed).permutation(rows["is_late"].to_pylist())
    decision = decide(fit(relabelled(rows, label), config), None, config)
    assert not decision.promote, decision.reasons
    assert not against(decision, "baseline").passed


def test_decide_labels_shuffled_in_training_only_are_refused(rows, config, candidate):
    learned = pc.less(rows["ds"], candidate.test["ds"][0].as_py()).to_numpy()
    label = np.array(rows["is_late"].to_pylist(), dtype=object)
    label[learned] = np.random.default_rng(1).permutation(label[learned])
    decision = decide(fit(relabelled(rows, label), config), None, config)
    assert not decision.promote, decision.reasons


def test_decide_champion_of_the_same_days_has_learned_them_and_cannot_be_compared(candidate, config):
    champion = Champion.of(ScoringModel(candidate.content, candidate.meta, threads=2))
    assert (champion.learned_until, champion.recipe_sha256) == ("2013-03-14", candidate.meta.recipe_sha256)
    decision = decide(candidate, champion, config)
    assert decision.outcome == "insufficient_data"
    assert against(decision, "champion").days == 0


def test_decide_champion_is_scored_on_the_candidates_held_out_days(candidate, config):
    found = against(decide(candidate, rule("origin_late_rate_1d"), config), "champion")
    score = BaselineModel("origin_late_rate_1d", 0.2).score(candidate.test)
    label, day = (candidate.test[name].to_numpy() for name in ("is_late", "ds"))
    assert found.auc == pytest.approx(np.nanmean(daily(label, score, day)))
    assert found.days == 10


def test_decide_a_worse_champion_is_replaced(candidate, config):
    assert decide(candidate, rule("distance"), config).promote


@pytest.mark.parametrize(
    ("champion", "given", "says"),
    [
        (rule("gone"), "", "no column gone"),
        (None, "Its file is damaged.", "Its file is damaged."),
    ],
    ids=["feature_gone", "damaged"],
)
def test_decide_champion_that_cannot_be_compared_is_named_and_the_others_decide(
    candidate, config, champion, given, says
):
    decision = decide(candidate, champion, config, not_compared=given)
    assert decision.promote, decision.reasons
    assert [found.against for found in decision.comparisons] == ["baseline"]
    assert decision.reasons[1].startswith("The champion could not be compared: ")
    assert says in decision.reasons[1]
    assert says in decision.numbers["not_compared"]
    worse = swap(candidate, "candidate", 1 - candidate.test["score_candidate"].to_numpy())
    assert not decide(worse, champion, config, not_compared=given).promote


def lost(candidate, score, keep=slice(None)) -> Champion:
    """A champion of another recipe that is lost, by the scores that it had published of some rows."""
    rows = candidate.test.select(["flight_id", "ds"]).append_column("score", pa.array(score))
    kept = rows.take(np.arange(rows.num_rows)[keep])
    return Champion(RecordedScores("flight_id", kept), "2013-02-28", "another", recorded="Its file is lost.")


def test_decide_lost_champion_has_to_be_kept_up_with_and_not_beaten(candidate, config):
    mine = candidate.test["score_candidate"].to_numpy()
    decision = decide(candidate, lost(candidate, mine), config)
    assert decision.promote, decision.reasons
    assert (against(decision, "champion").must, decision.numbers["is_recipe_change"]) == ("keep_up", True)
    assert decision.numbers["by_recorded_scores"]
    knew = decide(candidate, lost(candidate, candidate.test["is_late"].to_numpy().astype(float)), config)
    assert knew.outcome == "refuse"


def test_decide_lost_champion_of_too_few_rows_for_a_check_is_no_rival(candidate, config):
    mine, day = candidate.test["score_candidate"].to_numpy(), candidate.test["ds"].to_numpy()
    two_in_three = np.arange(len(mine)) % 3 > 0
    late = int(candidate.test["is_late"].to_numpy().sum())
    flips = FlipsConfig(threshold=0.5, share=0.2)
    config = dataclasses.replace(config, gate=gate(flips=flips, min_outcomes=int(late * 0.9)))
    decision = decide(candidate, lost(candidate, mine, two_in_three), config)
    assert decision.promote, decision.reasons
    assert [found.against for found in decision.comparisons] == ["baseline"]
    assert decision.numbers["not_compared"] == "Its file is lost. It had scored too few rows for flips."
    assert not decision.numbers["by_recorded_scores"]
    whole = decide(candidate, lost(candidate, mine), config)
    assert whole.numbers["by_recorded_scores"], whole.reasons
    assert len(set(day)) == against(whole, "champion").days


def test_checks_that_say_nothing_beside_a_rival_of_too_few_rows_are_known_before_they_are_made(
    candidate, config
):
    """Of all rows there are enough, and of those of the rival too few: every check that says so is named, and no other."""
    costs = dict.fromkeys(["true_positive", "false_positive", "false_negative", "true_negative"], 1.0)
    declared = gate(
        constant=ConstantConfig(share=0.9),
        calibration=CalibrationConfig(level=9, slope_low=0, slope_high=9),
        learned_gap=LearnedGapConfig(auc=0.5),
        slices=SlicesConfig(columns=("carrier",), pairs=(), level=9, auc=0.5),
        flips=FlipsConfig(threshold=0.5, share=0.2),
        value=ValueConfig(threshold=0.5, margin=1, **costs),
        fairness=FairnessConfig(column="carrier", threshold=0.5, opportunity=1, selection=None),
    )
    late = int(candidate.test["is_late"].to_numpy().sum())
    config = dataclasses.replace(config, gate=dataclasses.replace(declared, min_outcomes=int(late * 0.9)))
    two_in_three = np.arange(candidate.test.num_rows) % 3 > 0
    theirs = np.where(two_in_three, candidate.test["score_candidate"].to_numpy(), np.nan)
    days = promotion.Days(candidate.test, "is_late", config)
    found = days.compare("champion", theirs, theirs, "keep_up")
    beside = days.judged(candidate, promotion.Rival(theirs, "", found))
    states = [
        {one.check for one in checks.run(judged, config.gate) if one.state == "INSUFFICIENT"}
        for judged in (beside, days.judged(candidate, None))
    ]
    assert {*checks.without_enough_of_the_rival(beside, config.gate)} == states[0] - states[1] != set()


def test_usage_is_measured_once_also_where_a_lost_champion_is_judged_by_its_scores(candidate, config):
    measured = []

    def usage() -> Usage:
        measured.append(1)
        return Usage(rows=1, model_bytes=1, rows_per_second=10.0, added_bytes=1)

    limits = ResourcesConfig(model_mb=1, rows_per_second=1, memory_mb=1)
    config = dataclasses.replace(config, gate=gate(resources=limits))
    mine = candidate.test["score_candidate"].to_numpy()
    assert decide(candidate, lost(candidate, mine), config, usage=usage).numbers["by_recorded_scores"]
    assert len(measured) == 1


def test_recorded_scores_of_a_minority_of_a_days_rows_do_not_stand_for_it(candidate):
    mine = candidate.test["score_candidate"].to_numpy()
    third, half = (np.arange(len(mine)) % step == 0 for step in (3, 2))
    assert np.isnan(lost(candidate, mine, third).scorer.score(candidate.test)).all()
    assert np.isnan(lost(candidate, mine, half).scorer.score(candidate.test)).sum() < len(mine)


def swap(candidate, name, score):
    place = candidate.test.schema.get_field_index(f"score_{name}")
    return dataclasses.replace(
        candidate, test=candidate.test.set_column(place, f"score_{name}", pa.array(score))
    )
