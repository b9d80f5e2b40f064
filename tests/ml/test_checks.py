"""Each check of the model gate refuses a bad model that no other objects to; the real candidate passes them all."""

from __future__ import annotations

import dataclasses
import json
import warnings

import numpy as np
import pyarrow as pa
import pytest

from sluice.declare.gate import Gate
from sluice_ml import checks
from sluice_ml.config import (
    CalibrationConfig,
    ConstantConfig,
    FairnessConfig,
    FlipsConfig,
    GateConfig,
    LearnedGapConfig,
    ResourcesConfig,
    SlicesConfig,
    ValueConfig,
)
from sluice_ml.model import BaselineModel
from sluice_ml.promotion import Champion, Decision, decide
from sluice_ml.training import Candidate, fit

BEFORE = "2013-02-28"
POINT = 0.25


@pytest.fixture
def whole(config):
    """All checks, with the limits that a pipeline gets which says nothing else."""
    declared = Gate(slices={"columns": ("carrier", "origin")})
    costs = {"true_positive": 1, "false_positive": 1, "false_negative": 4, "true_negative": 0}
    gate = GateConfig(
        min_outcomes=declared.min_outcomes,
        shows_values=True,
        constant=ConstantConfig(**declared.constant.model_dump()),
        calibration=CalibrationConfig(**declared.calibration.model_dump()),
        learned_gap=LearnedGapConfig(**declared.learned_gap.model_dump()),
        slices=SlicesConfig(**declared.slices.model_dump()),
        flips=FlipsConfig(threshold=POINT, share=0.2),
        value=ValueConfig(threshold=POINT, margin=0.05, **costs),
        fairness=FairnessConfig(column="origin", threshold=POINT, opportunity=0.3, selection=0.3),
        resources=ResourcesConfig(model_mb=10, memory_mb=100, rows_per_second=20_000),
    )
    return dataclasses.replace(config, gate=gate, resamples=100)


def scored(candidate: Candidate, name: str, score: np.ndarray) -> Candidate:
    """The candidate with other scores of a model, or with one more column."""
    test, column = candidate.test, pa.array(score)
    at = test.schema.get_field_index(name)
    test = test.append_column(name, column) if at < 0 else test.set_column(at, name, column)
    return dataclasses.replace(candidate, test=test)


def states(decision: Decision) -> dict[str, str]:
    return {one["check"]: one["state"] for one in decision.numbers["gate"]}


def refused_by(candidate: Candidate, champion: Champion | None, config) -> list[str]:
    """The checks that object, of a decision that all else is content with."""
    decision = decide(candidate, champion, config)
    objecting = [name for name, state in states(decision).items() if state not in ("PASS", "NOT_APPLICABLE")]
    without = dataclasses.replace(config.gate, **dict.fromkeys(objecting))
    assert decide(candidate, champion, dataclasses.replace(config, gate=without)).promote
    assert decision.outcome == "refuse", decision.reasons
    return objecting


def odds(score):
    return np.log(score / (1 - score))


def back(logit):
    return 1 / (1 + np.exp(-logit))


def mine(candidate):
    return candidate.test["score_candidate"].to_numpy()


def test_real_candidate_passes_all_and_what_was_not_checked_is_said(candidate, whole, config):
    decision = decide(candidate, None, whole)
    assert decision.promote, decision.reasons
    assert states(decision) == {
        **dict.fromkeys(checks.CHECKS, "PASS"),
        "flips": "NOT_APPLICABLE",
        "resources": "NOT_APPLICABLE",
    }
    assert json.loads(json.dumps(decision.numbers["gate"], allow_nan=False)) == decision.numbers["gate"]
    bare = decide(candidate, None, config)
    assert bare.promote
    assert (bare.numbers["gate"], bare.numbers["not_checked"]) == ([], [*checks.CHECKS, "replay", "parity"])
    assert bare.reasons[-1].startswith("Not checked: constant, calibration,")


def test_rank_preserving_corruption_is_refused_for_calibration_alone(candidate, whole):
    bad = scored(candidate, "score_candidate", mine(candidate) ** 6)
    whole = dataclasses.replace(whole, gate=dataclasses.replace(whole.gate, value=None))
    assert refused_by(bad, None, whole) == ["calibration"]


def test_scores_that_are_too_sure_are_refused_for_their_slope(candidate, whole):
    logit = odds(mine(candidate))
    sure = back((logit - logit.mean()) * 4 + logit.mean() + 1)
    decision = decide(scored(candidate, "score_candidate", sure), None, whole)
    found = next(one for one in decision.numbers["gate"] if one["check"] == "calibration")
    assert found["state"] == "FAIL"
    assert found["numbers"]["slope"]["high"] < 0.5
    assert abs(found["numbers"]["level"]["value"]) < 1


