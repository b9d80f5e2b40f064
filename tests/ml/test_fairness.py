"""A model that treats one group otherwise is refused for that alone, and no finding names groups that are about people."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.checks import fairness
from sluice_ml.checks.judged import MISSING, Judged
from sluice_ml.config import FairnessConfig, SlicesConfig
from sluice_ml.promotion import Decision, decide
from sluice_ml.training import Candidate

POINT = 0.25
LIMITS = FairnessConfig(column="group", threshold=POINT, opportunity=0.1, selection=0.1)


@pytest.fixture(scope="module")
def judging(config):
    """A gate of fairness alone."""
    return dataclasses.replace(config, gate=dataclasses.replace(config.gate, fairness=LIMITS), resamples=200)


@pytest.fixture(scope="module")
def grouped(candidate):
    """The candidate, and a column that it has never seen: two groups that have nothing to do with the outcome."""
    drawn = np.random.default_rng(7).random(candidate.test.num_rows)
    return with_group(candidate, np.where(drawn < 0.4, "ada", "bob"))


def with_group(candidate: Candidate, group: np.ndarray) -> Candidate:
    test = candidate.test
    if "group" in test.column_names:
        test = test.drop_columns(["group"])
    return dataclasses.replace(candidate, test=test.append_column("group", pa.array(group)))


def biased(candidate: Candidate) -> Candidate:
    """The rows of one group have lower scores."""
    test, at = candidate.test, candidate.test.schema.get_field_index("score_candidate")
    score = test["score_candidate"].to_numpy()
    odds = np.log(score / (1 - score)) - 0.5 * (test["group"].to_numpy() == "ada")
    return dataclasses.replace(
        candidate, test=test.set_column(at, "score_candidate", pa.array(1 / (1 + np.exp(-odds))))
    )


def finding(decision: Decision, name: str = "fairness") -> dict:
    return next(one for one in decision.numbers["gate"] if one["check"] == name)


def test_groups_without_a_difference_pass_with_rates_and_intervals(grouped, judging):
    decision = decide(grouped, None, judging)
    found = finding(decision)
    assert decision.promote, decision.reasons
    acts = grouped.test["score_candidate"].to_numpy() >= POINT
    ada, late = grouped.test["group"].to_numpy() == "ada", grouped.test["is_late"].to_numpy()
    rates = found["numbers"]["true_positive_rate"]["groups"]
    assert rates["group ada"] == pytest.approx(acts[ada & late].mean())
    assert found["numbers"]["selection_rate"]["groups"]["group bob"] == pytest.approx(acts[~ada].mean())


def test_group_whose_scores_are_lower_is_refused_for_fairness_alone(grouped, judging):
    decision = decide(biased(grouped), None, judging)
    found = finding(decision)
    assert (decision.outcome, found["state"]) == ("refuse", "FAIL"), decision.reasons
    assert found["numbers"]["true_positive_rate"]["difference"]["low"] > 0.1
    assert "of group bob and " in found["sentence"]
    without = dataclasses.replace(judging, gate=dataclasses.replace(judging.gate, fairness=None))
    assert decide(biased(grouped), None, without).promote


def test_selection_without_a_limit_is_measured_and_refuses_nothing(grouped, judging):
    """All of a group's scores are lower, but for those that came true."""
    test = grouped.test
    lower = biased(grouped).test["score_candidate"].to_numpy()
    score = np.where(test["is_late"].to_numpy(), test["score_candidate"].to_numpy(), lower)
    at = test.schema.get_field_index("score_candidate")
    bad = dataclasses.replace(grouped, test=test.set_column(at, "score_candidate", pa.array(score)))
    parity = dataclasses.replace(LIMITS, selection=0.02)
    held = dataclasses.replace(judging, gate=dataclasses.replace(judging.gate, fairness=parity))
    assert finding(decide(bad, None, held))["state"] == "FAIL"
    measured = dataclasses.replace(parity, selection=None)
    free = dataclasses.replace(judging, gate=dataclasses.replace(judging.gate, fairness=measured))
    found = finding(decide(bad, None, free))
    assert (found["state"], "no limit" in found["sentence"]) == ("PASS", True)


def test_group_that_is_too_small_is_insufficient_and_rows_without_a_value_are_no_group(grouped, judging):
    group = grouped.test["group"].to_numpy().astype(object)
    group[:40] = "eve"
    decision = decide(with_group(grouped, group), None, judging)
    assert (decision.outcome, finding(decision)["state"]) == ("insufficient_data", "INSUFFICIENT")
    assert "group eve (40 rows)" in finding(decision)["sentence"]
    group[:40] = None
    decision = decide(with_group(grouped, group), None, judging)
    assert (decision.outcome, finding(decision)["numbers"]["without_value"]) == ("promote", 40)


