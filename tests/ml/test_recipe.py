"""What is a change of recipe, and what only newer days: the digest tells."""

from __future__ import annotations

import dataclasses
import sys
import textwrap

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
    ],
)
def test_digest_changes_with_what_decides_a_model(config, change):
    assert recipe.digest(dataclasses.replace(config, **change)) != recipe.digest(config)


@pytest.mark.parametrize("change", [{"threads": 1}, {"confidence": 0.9}, {"refresh_margin": 0.1}])
def test_digest_does_not_change_with_what_only_judges_it(config, change):
    assert recipe.digest(dataclasses.replace(config, **change)) == recipe.digest(config)


def test_digest_sees_statements_and_no_comments(config, tmp_path, monkeypatch):
    def with_code(text: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "training.py").write_text(textwrap.dedent(text), encoding="utf-8")
        spec = recipe.import_module("importlib.util").spec_from_file_location(
            "sluice_ml.training", folder / "training.py"
        )
        module = recipe.import_module("importlib.util").module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setitem(sys.modules, "sluice_ml.training", module)
        return recipe.digest(config)

    first = with_code('"""One."""\nROUNDS = 1\n')
    assert with_code('"""Another."""\n# Why.\nROUNDS = 1\n') == first
    assert with_code('"""One."""\nROUNDS = 2\n') != first