def test_scores_shuffled_within_a_carrier_are_refused_by_its_name(candidate, whole):
    carrier, score = candidate.test["carrier"].to_numpy().astype(str), mine(candidate).copy()
    place = carrier == "AA"
    score[place] = np.random.default_rng(5).permutation(score[place])
    bad = scored(candidate, "score_candidate", score)
    assert refused_by(bad, None, whole) == ["slices"]
    reasons = " ".join(decide(bad, None, whole).reasons)
    assert "FAIL slices: carrier AA is told apart worse than by the linear model: AUC -0." in reasons
    assert "carrier DL" not in reasons


def test_carrier_whose_scores_are_of_another_level_is_refused_by_its_name(candidate, whole):
    carrier, logit = candidate.test["carrier"].to_numpy().astype(str), odds(mine(candidate))
    bad = scored(candidate, "score_candidate", back(np.where(carrier == "MQ", logit - 2, logit)))
    assert refused_by(bad, None, whole) == ["slices"]
    assert "carrier MQ is at another level: -" in " ".join(decide(bad, None, whole).reasons)


def test_pair_of_values_is_refused_by_both_names_where_neither_alone_is_wrong(candidate, whole):
    carrier, origin = (candidate.test[name].to_numpy().astype(str) for name in ("carrier", "origin"))
    logit = odds(mine(candidate))
    sign = np.where(origin == "EWR", 1, -1) * (carrier == "B6")
    bad = scored(candidate, "score_candidate", back(logit - 2 * sign))
    # Of a shift within a carrier its AUC would tell, too.
    slices = dataclasses.replace(whole.gate.slices, auc=0.49)
    whole = dataclasses.replace(whole, gate=dataclasses.replace(whole.gate, slices=slices))
    assert states(decide(bad, None, whole))["slices"] == "PASS"
    slices = dataclasses.replace(slices, pairs=(("carrier", "origin"),))
    paired = dataclasses.replace(whole, gate=dataclasses.replace(whole.gate, slices=slices))
    assert decide(candidate, None, paired).promote
    assert "carrier B6, origin EWR is at another level: -" in " ".join(decide(bad, None, paired).reasons)


def test_slice_that_is_too_small_is_named_and_refuses_nothing(candidate, whole):
    carrier = candidate.test["carrier"].to_numpy().astype(str)
    score = np.where(carrier == "YV", 0.999, mine(candidate))
    finding = next(
        one
        for one in decide(scored(candidate, "score_candidate", score), None, whole).numbers["gate"]
        if one["check"] == "slices"
    )
    assert finding["numbers"]["too_small"]["carrier YV"] == (carrier == "YV").sum()
    assert (finding["state"], "carrier YV (" in finding["sentence"]) == ("PASS", True)


def only_slices(config, **limits):
    checked = dict.fromkeys(checks.CHECKS) | {"slices": SlicesConfig(**limits)}
    return dataclasses.replace(config, gate=dataclasses.replace(config.gate, **checked))


def test_slices_that_are_all_too_small_are_no_evidence(candidate, whole):
    late = candidate.test["is_late"].to_numpy()
    slices = only_slices(whole, columns=("carrier",), pairs=(), level=0.8, auc=0.02)
    all_of_them = dataclasses.replace(slices.gate, min_outcomes=int(min(late.sum(), (~late).sum())))
    decision = decide(candidate, None, dataclasses.replace(slices, gate=all_of_them))
    assert (decision.outcome, states(decision)) == ("insufficient_data", {"slices": "INSUFFICIENT"})
    said = " ".join(decision.reasons)
    assert "No slice could be compared" in said
    assert "Too small to judge: carrier 9E (" in said


def test_slices_without_a_peer_are_no_evidence_and_named(candidate, whole):
    slices = only_slices(whole, columns=("origin",), pairs=(), level=0.8, auc=0.02)
    assert decide(candidate, None, slices).promote
    kept = [name for name in candidate.test.column_names if name not in ("score_linear", "score_boosted")]
    decision = decide(dataclasses.replace(candidate, test=candidate.test.select(kept)), None, slices)
    assert (decision.outcome, states(decision)) == ("insufficient_data", {"slices": "INSUFFICIENT"})
    assert "of which no scores were kept: origin EWR, origin LGA." in " ".join(decision.reasons)
    # What is surely wrong is wrong without a peer, too.
    carrier, logit = candidate.test["carrier"].to_numpy().astype(str), odds(mine(candidate))
    apart = back(np.where(carrier == "MQ", logit - 2, logit))
    bad = scored(dataclasses.replace(candidate, test=candidate.test.select(kept)), "score_candidate", apart)
    by_carrier = only_slices(whole, columns=("carrier",), pairs=(), level=0.8, auc=0.02)
    assert states(decide(bad, None, by_carrier)) == {"slices": "FAIL"}


