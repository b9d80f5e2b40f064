"""The changes that `make mutants` makes are those that it names, and its list fits the code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

CODE = '''
def kept(rows, limit=10, *, strict=False):
    """Doc."""
    log.info("kept %d", 1)
    if limit < 0 and not strict:
        raise ValueError(f"limit {limit}")
    audit(rows)
    return [row for row in rows if any(row)][: limit + 1]
'''


@pytest.fixture(scope="module")
def tool():
    loaded = importlib.util.spec_from_file_location("mutants_tool", HERE / "__main__.py")
    module = importlib.util.module_from_spec(loaded)
    sys.modules["mutants_tool"] = module
    loaded.loader.exec_module(module)
    return module


def test_each_part_of_a_function_is_changed_once(tool):
    changes = [each.change for each in tool.mutants(CODE, "kept")]
    assert sorted(changes) == sorted(
        [
            "`0` becomes `1`",
            "`1` becomes `2`",
            "`10` becomes `11`",
            "`any` becomes `all`",
            "`if limit < 0 and (not strict)` is always False",
            "`if limit < 0 and (not strict)` is always True",
            "`limit + 1` becomes `limit`",
            "`limit < 0` becomes `limit <= 0`",
            "drop `and limit < 0`",
            "drop `and not strict`",
            "drop `audit(rows)`",
            "drop `if any(row)`",
            "drop `not` of `strict`",
            "drop `raise ValueError`",
        ]
    )


def test_mutant_differs_from_the_code_in_what_it_names(tool):
    by_change = {each.change: each.source for each in tool.mutants(CODE, "kept")}
    assert "limit <= 0 and (not strict)" in by_change["`limit < 0` becomes `limit <= 0`"]
    assert "audit" not in by_change["drop `audit(rows)`"]
    assert all(source.count("def kept") == 1 for source in by_change.values())
    assert len(set(by_change.values())) == len(by_change)


def test_every_declared_function_and_survivor_exists(tool):
    mechanisms, accepted = tool.declared()
    every = {f"{each.file} {mutant.change}" for each in mechanisms for mutant in each.mutants()}
    assert len(every) > 100
    assert set(accepted) <= every, "take what is gone out of mechanisms.toml"
    for mechanism in mechanisms:
        for name in mechanism.tests:
            file, *tests = name.split("::")
            assert (tool.ROOT / file).exists(), f"{mechanism.name}: {name}"
            assert all(f"def {test}(" in (tool.ROOT / file).read_text() for test in tests), name


@pytest.mark.parametrize(
    ("survived", "accepted", "status", "said"),
    [
        ([], {}, 0, "2 mutants: 2 killed, 0 survived, 0 of them without a declared reason."),
        (["a.py x"], {}, 1, "2 mutants: 1 killed, 1 survived, 1 of them without a declared reason."),
        (["a.py x"], {"a.py x": "It shows nothing."}, 0, "survived: a.py x  (It shows nothing.)"),
        ([], {"a.py x": "It shows nothing."}, 1, "declared as a survivor, but the tests see it: a.py x."),
        ([], {"a.py of another mechanism": "It shows nothing."}, 0, "2 killed"),
    ],
)
def test_run_fails_by_survivors_without_a_reason_and_by_reasons_without_a_survivor(
    tool, capsys, survived, accepted, status, said
):
    assert tool._report({"a.py x", "a.py y"}, survived, accepted) == status
    assert said in capsys.readouterr().out
