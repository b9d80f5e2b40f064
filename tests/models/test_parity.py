"""A trained candidate, scored from the published table as it would be served: the same scores, or the reason is in the finding."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice.declare.features import Features
from sluice.models import parity, scorer, scoring, training
from tests.models.conftest import DAY, RUN, flights_rows, publish

pytestmark = pytest.mark.slow

FEW = Features(numeric=("route_late_rate_28d", "wind_gust_mph"), categorical=("carrier", "origin"))


@pytest.fixture
def declared(flights):
    """A model of few features, whose newest held-out day has one row that nothing can score."""
    declared = flights.model_copy(
        update={"model": flights.model.model_copy(update={"features": FEW, "rounds": 15})}
    )
    drawn = flights_rows(declared)
    gusts = pa.array([*drawn["wind_gust_mph"].to_pylist()[:-1], 1.7e308])
    features = drawn.set_column(drawn.column_names.index("wind_gust_mph"), "wind_gust_mph", gusts)
    publish(declared, "features", features.drop_columns(["is_late"]))
    publish(declared, "outcomes", drawn.select(["flight_id", "ds", "is_late"]))
    return declared


def test_candidate_is_served_as_it_was_judged_and_a_path_that_divides_a_feature_is_not(declared, monkeypatch):
    version = training.stage_candidate(declared, DAY, RUN)
    good = parity.check(declared, version)
    assert (good.state, good.numbers["rows"]) == ("PASS", 2 * 40 - 1), good.sentence

    usable = scorer.usable

    class Divides:
        def __init__(self, model):
            self.model, self.meta = model, model.meta

        def score(self, rows):
            at, name = rows.schema.get_field_index("route_late_rate_28d"), "route_late_rate_28d"
            return self.model.score(rows.set_column(at, name, pc.divide(rows[name], 100)))

    def bad(*about):
        loaded = usable(*about)
        return dataclasses.replace(loaded, model=Divides(loaded.model))

    monkeypatch.setattr(scorer, "usable", bad)
    found = parity.check(declared, version)
    assert found.state == "FAIL"
    assert "route_late_rate_28d" in found.sentence


@pytest.mark.parametrize("part", ["read_features", "serve"])
def test_fault_in_the_path_that_predictions_take_is_refused_before_there_are_any(declared, monkeypatch, part):
    """Predictions are read and scored by these two functions; the training, which reads for itself, is not broken."""
    version = training.stage_candidate(declared, DAY, RUN)
    whole = getattr(scoring, part)

    def broken(*given, **about):
        made = whole(*given, **about)
        name = "score" if part == "serve" else "route_late_rate_28d"
        return made.set_column(made.schema.get_field_index(name), name, pc.divide(made[name], 100))

    monkeypatch.setattr(scoring, part, broken)
    found = parity.check(declared, version)
    assert found.state == "FAIL", found.sentence
    assert ("route_late_rate_28d" in found.sentence) == (part == "read_features")


def test_what_cannot_be_computed_is_an_error_with_its_reason(flights):
    found = parity.check(flights, 9)
    assert found.state == "ERROR"
    assert "ModelUnknownError" in found.sentence
