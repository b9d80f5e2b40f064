"""What is a change of recipe, and what only newer days: the digest tells."""

from __future__ import annotations

import dataclasses

import pytest

from sluice_ml import recipe


@pytest.mark.parametrize(
    "change",
    [
        {"numeric": ("departure_minute",)},
        {"params": {"max_depth": 5}},
        {"training_days": 29},
        {"seed": 1},
        {"simpler_margin": 0.5},
        {"increasing": ("departure_minute",)},
        {"decreasing": ("departure_minute",)},
        {"class_weights": (1.0, 2.0)},
    ],
)
def test_digest_changes_with_what_decides_a_model(config, change):
    assert recipe.digest(dataclasses.replace(config, **change)) != recipe.digest(config)


@pytest.mark.parametrize(
    "change", [{"threads": 1}, {"confidence": 0.9}, {"refresh_margin": 0.1}, {"baseline_default": 0.1}]
)
def test_digest_does_not_change_with_what_only_judges_it(config, change):
    assert recipe.digest(dataclasses.replace(config, **change)) == recipe.digest(config)


def test_digest_of_a_recipe_without_later_settings_is_what_it_was_before_they_came(config):
    """Else every champion would be another recipe's after an upgrade."""
    before = {name: value for name, value in config.as_dict().items() if name not in recipe._NOT_LEARNED}
    for name in recipe.AS_BEFORE:
        del before[name]
    assert recipe.digest(config) == recipe._hash({"declared": before, "recipe": recipe.RECIPE})
    # What the code of before directions and class weights says of it.
    assert recipe.digest(config) == "c8aa1d61b849b7dbe73aabc34437f0a7ece86151a1d38ec5832613d4c7de8213"


@pytest.mark.parametrize("key", ["increasing", "decreasing"])
def test_order_in_which_directions_are_declared_is_no_change_of_recipe(config, key):
    one, other = ("distance", "departure_minute"), ("departure_minute", "distance")
    assert recipe.digest(dataclasses.replace(config, **{key: one})) == recipe.digest(
        dataclasses.replace(config, **{key: other})
    )


def test_new_code_or_library_is_no_change_of_recipe_and_what_was_computed_before_is_not_used(
    config, monkeypatch
):
    """Else an upgrade of a library would end all refreshes until a candidate beats the champion."""
    before = recipe.digest(config), recipe.exact(config)
    monkeypatch.setitem(recipe.LIBRARIES, "pyarrow", "99.0")
    assert (recipe.digest(config), recipe.exact(config) == before[1]) == (before[0], False)
    monkeypatch.setattr(recipe, "RECIPE", recipe.RECIPE + 1)
    assert recipe.digest(config) != before[0]


def test_exact_digest_sees_statements_and_no_comments(config, monkeypatch):
    def with_code(text: str) -> str:
        monkeypatch.setitem(recipe.CODE, "training", recipe.statements(text))
        return recipe.exact(config)

    as_it_is = recipe.exact(config)
    first = with_code('"""One."""\nROUNDS = 1\n')
    assert first != as_it_is
    assert with_code('"""Another."""\n# Why.\nROUNDS = 1\n') == first
    assert with_code('"""One."""\nROUNDS = 2\n') != first


def test_digest_is_of_the_statements_that_this_process_runs(config, monkeypatch, tmp_path):
    """A file that is changed under a process that runs changes nothing that it trains."""
    before = recipe.exact(config)
    monkeypatch.setattr(recipe, "__file__", str(tmp_path / "recipe.py"))
    assert recipe.exact(config) == before
    assert all("def " in code for code in recipe.CODE.values())
