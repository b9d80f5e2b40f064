from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml.model import BaselineModel, ScoringModel
from sluice_ml.promotion import decide
from sluice_ml.training import fit


def relabelled(rows, values):
    return rows.set_column(
        rows.schema.get_field_index("is_late"), "is_late", pa.array(values, from_pandas=True)
    )


def against(decision, name):
    return next(found for found in decision.comparisons if found.against == name)


def test_decide_a_candidate_that_learned_is_promoted(candidate):
    decision = decide(candidate, None)
    assert decision.promote, decision.reasons
    assert against(decision, "baseline").difference.low > 0
    assert [found.against for found in decision.comparisons] == ["baseline", "linear"]
    assert json.loads(json.dumps(decision.numbers))["days"] == 10


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_decide_shuffled_labels_are_refused(rows, config, seed):
    label = np.random.default_rng(seed).permutation(rows["is_late"].to_pylist())
    decision = decide(fit(relabelled(rows, label), config), None)
    assert not decision.promote, decision.reasons
    assert not against(decision, "baseline").passed


def test_decide_labels_shuffled_in_training_only_are_refused(rows, config, candidate):
    learned = pc.less(rows["ds"], candidate.test["ds"][0].as_py()).to_numpy()
    label = np.array(rows["is_late"].to_pylist(), dtype=object)
    label[learned] = np.random.default_rng(1).permutation(label[learned])
    decision = decide(fit(relabelled(rows, label), config), None)
    assert not decision.promote, decision.reasons


def test_decide_the_champion_itself_is_refused(candidate):
    decision = decide(candidate, ScoringModel(candidate.ubj, candidate.meta, threads=2))
    assert not decision.promote
    assert against(decision, "champion").difference.value == 0
    assert any("does not beat the champion" in reason for reason in decision.reasons)


def test_decide_champion_is_scored_on_the_candidates_held_out_days(candidate, config):
    champion = BaselineModel("origin_late_rate_1d", 0.2)
    decision = decide(candidate, champion)
    assert against(decision, "champion").auc == pytest.approx(
        decide(swap(candidate, "baseline", champion.score(candidate.test)), None).comparisons[0].auc
    )


def test_decide_a_worse_champion_is_replaced(candidate):
    assert decide(candidate, BaselineModel("distance", 0.2)).promote


def test_decide_a_linear_model_that_wins_stops_the_candidate(candidate):
    label = candidate.test["is_late"].to_numpy()
    better = np.clip(candidate.test["score_candidate"].to_numpy() + 0.2 * label, 0, 1)
    decision = decide(swap(candidate, "linear", better), None)
    assert not decision.promote
    assert "loses to the linear model" in decision.reasons[1]


@pytest.mark.parametrize(
    ("champion", "given", "says"),
    [
        (BaselineModel("gone", 0.2), "", "no column gone"),
        (None, "Its file is damaged.", "Its file is damaged."),
    ],
    ids=["feature_gone", "damaged"],
)
def test_decide_champion_that_cannot_be_compared_is_named_and_the_others_decide(
    candidate, champion, given, says
):
    decision = decide(candidate, champion, not_compared=given)
    assert decision.promote, decision.reasons
    assert [found.against for found in decision.comparisons] == ["baseline", "linear"]
    assert decision.reasons[-1].startswith("The champion could not be compared: ")
    assert says in decision.reasons[-1]
    assert says in decision.numbers["not_compared"]
    worse = swap(candidate, "candidate", 1 - candidate.test["score_candidate"].to_numpy())
    assert not decide(worse, champion, not_compared=given).promote


def swap(candidate, name, score):
    place = candidate.test.schema.get_field_index(f"score_{name}")
    return dataclasses.replace(
        candidate, test=candidate.test.set_column(place, f"score_{name}", pa.array(score))
    )
