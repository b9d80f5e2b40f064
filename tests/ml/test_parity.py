"""Rows that are served with another score than the model gives them are found, and the column is named; equal ones say nothing."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml import checks
from sluice_ml.checks import parity
from sluice_ml.model import load
from sluice_ml.promotion import decide


@pytest.fixture(scope="module")
def learned(candidate):
    """One held-out day, as the training read it."""
    held = candidate.test
    return held.filter(pc.equal(held["ds"], pc.max(held["ds"])))


@pytest.fixture
def serve(candidate):
    """Function: rows as they are served, by a scoring path that changes them in between."""

    def served(rows: pa.Table, on_the_way=lambda rows: rows) -> pa.Table:
        score = load(candidate.content, candidate.meta, threads=1).score(on_the_way(rows))
        features = [*candidate.meta.numeric, *candidate.meta.categorical]
        return rows.select(["flight_id", *features]).append_column("score", pa.array(score))

    return served


@pytest.fixture
def check(candidate, learned):
    return lambda served: parity.check(learned, served, candidate.meta, candidate.content, key="flight_id")


def divided(name: str, by: float):
    def change(rows: pa.Table) -> pa.Table:
        return rows.set_column(
            rows.column_names.index(name), name, pc.divide(pc.cast(rows[name], "float64"), by)
        )

    return change


def test_rows_that_are_served_as_they_were_judged_pass_in_whatever_order(check, serve, learned):
    found = check(serve(learned.sort_by([("distance", "ascending")])))
    assert (found.state, found.numbers["rows"], found.numbers["off"]) == ("PASS", learned.num_rows, 0)


def test_scores_that_are_no_numbers_are_refused_and_their_number_can_be_recorded(check, serve, learned):
    served = serve(learned)
    scores = [float("nan"), float("inf"), *served["score"].to_pylist()[2:]]
    found = check(served.set_column(served.column_names.index("score"), "score", pa.array(scores)))
    assert found.state == "FAIL"
    assert found.sentence.startswith("2 of ")
    json.dumps(found.numbers, allow_nan=False)


@pytest.mark.parametrize(("name", "by"), [("carrier_late_rate", 100), ("departure_minute", 60)])
def test_scoring_path_that_divides_one_feature_is_found_and_the_feature_named(
    check, serve, learned, name, by
):
    found = check(serve(learned, divided(name, by)))
    assert found.state == "FAIL"
    assert f"as if {name} came in another unit on the way to the model" in found.sentence
    assert found.numbers["columns"] == []


def test_table_with_another_value_is_found_and_the_column_named(check, serve, learned):
    found = check(serve(divided("route_late_rate", 2)(learned)))
    assert (found.state, found.numbers["columns"]) == ("FAIL", ["route_late_rate"])
    assert "other values of route_late_rate" in found.sentence


def test_categories_that_are_mixed_up_on_the_way_are_found_without_a_guess(check, serve, learned):
    def turned(rows: pa.Table) -> pa.Table:
        at = rows.column_names.index("carrier")
        return rows.set_column(at, "carrier", pa.array(rows["carrier"].to_pylist()[::-1]))

    found = check(serve(learned, turned))
    assert found.state == "FAIL"
    assert "look at how they become numbers" in found.sentence


def test_row_that_is_not_served_fails_and_no_rows_show_nothing(candidate, check, serve, learned):
    found = check(serve(learned.slice(1)))
    assert (found.state, found.numbers["absent"]) == ("FAIL", 1)
    none = learned.slice(0, 0)
    assert (
        parity.check(none, serve(none), candidate.meta, candidate.content, key="flight_id").state == "ERROR"
    )


def test_candidate_that_is_served_otherwise_is_refused_by_that_alone(
    candidate, config, check, serve, learned
):
    for served, outcome in (
        (serve(learned), "promote"),
        (serve(learned, divided("carrier_late_rate", 100)), "refuse"),
    ):
        found = check(served)
        decision = decide(candidate, None, config, served=found)
        assert decision.outcome == outcome
        assert [one["check"] for one in decision.numbers["gate"]] == ["parity"]
        assert "parity" not in decision.numbers["not_checked"]
    error = checks.Finding("parity", "ERROR", "parity could not be computed: ValueError")
    assert decide(candidate, None, config, served=error).outcome == "refuse"
