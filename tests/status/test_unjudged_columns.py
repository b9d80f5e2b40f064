"""Columns that no rule looks at are named by `sluice check`: of sources, and of derived tables whose past says nothing of them."""

from __future__ import annotations

import json
import shutil

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.status import check, unjudged_columns


@pytest.fixture
def without(home, tmp_path, monkeypatch):
    """Function: the pipeline, without the rules of a table's suite of which something is so."""
    folder = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations", folder)
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(folder))
    settings.cache_clear()

    def remove(table: str, unwanted) -> spec.Pipeline:
        path = folder / "flights" / f"{table}.json"
        suite = json.loads(path.read_text())
        suite["expectations"] = [one for one in suite["expectations"] if not unwanted(one)]
        path.write_text(json.dumps(suite))
        return spec.load("flights")

    yield remove
    settings.cache_clear()


def test_each_column_of_flights_is_looked_at(home):
    unjudged_columns.check(spec.load("flights"))


def test_column_of_a_source_that_no_rule_names_is_named(without):
    flights = without("weather", lambda one: "visib" in json.dumps(one["kwargs"]))
    with pytest.raises(SpecInvalidError, match=r"No rule looks at these columns\. weather: precip, visib\."):
        unjudged_columns.check(flights)
    (error,) = (
        error for what, error in check.check_all("flights") if what == "columns without a rule of flights"
    )
    assert "all_columns_but" in str(error)


def test_column_of_a_derived_table_is_compared_with_its_past_computed_again_or_opted_out(without):
    flights = without("features", lambda one: "all_columns_but" in one["kwargs"])
    named = unjudged_columns.unjudged(flights, "features")
    assert {"temperature_f", "route_delay_minutes_28d"}.isdisjoint(named), "a rule that looks back names them"
    assert {"distance_miles", "flight", "origin"}.isdisjoint(named), "computed again by `values_from`"
    assert {"visibility_miles", "planned_minutes", "aircraft_seats_count"} <= set(named)
