"""The picture of a day in docs/architecture.md shows what Airflow's parser sees."""

from __future__ import annotations

import copy

import pytest

from docs import pictures

pytestmark = pytest.mark.airflow


def test_picture_of_a_day_is_that_of_the_dags(live_bag):
    assert live_bag["import_errors"] == {}
    drawn = pictures.draw_day(live_bag["dags"], "flights")
    assert pictures.DAY.read_text() == drawn, "the DAGs have changed: .venv/bin/python -m docs.pictures"
    for stage in ("ingest", "transform", "score", "monitor", "train"):
        assert f">flights_{stage}<" in drawn


def test_picture_of_a_day_follows_the_assets(live_bag):
    dags = copy.deepcopy(live_bag["dags"])
    dags["flights_score"]["woken_by"] = ["flights.outcomes"]
    drawn = pictures.draw_day(dags, "flights")
    assert ">flights.outcomes<" in drawn
    assert drawn != pictures.draw_day(live_bag["dags"], "flights")