def test_slice_that_is_too_rare_beside_the_peer_is_named(candidate, whole):
    """Of one origin the champion scored the last five days alone."""
    test = candidate.test
    days, origin = test["ds"].to_numpy(), test["origin"].to_numpy().astype(str)
    theirs = np.where((origin == "LGA") & (days < np.unique(days)[-5]), np.nan, mine(candidate))
    champion = Champion(BaselineModel("theirs", float("nan")), BEFORE, candidate.meta.recipe_sha256)
    slices = only_slices(whole, columns=("origin",), pairs=(), level=0.8, auc=0.02)
    decision = decide(scored(candidate, "theirs", theirs), champion, slices)
    assert states(decision) == {"slices": "PASS"}
    assert decision.numbers["gate"][0]["numbers"]["not_compared"] == ["origin LGA"]
    said = decision.numbers["gate"][0]["sentence"]
    assert said == "None of 1 slices is worse. Not compared with the champion, on too few days: origin LGA."


def test_mostly_constant_scores_are_refused(candidate, whole):
    """The lowest quarter of the scores is their mean: what is left of the order still beats the baseline."""
    score = mine(candidate).copy()
    low = score < np.quantile(score, 0.27)
    score[low] = score[low].mean()
    assert refused_by(scored(candidate, "score_candidate", score), None, whole) == ["constant"]


def test_model_that_learned_by_heart_is_refused_for_the_gap(rows, config, whole):
    """Beside a rule that knows nothing it is good enough."""
    deep = {
        "max_depth": 10,
        "min_child_weight": 0,
        "learning_rate": 0.05,
        "subsample": 0.7,
        "reg_lambda": 0.0,
    }
    bad = fit(rows, dataclasses.replace(config, params=deep, rounds=15, valid_blocks=1))
    weak = np.random.default_rng(3).uniform(0.1, 0.3, bad.test.num_rows)
    assert refused_by(scored(bad, "score_baseline", weak), None, whole) == ["learned_gap"]


def test_candidate_that_never_said_how_it_learned_is_an_error_and_is_not_promoted(candidate, whole):
    old = dataclasses.replace(candidate, meta=dataclasses.replace(candidate.meta, learned_daily_auc=None))
    decision = decide(old, None, whole)
    assert (decision.outcome, states(decision)["learned_gap"]) == ("refuse", "ERROR")
    assert any(
        reason.startswith("ERROR learned_gap: ") and "train again" in reason for reason in decision.reasons
    )


@pytest.mark.parametrize("learned", [float("nan"), float("inf"), -0.1, 1.1])
def test_auc_of_learned_days_that_is_none_is_an_error(candidate, whole, learned):
    odd = dataclasses.replace(candidate, meta=dataclasses.replace(candidate.meta, learned_daily_auc=learned))
    decision = decide(odd, None, whole)
    assert (decision.outcome, states(decision)["learned_gap"]) == ("refuse", "ERROR")
    assert any(f"recorded as {learned}, and is from 0 to 1" in reason for reason in decision.reasons)


def test_answers_that_flip_to_wrong_are_refused(candidate, whole):
    """Both know as much of the outcome, by other rows: neither order nor costs differ."""
    drawn, label = np.random.default_rng(3), candidate.test["is_late"].to_numpy()

    def noisy():
        return back(drawn.normal(np.where(label, -0.85, -1.5), 0.8))

    whole = dataclasses.replace(whole, refresh_margin=0.05)
    both = scored(scored(candidate, "score_candidate", noisy()), "theirs", noisy())
    champion = Champion(BaselineModel("theirs", 0.2), BEFORE, both.meta.recipe_sha256)
    assert refused_by(both, champion, whole) == ["flips"]
    assert (
        states(
            decide(
                both, Champion(BaselineModel("score_candidate", 0.2), BEFORE, both.meta.recipe_sha256), whole
            )
        )["flips"]
        == "PASS"
    )


def test_higher_auc_with_less_value_is_refused(candidate, whole):
    """It ranks better, and says so little of it that at the operating point nobody acts in time."""
    label, logit = candidate.test["is_late"].to_numpy(), odds(mine(candidate))
    better = back(logit + 0.1 * label - 0.7)
    bad = scored(scored(candidate, "score_candidate", better), "theirs", mine(candidate))
    champion = Champion(BaselineModel("theirs", 0.2), BEFORE, bad.meta.recipe_sha256)
    decision = decide(bad, champion, whole)
    assert decision.comparisons[1].difference.low > 0
    assert refused_by(bad, champion, whole) == ["value"]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -0.01, 1.01])
