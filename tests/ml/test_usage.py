"""What a model takes is measured on the model that would serve, and one that takes too much is refused for that alone."""

from __future__ import annotations

import dataclasses
import json
import os
from functools import partial

import pyarrow as pa
import pytest
import xgboost

from sluice.declare import spec
from sluice.models.config import model_config
from sluice_ml import boosting
from sluice_ml.model import encode
from sluice_ml.promotion import Decision, decide
from sluice_ml.splits import label_of, labelled, vocabulary_of
from sluice_ml.training import Candidate
from sluice_ml.usage import measure

# Rows that scoring is given at once.
BATCH = 5_000


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def measured(work):
    return partial(measure, batch_rows=BATCH, work=work)


@pytest.fixture(scope="module")
def decided(measured):
    def made(candidate: Candidate, config) -> Decision:
        return decide(candidate, None, config, usage=partial(measured, candidate))

    return made


@pytest.fixture(scope="module")
def declared(config):
    """The gate of flights, but for resources switched off."""
    limits = model_config(spec.load("flights")).gate.resources
    return dataclasses.replace(config, gate=dataclasses.replace(config.gate, resources=limits))


@pytest.fixture(scope="module")
def bloated(candidate, rows, config):
    """The candidate, served by 300 trees that are fourteen splits deep: a few of them again and again, to have them soon."""
    known, _ = labelled(rows, config)
    deep = {"max_depth": 14, "learning_rate": 0.002, "min_child_weight": 0.1, "reg_lambda": 1.0}
    matrix = encode(known, config.numeric, config.categorical, vocabulary_of(known, config))
    few = boosting.fit(matrix, label_of(known, config), dataclasses.replace(config, params=deep), rounds=10)
    return dataclasses.replace(candidate, content=repeated(few, 30))


def repeated(content: bytes, times: int) -> bytes:
    """A model of the same trees, so many times one after the other."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(content))
    whole = json.loads(booster.save_raw("json"))
    model = whole["learner"]["gradient_booster"]["model"]
    trees = [{**tree, "id": place} for place, tree in enumerate(model["trees"] * times)]
    model |= {"trees": trees, "tree_info": [0] * len(trees), "iteration_indptr": [*range(len(trees) + 1)]}
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    booster.load_model(bytearray(json.dumps(whole).encode()))
    return bytes(booster.save_raw("ubj"))


def finding(decision: Decision) -> dict:
    return next(one for one in decision.numbers["gate"] if one["check"] == "resources")


def test_model_that_takes_little_passes_with_its_numbers(candidate, declared, decided):
    decision = decided(candidate, declared)
    found = finding(decision)
    assert decision.promote, decision.reasons
    assert found["numbers"]["model_bytes"] == len(candidate.content)
    assert found["numbers"]["rows"] == candidate.test.num_rows
    assert found["numbers"]["added_bytes"] > 0


def test_deep_trees_are_refused_with_number_limit_and_what_to_do(bloated, declared, decided):
    decision = decided(bloated, declared)
    found = finding(decision)
    assert (decision.outcome, found["state"]) == ("refuse", "FAIL")
    for said in (
        f"its file has {len(bloated.content) / 1e6:,.2f} MB (limit 10)",
        "Train fewer or shallower trees (`rounds`, `params.max_depth`), or raise the limit",
    ):
        assert said in found["sentence"]
    without = dataclasses.replace(declared, gate=dataclasses.replace(declared.gate, resources=None))
    assert decided(bloated, without).promote


def test_memory_is_of_the_model_and_one_batch_however_many_rows_are_held_out(candidate, measured, work):
    """Twenty times the rows: 200 bytes of each would be seen."""
    many = dataclasses.replace(candidate, test=pa.concat_tables([candidate.test] * 20))
    few, found = measured(candidate), measured(many)
    assert (found.rows, found.rows > 10 * BATCH) == (20 * few.rows, True)
    assert found.added_bytes < few.added_bytes + 4e6
    assert not list(work.iterdir())


def test_process_that_scores_is_given_no_variable_of_this_one(candidate, measured, monkeypatch):
    """With this one it would not start."""
    monkeypatch.setitem(os.environ, "PYTHONHOME", "/nowhere")
    assert measured(candidate).rows == candidate.test.num_rows


def test_model_that_cannot_be_measured_is_an_error_and_is_not_promoted(candidate, declared, decided):
    broken = dataclasses.replace(candidate, content=b"{}")
    decision = decided(broken, declared)
    found = finding(decision)
    assert (decision.outcome, found["state"]) == ("refuse", "ERROR")
    assert "the process that scores ended with 1, and said: XGBoostError: " in found["sentence"]


def test_slow_scoring_and_memory_are_refused_each_by_its_limit(candidate, declared, decided):
    tight = dataclasses.replace(declared.gate.resources, memory_mb=1, rows_per_second=1e9)
    decision = decided(
        candidate, dataclasses.replace(declared, gate=dataclasses.replace(declared.gate, resources=tight))
    )
    found = finding(decision)
    assert found["state"] == "FAIL"
    assert "rows a second of CPU time (limit 1,000,000,000 at least)" in found["sentence"]
    assert "MB of memory (limit 1)" in found["sentence"]
    assert "its file has" not in found["sentence"]
