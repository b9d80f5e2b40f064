"""What is known of a question before any row is seen: the direction of a number, and how much a class weighs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from sluice.declare.gate import Gate
from sluice_ml import linear
from sluice_ml.checks.judged import log_odds
from sluice_ml.config import CalibrationConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.linear import _bounded, _unbounded
from sluice_ml.model import ALGORITHMS, LINEAR, load
from sluice_ml.parameters import problems
from sluice_ml.promotion import decide
from sluice_ml.training import fit
from tests.ml.conftest import drawn, gate

# Float32 sums, and the exponential of them.
ROUNDING = 1e-7


@pytest.fixture(params=ALGORITHMS)
def of_kind(request, small):
    """A recipe that gives a model of one kind, whatever is better."""
    return dataclasses.replace(small, simpler_margin=1.0 if request.param == LINEAR else -1.0)


def steps(made, name: str) -> tuple[float, float]:
    """The most that the scores of 200 random rows fall and rise while a number grows, step by step."""
    draw = np.random.default_rng(11)
    model, count = load(made.content, made.meta, threads=1), 200
    row = {
        "risk": draw.normal(size=count),
        "noise": draw.normal(size=count),
        "carrier": draw.choice(["AA", "UA", "ZZ"], count),
    }
    grid = np.linspace(-4, 4, 161)
    scores = np.array([model.score(pa.table({**row, name: np.full(count, value)})) for value in grid])
    change = np.diff(scores, axis=0)
    return float(-change.min()), float(change.max())


def test_direction_is_kept_by_each_kind_of_model_against_the_rows(of_kind):
    """The more risk, the later: a model that may not rise with it does not, and one that must not fall is as it was."""
    rows = drawn(straight=True)
    assert steps(fit(rows, of_kind), "risk")[1] > 0.01
    kept = fit(rows, dataclasses.replace(of_kind, decreasing=("risk",)))
    assert steps(kept, "risk")[1] <= ROUNDING
    along = fit(rows, dataclasses.replace(of_kind, increasing=("risk",)))
    assert steps(along, "risk")[0] <= ROUNDING < 0.01 < steps(along, "risk")[1]


def test_direction_of_trees_holds_where_a_bump_tempts_them(small):
    trees = dataclasses.replace(small, simpler_margin=-1.0)
    rows = drawn(straight=False)
    assert steps(fit(rows, trees), "risk")[0] > 0.1
    assert steps(fit(rows, dataclasses.replace(trees, increasing=("risk",))), "risk")[0] <= ROUNDING


def test_bounded_solver_finds_what_scikit_learn_finds_where_no_bound_binds(small):
    import scipy.sparse

    draw = np.random.default_rng(3)
    columns = draw.normal(size=(4000, 4))
    label = draw.random(4000) < 1 / (1 + np.exp(1 - columns[:, 0]))
    config = dataclasses.replace(small, increasing=("risk",), class_weights=(1.0, 3.0))
    design = scipy.sparse.csr_matrix(columns)
    (here, mine), (there, theirs) = (solve(design, label, config) for solve in (_bounded, _unbounded))
    assert np.abs(mine - theirs).max() < 1e-3
    assert abs(here - there) < 1e-3


def test_weights_that_did_not_settle_are_refused(small, monkeypatch):
    monkeypatch.setattr(linear, "_STEPS", 2)
    with pytest.raises(RowsUnusableError, match="did not settle in 2 steps"):
        fit(drawn(straight=True), dataclasses.replace(small, increasing=("risk",)))


def test_class_weights_move_what_is_learned_and_scores_stay_probabilities(of_kind):
    """Without the correction a weight of 6 puts the mean score of 0.5 above 0.8."""
    rows = drawn(straight=True)
    checked = dataclasses.replace(
        of_kind, gate=gate(calibration=CalibrationConfig(**Gate().calibration.model_dump()))
    )
    plain, weighted = fit(rows, checked), fit(rows, dataclasses.replace(checked, class_weights=(1.0, 6.0)))
    before, after = (made.test["score_candidate"].to_numpy() for made in (plain, weighted))
    assert not np.array_equal(np.argsort(before), np.argsort(after))
    assert abs(after.mean() - weighted.test["is_late"].to_numpy().mean()) < 0.03
    assert [one["state"] for one in decide(weighted, None, checked).numbers["gate"]] == ["PASS"]
    model = load(weighted.content, weighted.meta, threads=1)
    some = rows.slice(0, 50)
    assert np.abs(model.contributions(some).sum(axis=1) - log_odds(model.score(some))).max() < 1e-4


@pytest.mark.parametrize("name", ["scale_pos_weight", "monotone_constraints"])
def test_parameter_with_a_key_of_its_own_is_refused(name):
    (said,) = problems({"max_depth": 3, name: 1})
    assert said.startswith(f"{name} is declared as model.")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"seed": 3}, "seed is set by every training itself"),
        ({"nthread": 3}, "nthread is set by every training itself"),
        ({"tree_method": "exact"}, "tree_method is set by every training itself"),
        ({"eta": 0.1, "learning_rate": 0.2}, "eta and learning_rate are one parameter"),
        ({"lambda": 1, "reg_lambda": 2}, "lambda and reg_lambda are one parameter"),
    ],
)
def test_parameter_that_would_have_no_effect_is_refused(params, said):
    (found,) = problems(params)
    assert found.startswith(said)