def test_one_score_that_is_no_probability_is_an_error_that_can_be_recorded(candidate, whole, config, wrong):
    """Of a gate that checks nothing, too."""
    score = mine(candidate).copy()
    score[7] = wrong
    champion = Champion(BaselineModel("distance", 0.2), BEFORE, candidate.meta.recipe_sha256)
    bad = scored(candidate, "score_candidate", score)
    for rival, gate in ((None, whole), (champion, whole), (champion, config)):
        decision = decide(bad, rival, gate)
        assert (decision.outcome, states(decision)) == ("refuse", {"scores": "ERROR"})
        assert decision.reasons[0].startswith("ERROR scores: 1 of the ")
        json.dumps(decision.numbers, allow_nan=False)


def test_refit_whose_loss_is_no_number_is_refused_and_can_be_recorded(candidate, config):
    meta = dataclasses.replace(candidate.meta, refit_loss_change=float("nan"))
    decision = decide(dataclasses.replace(candidate, meta=meta), None, config)
    assert decision.outcome == "refuse"
    assert any("log loss +nan" in reason for reason in decision.reasons)
    json.dumps(decision.numbers, allow_nan=False)


def test_few_rows_of_an_outcome_decide_nothing(candidate, whole):
    few = dataclasses.replace(whole, gate=dataclasses.replace(whole.gate, min_outcomes=100_000))
    decision = decide(candidate, None, few)
    assert decision.outcome == "insufficient_data"
    assert set(states(decision).values()) == {"INSUFFICIENT"}


def test_days_of_one_outcome_are_no_evidence(candidate, whole):
    test = candidate.test
    label = test["is_late"].to_numpy() & np.isin(test["ds"].to_numpy(), np.unique(test["ds"].to_numpy())[:6])
    at = test.schema.get_field_index("is_late")
    decision = decide(
        dataclasses.replace(candidate, test=test.set_column(at, "is_late", pa.array(label))), None, whole
    )
    assert not decision.promote
    assert set(states(decision).values()) == {"INSUFFICIENT"}


def test_column_that_is_gone_is_an_error_and_is_not_promoted(candidate, whole):
    gone = dataclasses.replace(candidate, test=candidate.test.drop_columns(["carrier"]))
    decision = decide(gone, None, whole)
    assert (decision.outcome, states(decision)["slices"]) == ("refuse", "ERROR")


def test_champion_that_cannot_score_leaves_the_baseline_to_compare_with(candidate, whole):
    decision = decide(candidate, Champion(BaselineModel("gone", 0.2), BEFORE, "another"), whole)
    assert decision.promote, decision.reasons
    assert states(decision)["flips"] == "NOT_APPLICABLE"
    value = next(one for one in decision.numbers["gate"] if one["check"] == "value")
    assert value["numbers"]["rival"] == "baseline"


def test_days_that_the_champion_learned_do_not_count_for_flips_and_value(candidate, whole):
    """Here it knows the outcomes of the days that it learned: none of these may be held against the candidate."""
    test = candidate.test
    learned = test["ds"].to_numpy() <= np.unique(test["ds"].to_numpy())[2]
    knows = np.where(learned, test["is_late"].to_numpy(), mine(candidate))
    both, until = scored(candidate, "knows", knows), str(np.unique(test["ds"].to_numpy())[2])
    recipe = candidate.meta.recipe_sha256
    assert decide(both, Champion(BaselineModel("knows", 0.2), until, recipe), whole).promote
    found = states(decide(both, Champion(BaselineModel("knows", 0.2), BEFORE, recipe), whole))
    assert found["value"] == "FAIL"


def test_constant_scores_are_judged_without_a_warning(candidate, whole):
    same = scored(candidate, "score_candidate", np.full(candidate.test.num_rows, 0.2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decision = decide(same, None, whole)
    assert (decision.outcome, states(decision)["constant"]) == ("refuse", "FAIL")
    assert states(decision)["calibration"] == "PASS"


def test_champion_that_learned_the_held_out_days_leaves_too_few_to_say_anything(candidate, whole):
    last = str(candidate.test["ds"].to_numpy().max())
    decision = decide(
        candidate, Champion(BaselineModel("distance", 0.2), last, candidate.meta.recipe_sha256), whole
    )
    assert decision.outcome == "insufficient_data", decision.reasons
    assert {states(decision)[name] for name in ("flips", "value")} == {"INSUFFICIENT"}


def test_leak_that_a_replay_found_refuses_the_candidate(candidate, config):
    for state, outcome in (("PASS", "promote"), ("FAIL", "refuse"), ("ERROR", "refuse")):
        decision = decide(
            candidate, None, config, replayed=checks.Finding("replay", state, "What was found.")
        )
        assert (decision.outcome, states(decision)) == (outcome, {"replay": state})
        assert "replay" not in decision.numbers["not_checked"]
