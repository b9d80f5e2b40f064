"""Rounds and kind of model are chosen over several blocks of days, on rows whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from sluice_ml.linear import LinearModel
from sluice_ml.model import BOOSTED, LINEAR, ScoringModel, load
from sluice_ml.promotion import Champion, decide
from sluice_ml.training import fit
from tests.ml.conftest import drawn


def test_rounds_one_odd_week_does_not_stop_the_boosting(small):
    """On the odd week alone no tree helps: that is what early stopping on seven days saw.

    There a line is better than trees that learned the rule turned round, so that trees are asked for here whatever is better.
    """
    rows = drawn(straight=False, odd_week=True)
    trees = dataclasses.replace(small, simpler_margin=-1.0)
    alone = fit(rows, dataclasses.replace(trees, valid_blocks=1))
    assert alone.meta.rounds < 3
    over_blocks = fit(rows, trees)
    assert over_blocks.meta.rounds > 3
    few, more = (made.meta.metrics["boosted"]["log_loss"]["value"] for made in (alone, over_blocks))
    assert more < few


def test_simplest_a_straight_truth_is_left_to_the_linear_model(small):
    made = fit(drawn(straight=True), small)
    assert made.meta.algorithm == LINEAR
    assert made.meta.rounds is None
    assert decide(made, None, small).promote
    assert fit(drawn(straight=False), small).meta.algorithm == BOOSTED


def test_linear_model_scores_a_batch_as_its_rows_alone_and_keeps_nulls(small):
    rows = drawn(straight=True)
    holes = pa.array(
        [None if place % 7 == 0 else value for place, value in enumerate(rows["risk"].to_pylist())]
    )
    rows = rows.set_column(rows.schema.get_field_index("risk"), "risk", holes)
    made = fit(rows, small)
    model = load(made.content, made.meta, threads=1)
    assert isinstance(model, LinearModel)
    some = rows.slice(0, 40)
    alone = np.concatenate([model.score(some.slice(place, 1)) for place in range(40)])
    assert np.array_equal(alone, model.score(some))
    assert ((alone > 0) & (alone < 1)).all()
    assert set(model.gains()) == {"risk", "noise", "carrier"}
    assert max(model.gains(), key=model.gains().__getitem__) == "risk"
    unknown = some.set_column(some.schema.get_field_index("carrier"), "carrier", pa.repeat("ZZ", 40))
    assert np.isfinite(model.score(unknown)).all()


def test_linear_champion_is_refreshed_by_a_boosted_one_of_the_same_recipe(small):
    """Which kind was chosen is a result of the recipe, not a part of it."""
    rows = drawn(straight=False)
    boosted, straight = fit(rows, small), fit(drawn(straight=True), small)
    assert boosted.meta.recipe_sha256 == straight.meta.recipe_sha256
    champion = Champion.of(load(straight.content, straight.meta, threads=1))
    before = dataclasses.replace(champion, learned_until="2013-02-10")
    decision = decide(boosted, before, small)
    assert decision.promote
    assert decision.numbers["is_recipe_change"] is False


def test_old_models_still_score_and_say_what_they_learned(small):
    made = fit(drawn(straight=False), small)
    old = dataclasses.replace(
        made.meta,
        rounds=None,
        best_iteration=12,
        recipe_sha256="",
        agreement=None,
        refit_loss_change=None,
        chosen_by={},
        splits={name: made.meta.splits[name] for name in ("train", "valid", "test")},
    )
    model = ScoringModel(made.content, type(old).from_json(old.to_json()), threads=1)
    assert model.meta.algorithm == BOOSTED
    assert Champion.of(model).learned_until == old.splits["valid"]["last"]
    assert old.fitted_on == old.splits["train"]
    assert made.meta.fitted_on == made.meta.splits["refit"]
