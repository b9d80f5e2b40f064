"""Where deliveries lie, which one counts, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice import watch
from sluice.core.errors import (
    ContractBrokenError,
    DeliveryMissingError,
    DeliveryUnreadableError,
    LandingUnreachableError,
    LimitExceededError,
    SourceUnknownError,
)
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.limits import Limits
from sluice.ingest import completion, deliveries
from sluice.ingest.stage import stage_source
from sluice.lake.landing import Landing
from sluice_lab import feed

DAY = "2013-01-02"
FOLDER = f"arrivals/{DAY}"
NAME = f"{FOLDER}/arrivals_2013-01-01.csv.gz"


@pytest.fixture
def delivered(flights):
    """The pipeline, with the arrivals of 1 January delivered."""
    feed.deliver(flights, DAY, sources=["arrivals"])
    return flights


def path(flights, name):
    return Path(flights.landing_url) / name


def edit_manifest(flights, **changes):
    manifest = path(flights, NAME + deliveries.MANIFEST)
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def test_find_delivery_by_run_day_and_data_day(delivered):
    found = deliveries.find(delivered, "arrivals", DAY)
    assert (found.name, found.day, found.number, found.manifest.rows) == (NAME, "2013-01-01", 1, 842)
    assert found.uri == f"{delivered.landing_url}/{NAME}"
    assert deliveries.find(delivered, "arrivals", "2013-01-03") is None
    assert deliveries.find(delivered, "weather", DAY) is None


def test_find_file_without_manifest_is_not_seen(delivered):
    path(delivered, NAME + deliveries.MANIFEST).unlink()
    assert deliveries.find(delivered, "arrivals", DAY) is None


def test_find_highest_number_wins(delivered):
    for number in (2, 10, 9):
        feed.deliver(delivered, DAY, sources=["arrivals"], number=number)
    found = deliveries.find(delivered, "arrivals", DAY)
    assert (found.number, found.name) == (10, f"{FOLDER}/arrivals_2013-01-01_10.csv.gz")


def test_find_unfinished_correction_does_not_hide_the_delivery_before(delivered):
    path(delivered, f"{FOLDER}/arrivals_2013-01-01_2.csv.gz").write_bytes(b"half")
    assert deliveries.find(delivered, "arrivals", DAY).number == 1


@pytest.mark.parametrize(
    "name",
    [
        "arrivals.csv.gz",
        "arrivals_2013-01-02.csv.gz",
        "arrivals_2013-01-01.csv",
        "arrivals_2013-01-01_1.csv.gz",
        "arrivals_2013-01-01-2.csv.gz",
        "Arrivals_2013-01-01.csv.gz",
        "again/arrivals_2013-01-01.csv.gz",
    ],
)
def test_find_misnamed_delivery_is_refused_with_the_right_name(delivered, name):
    wrong = path(delivered, f"{FOLDER}/{name}{deliveries.MANIFEST}")
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text("{}")
    with pytest.raises(DeliveryUnreadableError, match=r"arrivals_2013-01-01_2\.csv\.gz") as caught:
        deliveries.find(delivered, "arrivals", DAY)
    assert name in caught.value.what


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file: Invalid JSON"),
        ("[]", "the file: Input should be an object"),
        ("{}", "source: Field required; day: Field required"),
        (b"\xff", "the file: Invalid JSON"),
    ],
)
def test_find_unreadable_manifest_is_explained(delivered, content, said):
    path(delivered, NAME + deliveries.MANIFEST).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    with pytest.raises(DeliveryUnreadableError, match="The manifest cannot be understood") as caught:
        deliveries.find(delivered, "arrivals", DAY)
    assert said in caught.value.what
    assert caught.value.where.endswith(NAME + deliveries.MANIFEST)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", -1),
        ("sha256", "abc"),
        ("day", "1 January"),
        ("delivered_at", "2013-01-02T03:00:00"),
        ("rows", "many"),
    ],
)
def test_find_impossible_manifest_value_names_the_key(delivered, key, value):
    edit_manifest(delivered, **{key: value})
    with pytest.raises(DeliveryUnreadableError, match=f"{key}: "):
        deliveries.find(delivered, "arrivals", DAY)


@pytest.mark.parametrize(("key", "value"), [("source", "departures"), ("day", "2013-01-02")])
def test_find_manifest_of_another_delivery_is_refused(delivered, key, value):
    edit_manifest(delivered, **{key: value})
    with pytest.raises(DeliveryUnreadableError, match=value):
        deliveries.find(delivered, "arrivals", DAY)


def test_find_another_contract_version_is_refused(delivered):
    edit_manifest(delivered, contract_version=2)
    with pytest.raises(ContractBrokenError, match=r"version 2 .* Allowed: version 1\."):
        deliveries.find(delivered, "arrivals", DAY)


def test_find_keys_of_the_producers_own_are_ignored(delivered):
    edit_manifest(delivered, batch="A-17")
    assert deliveries.find(delivered, "arrivals", DAY).number == 1


def test_find_unknown_source_lists_the_declared_ones(delivered):
    with pytest.raises(SourceUnknownError, match="schedule, arrivals, weather"):
        deliveries.find(delivered, "departures", DAY)


def test_find_without_landing_zone_says_so(flights):
    with pytest.raises(LandingUnreachableError, match="landing"):
        deliveries.find(flights, "arrivals", DAY)


def test_due_daily_source_always_and_weekly_when_delivered(delivered):
    assert deliveries.due(delivered, "schedule", DAY)
    assert not deliveries.due(delivered, "planes", DAY)
    feed.deliver(delivered, DAY, sources=["planes"])
    assert deliveries.due(delivered, "planes", DAY)


def fetched(flights, tmp_path):
    found = deliveries.find(flights, "arrivals", DAY)
    into = tmp_path / "fetched"
    deliveries.fetch(found, Landing(flights.landing_url), into, Limits())
    return into.read_bytes()


def test_fetch_copies_the_file(delivered, tmp_path):
    assert fetched(delivered, tmp_path) == path(delivered, NAME).read_bytes()


def test_fetch_changed_file_is_refused(delivered, tmp_path):
    path(delivered, NAME).write_bytes(path(delivered, NAME).read_bytes()[:-1])
    with pytest.raises(DeliveryUnreadableError, match="not what its manifest announces") as caught:
        fetched(delivered, tmp_path)
    assert "_2" in caught.value.todo


class GrowingLanding(Landing):
    """A landing zone whose files somebody goes on writing while they are read."""

    @contextmanager
    def open(self, name):
        with super().open(name) as opened:
            with (Path(self.url) / name).open("ab") as more:
                more.truncate(2 * 2**20)
            yield opened


def test_fetch_file_that_grows_beyond_its_limit_while_it_is_read_is_refused(delivered, tmp_path):
    found = deliveries.find(delivered, "arrivals", DAY)
    assert path(delivered, NAME).stat().st_size < 2**20
    into = tmp_path / "fetched"
    with pytest.raises(LimitExceededError, match="too large"):
        deliveries.fetch(found, GrowingLanding(delivered.landing_url), into, Limits(file_mib=1))
    assert into.stat().st_size <= 2**20


def test_fetch_file_that_never_came_is_missing(delivered, tmp_path):
    path(delivered, NAME).unlink()
    with pytest.raises(DeliveryMissingError, match=r"arrivals_2013-01-01\.csv\.gz"):
        fetched(delivered, tmp_path)


def test_land_takes_the_next_number(flights):
    data = b"carrier,name\n9E,Endeavor Air Inc.\nAA,American Airlines Inc.\n"
    assert deliveries.land(flights, "airlines", DAY, data) == f"airlines/{DAY}/airlines_{DAY}.csv"
    assert deliveries.land(flights, "airlines", DAY, data) == f"airlines/{DAY}/airlines_{DAY}_2.csv"
    found = deliveries.find(flights, "airlines", DAY)
    assert (found.number, found.manifest.rows) == (2, 2)


def test_land_puts_yesterdays_data_where_todays_run_looks(delivered):
    data = path(delivered, NAME).read_bytes()
    assert (
        deliveries.land(delivered, "arrivals", "2013-01-01", data) == f"{FOLDER}/arrivals_2013-01-01_2.csv.gz"
    )


def test_land_broken_file_is_refused_before_anything_is_written(flights):
    with pytest.raises(ContractBrokenError, match="missing column 'name'"):
        deliveries.land(flights, "airlines", DAY, b"carrier\n9E\n")
    assert not path(flights, "airlines").exists()


def _no_json(flights):
    path(flights, NAME + deliveries.MANIFEST).write_text("{")


def _huge_manifest(flights):
    path(flights, NAME + deliveries.MANIFEST).write_bytes(b" " * 100_000)


def _no_file(flights):
    path(flights, NAME).unlink()


def _truncated_file(flights):
    path(flights, NAME).write_bytes(path(flights, NAME).read_bytes()[:100])


def _other_format(flights):
    for ending in ("", deliveries.MANIFEST):
        path(flights, NAME + ending).rename(path(flights, NAME.replace(".csv.gz", ".csv") + ending))


def _number_in_words(flights):
    for ending in ("", deliveries.MANIFEST):
        path(flights, NAME + ending).rename(path(flights, NAME.replace(".csv", "_two.csv") + ending))


def _unknown_version(flights):
    edit_manifest(flights, contract_version=7)


def _folder_for_a_manifest(flights):
    path(flights, NAME + deliveries.MANIFEST).unlink()
    path(flights, NAME + deliveries.MANIFEST).mkdir()


BROKEN = [
    _no_json,
    _huge_manifest,
    _no_file,
    _truncated_file,
    _other_format,
    _number_in_words,
    _unknown_version,
    _folder_for_a_manifest,
]


@pytest.mark.parametrize("damage", BROKEN)
def test_good_file_is_landed_beside_any_broken_delivery_and_is_what_counts(delivered, damage):
    good = path(delivered, NAME).read_bytes()
    damage(delivered)
    landed = deliveries.land(delivered, "arrivals", "2013-01-01", good)
    found = deliveries.find(delivered, "arrivals", DAY)
    assert (found.name, found.manifest.rows) == (landed, 842)
    assert stage_source(delivered, "arrivals", [DAY], Run(run_id="r")).rows == 842


def test_misnamed_delivery_after_a_landed_one_is_not_ignored(delivered):
    """What was landed counts in the place of what was there, not of what comes later."""
    good = path(delivered, NAME).read_bytes()
    _number_in_words(delivered)
    deliveries.land(delivered, "arrivals", "2013-01-01", good)
    path(delivered, NAME.replace(".csv", "_three.csv") + deliveries.MANIFEST).write_text("{}")
    with pytest.raises(DeliveryUnreadableError, match="arrivals_2013-01-01_three"):
        deliveries.find(delivered, "arrivals", DAY)


def test_weekly_source_with_a_broken_manifest_is_due_and_leaves_the_others_of_the_day(flights):
    """Its own task refuses it; the task before all of them goes on."""
    monday = "2013-01-07"
    feed.deliver(flights, monday)
    (manifest,) = path(flights, f"planes/{monday}").glob(f"*{deliveries.MANIFEST}")
    manifest.write_text("{")
    assert "planes" in completion.due_sources(flights, [monday])
    with pytest.raises(DeliveryUnreadableError, match="cannot be understood"):
        stage_source(flights, "planes", [monday], Run(run_id="r"))


def test_watch_of_a_day_whose_newest_delivery_is_broken_is_not_stopped(delivered):
    _number_in_words(delivered)
    assert [
        missed.source for missed in watch.missed_deliveries(delivered) if missed.source == "arrivals"
    ] == []


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("arrivals_2013-04-02.csv.gz", 1),
        ("arrivals_2013-04-02_2.csv.gz", 2),
        ("arrivals_2013-04-02_12.csv.gz", 12),
        ("arrivals_2013-04-02_1.csv.gz", 0),
        ("arrivals_2013-04-02_02.csv.gz", 0),
        ("arrivals_2013-04-03.csv.gz", 0),
        ("arrivals_2013-04-02.csv", 0),
        ("weather_2013-04-02.csv.gz", 0),
        ("arrivals_2013-02-30.csv.gz", 0),
    ],
)
def test_numbers_of_all_days_agree_with_those_of_one(home, name, number):
    flights = spec.load("flights")
    landing = Landing(flights.landing_url)
    landing.create()
    landing.write(f"arrivals/2013-04-03/{name}{deliveries.MANIFEST}", b"{}")
    landing.write("arrivals/2013-04-04/not_announced.csv.gz", b"")
    assert deliveries.numbers(flights, "arrivals") == {"2013-04-03": number}