def test_group_whose_rows_came_true_on_few_days_is_insufficient(grouped, judging):
    """It has rows of every day, and enough of both outcomes."""
    test, days = grouped.test, np.unique(grouped.test["ds"].to_numpy().astype("datetime64[D]"))
    of_few = np.isin(test["ds"].to_numpy().astype("datetime64[D]"), days[:2])
    late, group = test["is_late"].to_numpy(), test["group"].to_numpy()
    gathered = np.where(late, np.where(of_few, "ada", "bob"), group)
    few = {"min_outcomes": 5}
    enough = dataclasses.replace(judging, gate=dataclasses.replace(judging.gate, **few), comparison_days=3)
    decision = decide(with_group(grouped, gathered), None, enough)
    assert finding(decision)["state"] == "INSUFFICIENT"
    assert "rows that came true on 3 days" in finding(decision)["sentence"]
    assert decide(grouped, None, enough).promote


def test_value_that_reads_like_none_is_a_group(grouped, judging):
    group = np.where(grouped.test["group"].to_numpy() == "ada", MISSING, "bob").astype(object)
    group[:40] = None
    held = dataclasses.replace(judging, gate=dataclasses.replace(judging.gate, shows_values=True))
    found = finding(decide(with_group(grouped, group), None, held))
    assert found["numbers"]["without_value"] == 40
    assert set(found["numbers"]["selection_rate"]["groups"]) == {f"group '{MISSING}'", "group bob"}


def test_column_of_too_many_values_is_an_error_that_says_what_is_allowed(grouped, judging):
    unique = with_group(grouped, np.arange(grouped.test.num_rows))
    found = finding(decide(unique, None, judging))
    assert found["state"] == "ERROR"
    assert "at most 100 groups are compared: declare a column of groups" in found["sentence"]


def drawn(generator: np.random.Generator, days: int, groups: int) -> Judged:
    """Groups that are treated alike, but for what each day does to each of them; half as many rows on one day as on another."""
    size = generator.integers(20, 80, (days, groups))
    tilt = 0.5 + 0.12 * generator.standard_normal((days, groups))
    day, group = (np.repeat(index.ravel(), size.ravel()) for index in np.indices((days, groups)))
    rows = len(day)
    label = generator.random(rows) < 0.4
    return Judged(
        rows=pa.table({"group": pa.array(group)}),
        label=label,
        day=np.datetime64("2013-01-01") + day,
        score=(generator.random(rows) < np.repeat(tilt.ravel(), size.ravel())).astype("float64"),
        rival="baseline",
        rival_score=np.zeros(rows),
        may_compare=np.ones(rows, dtype=bool),
        peer="",
        peer_score=None,
        learned_daily_auc=None,
        shows_values=True,
        needed_days=2,
        min_outcomes=1,
        confidence=0.95,
        resamples=0,
        seed=0,
    )


@pytest.mark.parametrize(("days", "groups"), [(5, 2), (10, 2), (7, 12)])
def test_interval_of_few_days_and_of_many_groups_covers_no_difference(days, groups):
    """Of 1,000 draws of groups that are treated alike, 95% intervals should hold none in 95%: also of the two of twelve that are furthest apart."""
    generator, held = np.random.default_rng(5), {"true_positive_rate": 0, "selection_rate": 0}
    for _ in range(1000):
        found = fairness.check(drawn(generator, days, groups), LIMITS)
        for name in held:
            held[name] += found.numbers[name]["difference"]["low"] <= 0
    # Three standard errors of a share of 1,000.
    assert min(held.values()) / 1000 > 0.95 - 0.021, held


def test_column_of_one_value_compares_nothing_and_is_insufficient(grouped, judging):
    same = with_group(grouped, np.full(grouped.test.num_rows, "ada"))
    assert finding(decide(same, None, judging))["state"] == "INSUFFICIENT"


def test_column_that_the_rows_lack_is_an_error(candidate, judging):
    decision = decide(candidate, None, judging)
    assert (decision.outcome, finding(decision)["state"]) == ("refuse", "ERROR")


def test_values_that_are_about_people_are_in_no_finding(grouped, judging):
    """Neither in those of fairness nor in those of slices, nor in what could not be computed."""
    bad, slices = biased(grouped), SlicesConfig(columns=("group",), pairs=(), level=0.2, auc=0.02)
    gate = dataclasses.replace(judging.gate, slices=slices, shows_values=False)
    decision = decide(bad, None, dataclasses.replace(judging, gate=gate))
    assert {finding(decision, name)["state"] for name in ("fairness", "slices")} == {"FAIL"}
    said = json.dumps(decision.numbers["gate"]) + " ".join(decision.reasons)
    assert "group group 1" in said
    assert "ada" not in said
    assert "bob" not in said
    named = decide(bad, None, dataclasses.replace(judging, gate=dataclasses.replace(gate, shows_values=True)))
    assert "ada" in finding(named, "slices")["sentence"]
