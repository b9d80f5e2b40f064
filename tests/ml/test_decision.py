"""What a candidate has to beat and what it must not lose to, from scores that are drawn: nothing is trained."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.model import BaselineModel, ModelMeta
from sluice_ml.promotion import Decision, decide
from sluice_ml.training import Candidate

DAYS, PER_DAY = 10, 60


@pytest.fixture
def candidate() -> Candidate:
    """A candidate that is better than the baseline, and as good as the linear model."""
    drawn = np.random.default_rng(7)
    count = DAYS * PER_DAY
    label = drawn.random(count) < 0.3
    good = np.clip(0.3 * label + drawn.random(count) * 0.7, 0, 1)
    test = pa.table(
        {
            "ds": pa.array(
                [date(2013, 3, 1) + timedelta(days=i // PER_DAY) for i in range(count)], pa.date32()
            ),
            "is_late": pa.array(label),
            "same": good,
            "noise": drawn.random(count),
            "score_candidate": good,
            "score_baseline": drawn.random(count),
            "score_linear": good,
        }
    )
    meta = ModelMeta(
        format=1,
        name="late",
        numeric=(),
        categorical=(),
        vocabulary={},
        best_iteration=0,
        splits={"test": {"first": "2013-03-01", "last": "2013-03-10", "days": DAYS, "rows": count}},
        unlabelled_rows=0,
        rows_sha256="",
        metrics={},
        config={"label": "is_late", "resamples": 50, "seed": 7, "confidence": 0.9},
        libraries={},
    )
    return Candidate(b"", "", meta, test)


def scored(candidate: Candidate, name: str, scores: np.ndarray) -> Candidate:
    place = candidate.test.schema.get_field_index(f"score_{name}")
    return Candidate(
        b"", "", candidate.meta, candidate.test.set_column(place, f"score_{name}", pa.array(scores))
    )


def passed(decision: Decision) -> dict[str, bool]:
    return {one.against: one.passed for one in decision.comparisons}


def test_candidate_that_beats_the_rule_and_equals_the_linear_model_is_promoted(candidate):
    decision = decide(candidate, None)
    assert (decision.promote, passed(decision)) == (True, {"baseline": True, "linear": True})
    assert [one.must for one in decision.comparisons] == ["beat", "not_lose"]
    assert len(decision.reasons) == 2
    assert decision.numbers["not_compared"] == ""
    assert {
        name: decision.numbers[name] for name in ("first", "last", "days", "rows")
    } == candidate.meta.splits["test"]


def test_candidate_that_equals_the_champion_is_refused(candidate):
    decision = decide(candidate, BaselineModel("same", 0.2))
    assert (decision.promote, passed(decision)) == (
        False,
        {"baseline": True, "champion": False, "linear": True},
    )
    assert decision.comparisons[1].difference.value == 0


def test_candidate_that_beats_the_champion_is_promoted(candidate):
    assert decide(candidate, BaselineModel("noise", 0.2)).promote


def test_candidate_that_loses_to_the_linear_model_is_refused(candidate):
    label = candidate.test["is_late"].to_numpy()
    better = scored(candidate, "linear", np.clip(candidate.test["same"].to_numpy() + 0.3 * label, 0, 1))
    assert passed(decide(better, None)) == {"baseline": True, "linear": False}


def test_candidate_as_good_as_the_rule_is_refused(candidate):
    alike = scored(candidate, "baseline", candidate.test["same"].to_numpy())
    assert passed(decide(alike, None)) == {"baseline": False, "linear": True}


@pytest.mark.parametrize(
    ("champion", "given", "said"),
    [(BaselineModel("gone", 0.2), "", "gone"), (None, "It is damaged.", "damaged")],
)
def test_champion_that_cannot_be_compared_is_named(candidate, champion, given, said):
    decision = decide(candidate, champion, not_compared=given)
    assert decision.promote
    assert decision.reasons[2].startswith("The champion could not be compared: ")
    assert said in decision.numbers["not_compared"]


def test_more_resamples_of_another_seed_and_a_wider_interval_are_those_of_the_candidate(candidate):
    def interval(**changed) -> tuple[float, float]:
        config = {**candidate.meta.config, **changed}
        meta = ModelMeta(**{**vars(candidate.meta), "config": config})
        found = decide(Candidate(b"", "", meta, candidate.test), None).comparisons[0].difference
        return found.low, found.high

    first = interval()
    assert interval() == first
    assert interval(seed=8) != first
    assert interval(resamples=51) != first
    assert interval(confidence=0.99)[0] < first[0]
