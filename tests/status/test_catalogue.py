"""The catalogue: a source's standing from what really happened to it, its users from dbt, its page in a browser's eyes."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from sluice import crossing
from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.calendars import Expected
from sluice.lake import evidence
from sluice.status import catalogue
from sluice.status.catalogue.readiness import Standing, days_late, readiness
from sluice.web import index
from sluice_lab import feed

DAY = "2013-04-03"
RUN = Run(dag_id="flights_ingest", run_id="test")
NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def flights(tmp_path_factory, make_home):
    """One home for the module: a schedule that crossed, arrivals that are held, weather that was refused."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("catalogue") / "home"
        make_home(home)
        patch.setenv("SLUICE_HOME", str(home))
        settings.cache_clear()
        declared = spec.load("flights")
        feed.deliver(declared, DAY, sources=["schedule", "airlines"])
        feed.deliver(declared, DAY, sources=["arrivals"], corrupt="seconds")
        for source in ("schedule", "airlines", "arrivals"):
            manifest = crossing.stage(declared, source, [DAY], RUN)
            verdict = crossing.audit(declared, source, manifest.batch_id, RUN)
            if verdict.publishes:
                crossing.publish(declared, source, manifest.batch_id, RUN)
        yield declared
    settings.cache_clear()


@pytest.fixture(scope="module")
def shelf(flights):
    return {entry.name: entry for entry in catalogue.read(flights).sources}


@pytest.mark.parametrize(
    ("change", "hour", "band", "said"),
    [
        ({}, 7, "A", ()),
        ({"newest": None}, 7, "", ("nothing is published yet",)),
        ({"outcome": "HOLD"}, 7, "C", ("the newest verdict is HOLD, of 2013-04-03",)),
        ({"newest": "2013-04-02"}, 7, "B", ("the newest day is 2013-04-02, 1 day(s) behind",)),
        ({"newest": "2013-04-02"}, 5, "A", ()),  # today's delivery is not due before six
        ({"held": ("2013-04-01",)}, 7, "B", ("held or refused: 2013-04-01",)),
        ({"waived": ("2013-04-01",)}, 7, "B", ("shown under a waiver: 2013-04-01",)),
    ],
)
def test_readiness_says_the_band_and_what_is_missing(change, hour, band, said):
    good = {"newest": DAY, "outcome": "PASS", "judged": DAY, "held": (), "waived": ()}
    at = datetime(2013, 4, 3, hour, tzinfo=NEW_YORK)
    found = readiness(spec.load("flights"), "schedule", Standing(**{**good, **change}), at)
    assert (found.band, found.missing) == (band, said)


def test_readiness_of_a_source_without_purpose_is_not_a():
    standing = Standing("2013-04-01", "PASS", "2013-04-01", (), ())
    now = datetime(2013, 4, 3, 7, tzinfo=NEW_YORK)
    over = _with_planes(purpose_expires=date(2013, 4, 2))
    assert readiness(over, "planes", standing, now).missing == ("its purpose ended on 2013-04-02",)
    # A weekly source is fresh for a week.
    assert readiness(_with_planes(purpose_expires=None), "planes", standing, now).band == "A"


def _with_planes(**changes) -> spec.Pipeline:
    flights = spec.load("flights")
    planes = flights.source("planes").model_copy(update=changes)
    return flights.model_copy(update={"sources": {**flights.sources, "planes": planes}})


@pytest.mark.parametrize(("newest", "late"), [("2013-03-29", 0), ("2013-03-28", 1)])
def test_a_source_is_not_late_for_days_that_are_not_expected(newest, late):
    """On Easter Monday, which has no flights here, the newest that is due is that of Friday."""
    weekdays = Expected(weekdays=("mon", "tue", "wed", "thu", "fri"), holidays=(date(2013, 4, 1),))
    flights = spec.load("flights").model_copy(update={"expected": weekdays})
    monday = datetime(2013, 4, 1, 7, tzinfo=NEW_YORK)
    assert days_late(flights, "schedule", newest, monday) == late


def test_read_tells_what_really_happened(shelf):
    assert (shelf["schedule"].readiness.band, shelf["schedule"].standing.newest) == ("A", DAY)
    assert shelf["airlines"].readiness.band == "A"
    assert (shelf["arrivals"].readiness.band, shelf["arrivals"].standing.outcome) == ("", "HOLD")
    assert shelf["arrivals"].standing.held == ("2013-04-02",)


def test_read_users_come_from_the_dbt_graph(shelf):
    assert "ftr_flights__departure" in shelf["schedule"].users.models
    assert shelf["schedule"].users.derived == ("features",)
    assert (shelf["schedule"].users.features, shelf["schedule"].users.outcomes) == (True, False)
    assert set(shelf["arrivals"].users.derived) == {"features", "outcomes"}


def test_page_is_whole_and_the_evidence_index_lists_it(flights):
    page = catalogue.write(catalogue.read(flights))
    html = evidence.read(page).decode()
    for source, declared in flights.sources.items():
        assert f'id="{source}"' in html
        for name in declared.contract.columns:
            assert f'<td class="name">{name}' in html
    for said in (
        "held or refused: 2013-04-02",
        "airport-operations",
        "until 2014-12-31",
        "°F",
        "EWR, JFK, LGA",
    ):
        assert said in html
    for outside in ("http://", "https://", "<script", "src="):
        assert outside not in html
    standing = index.read("flights", days=1).standing
    assert [each.path for each in standing] == ["flights/catalogue/index.html"]


def test_impact_of_a_column_names_rules_models_tables_and_features(flights):
    found = catalogue.impact(flights, "weather.wind_gust")
    assert found.direct == ("stg_flights__weather",)
    assert "readings_possible" in found.rules
    assert found.users.derived == ("features",)
    assert "wind_gust_mph" in found.features
    assert not found.exact


def test_impact_of_a_column_that_no_model_names_stops_there(flights):
    found = catalogue.impact(flights, "weather.dewp")
    assert (found.direct, found.untouched) == ((), ("stg_flights__weather",))
    assert (found.users.models, found.features, found.exact) == ((), (), True)


def test_impact_of_a_feature_is_that_feature(flights):
    assert catalogue.impact(flights, "features.wind_gust_mph").features == ("wind_gust_mph",)
    assert catalogue.impact(flights, "features.as_of_at").features == ()


@pytest.mark.parametrize(
    ("name", "allowed"), [("whether.temp", "weather"), ("weather.temperature", "temp"), ("weather", "temp")]
)
def test_impact_of_what_is_not_there_lists_what_is(flights, name, allowed):
    with pytest.raises(SpecInvalidError) as caught:
        catalogue.impact(flights, name)
    assert allowed in caught.value.allowed


def test_command_shows_the_catalogue_and_an_impact(flights):
    told = CliRunner().invoke(main, ["catalogue", "flights"])
    assert told.exit_code == 0, told.output
    assert "A  schedule: The flights planned for a day" in told.output
    assert "distance           integer, miles" in told.output
    assert f"As a page: {settings().home / 'reports' / 'flights' / 'catalogue' / 'index.html'}" in told.output
    told = CliRunner().invoke(main, ["catalogue", "flights", "--impact", "arrivals.tailnum"])
    assert "Model-level" in told.output
    assert "int_flights__expected_aircraft" in told.output
    assert CliRunner().invoke(main, ["catalogue", "flights", "--impact", "x.y"]).exit_code == 1
