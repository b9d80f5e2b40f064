from __future__ import annotations

import re

import pytest

from sluice import spec
from sluice.errors import SourceUnknownError, SpecInvalidError
from sluice.settings import ROOT

TEXT = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()


def _parse(tmp_path, text: str) -> spec.Pipeline:
    path = tmp_path / "flights.yml"
    path.write_text(text)
    return spec.parse(path)


def test_parse_flights_gives_days_by_lag(tmp_path):
    flights = _parse(tmp_path, TEXT)
    assert flights.data_day("schedule", "2013-03-01") == "2013-03-01"
    assert flights.data_day("arrivals", "2013-03-01") == "2013-02-28"
    assert flights.data_day("outcomes", "2013-03-01") == "2013-02-28"
    assert flights.data_day("predictions", "2013-03-01") == "2013-03-01"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("history_days: 28", "histroy_days: 28", "did you mean 'history_days'"),
        ("    cadence: weekly\n", "    cadence: monthly\n", "'daily' or 'weekly'"),
        ("key: [tailnum]", "key: [tail]", "'tail' is not a column of the contract"),
        ("        tailnum: {type: string}\n", "        tailnum: {type: text}\n", "columns.tailnum.type"),
        (
            "        engine: {type: string}\n",
            "        engine: {type: string}\n        engine: {type: string}\n",
            "given twice",
        ),
        ("  outcomes:\n", "  results:\n", "'outcomes', which `derived` does not declare"),
        ("pipeline: flights\n", "pipeline: planes\n", "is called 'planes' but its file 'flights.yml'"),
        ("sources:\n", "sources: [\n", "Not valid YAML"),
        ("mail_to: [flights-oncall@example.com]", "mail_to: []", "mail_to"),
    ],
)
def test_parse_mistake_is_named(tmp_path, old, new, said):
    assert old in TEXT
    with pytest.raises(SpecInvalidError, match=re.escape(said)) as caught:
        _parse(tmp_path, TEXT.replace(old, new, 1))
    assert "flights.yml" in str(caught.value)


def test_parse_every_problem_is_listed_at_once(tmp_path):
    broken = TEXT.replace("history_days: 28", "histroy_days: 28").replace("seed: 20130101", "seed: x")
    with pytest.raises(SpecInvalidError, match=r"3 problem") as caught:
        _parse(tmp_path, broken)
    for said in ("histroy_days", "history_days: Field required", "model.seed"):
        assert said in str(caught.value)


def test_load_unknown_pipeline_lists_the_known(home):
    with pytest.raises(SpecInvalidError, match="Allowed: flights"):
        spec.load("trains")


def test_source_unknown_lists_the_declared(home):
    with pytest.raises(SourceUnknownError, match=r"declares no source 'mystery'.*schedule, arrivals"):
        spec.load("flights").source("mystery")


def test_landing_relative_path_is_under_home_and_can_be_overridden(home, monkeypatch):
    flights = spec.load("flights")
    assert flights.landing_url == str(home / "landing")
    from sluice.settings import settings

    monkeypatch.setenv("SLUICE_LANDING", "s3://bucket/prefix")
    settings.cache_clear()
    assert flights.landing_url == "s3://bucket/prefix"
