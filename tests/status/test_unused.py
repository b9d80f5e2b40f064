"""Every way to declare something that does nothing is named; the project itself has none (see test_check)."""

from __future__ import annotations

import json
import shutil

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.status import unused


@pytest.fixture
def copy(home, make_home, tmp_path, monkeypatch):
    """The project's declarations, copied so that a test may break them."""
    make_home(home)
    for name in ("dags/pipelines", "expectations", "dbt_project"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("target", "logs"))
        monkeypatch.setenv(f"SLUICE_{name.split('/')[-1].upper()}", str(tmp_path / name))
    settings.cache_clear()
    return tmp_path


def said():
    with pytest.raises(SpecInvalidError) as caught:
        unused.check(spec.load("flights"))
    return caught.value.what


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_check_of_the_project_finds_nothing_unused(copy):
    unused.check(spec.load("flights"))


def test_check_names_suites_that_judge_nothing(copy):
    suites = copy / "expectations" / "flights"
    shutil.copy(suites / "weather.json", suites / "wether.json")
    (copy / "expectations" / "trains").mkdir()
    suite = json.loads((suites / "planes.json").read_text())
    suite["expectation"] = []
    suite["expectations"][0]["serverity"] = "hold"
    (suites / "planes.json").write_text(json.dumps(suite))
    found = said()
    assert "wether.json is the suite of no declared table; did you mean 'weather'?" in found
    assert "expectations/trains is of no pipeline" in found
    assert "planes.json: key 'expectation' means nothing; did you mean 'expectations'?" in found
    assert "planes.json, expectation 1: key 'serverity' means nothing; did you mean 'severity'?" in found


def test_check_names_values_that_contract_and_suite_do_not_share(copy):
    rule = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "origin", "value_set": ["EWR", "JFK", "LGA", "SWF"]},
        "meta": {"rule": "listed", "severity": "warn", "owner": "someone", "why": "A test."},
    }
    path = copy / "expectations/flights/schedule.json"
    suite = json.loads(path.read_text())
    path.write_text(json.dumps({**suite, "expectations": [*suite["expectations"], rule]}))
    assert "schedule.json and the contract of schedule differ about the values of 'origin': SWF" in said()

    rule["kwargs"] = {"column": "origin", "values_of": "schedule.origin"}
    path.write_text(json.dumps({**suite, "expectations": [*suite["expectations"], rule]}))
    unused.check(spec.load("flights"))


def test_check_names_a_feature_that_is_listed_twice(copy):
    pipeline = copy / "dags/pipelines/flights.yml"
    edit(pipeline, "      - wind_gust_mph\n", "      - wind_gust_mph\n      - aircraft_age_years\n")
    assert "feature 'aircraft_age_years' is listed twice" in said()


def test_check_names_a_column_of_the_feature_table_that_nothing_uses(copy):
    edit(copy / "dags/pipelines/flights.yml", "      - aircraft_age_years\n", "")
    edit(copy / "dags/pipelines/flights.yml", ", aircraft_age_years,", ",")
    edit(copy / "expectations/flights/features.json", "aircraft_age_years", "aircraft_seats_count")
    suite = (copy / "expectations/flights/features.json").read_text().replace("aircraft_age_years", "ds")
    (copy / "expectations/flights/features.json").write_text(suite)
    assert "column 'aircraft_age_years' of 'features' is no feature, and nothing else uses it" in said()


def test_check_names_dbt_leftovers(copy):
    project = copy / "dbt_project"
    edit(
        project / "dbt_project.yml",
        "  flights_late_minutes: 15",
        "  flights_late_minutes: 15\n  flights_late_minute: 15",
    )
    edit(
        project / "dbt_project.yml",
        "      features: {+mat",
        "      featurse: {+enabled: true}\n      features: {+mat",
    )
    (project / "models" / "flights" / "staging" / "stg_flights__old.sql").write_text(
        "select * from {{ source('flights', 'airlines') }}"
    )
    edit(
        project / "models/flights/sources.yml",
        "      - name: airlines",
        "      - name: trains\n      - name: airlines",
    )
    (project / "models" / "trains").mkdir()
    found = said()
    assert (
        "no model reads var 'flights_late_minute' of dbt_project.yml; did you mean 'flights_late_minutes'?"
        in found
    )
    assert "configures models/flights/featurse, which is not there; did you mean 'features'?" in found
    assert "nothing is made of the dbt model 'stg_flights__old'" in found
    assert "sources.yml of dbt declares 'trains', which the pipeline does not" in found
    assert "dbt_project/models/trains is of no pipeline" in found


def test_column_that_only_the_model_card_speaks_of_is_used_by_nothing(copy):
    flights = copy / "dags" / "pipelines" / "flights.yml"
    edit(flights, "      - wind_gust_mph\n", "")
    edit(flights, "      - wind_gust_mph\n", "")
    edit(flights, "    caveats: >-\n", "    caveats: >-\n      There is no wind_gust_mph in it.\n")
    suite = copy / "expectations" / "flights" / "features.json"
    suite.write_text(suite.read_text().replace("wind_gust_mph", "wind_speed_mph"))
    assert "column 'wind_gust_mph' of 'features' is no feature, and nothing else uses it" in said()
