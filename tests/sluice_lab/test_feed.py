"""The replayed source system: what arrives when, and that nothing arrives too early."""

from __future__ import annotations

import gzip
import hashlib
import json
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.core.errors import DayInvalidError, DeliveryMissingError, SourceUnknownError, SpecInvalidError
from sluice.declare import pipeline_clock
from sluice.ingest import parse
from sluice.ingest.budget import Budget
from sluice.ingest.layout import Layout
from sluice_lab import feed
from sluice_lab.feed import corrupt, data

REGISTERS = ["planes", "airports", "airlines"]


def sources_of(names):
    return [name.split("/")[0] for name in names]


def rows_of(flights, name):
    source = flights.source(name.split("/")[0])
    content = (Path(flights.landing_url) / name).read_bytes()
    return parsed(content, source)


def parsed(content, source):
    layout, budget = Layout.of(source.contract), Budget.of(source.limits)
    return parse.read(content, source.format, layout, budget, where="a file").table


def test_deliver_first_day_brings_schedule_and_registers(flights):
    assert sources_of(feed.deliver(flights, "2013-01-01")) == ["schedule", *REGISTERS]


def test_deliver_brings_todays_schedule_and_yesterdays_arrivals_and_weather(flights):
    feed.deliver(flights, "2013-01-01")
    schedule, arrivals, weather = feed.deliver(flights, "2013-01-02")
    assert arrivals == "arrivals/2013-01-02/arrivals_2013-01-01.csv.gz"
    assert set(rows_of(flights, schedule)["flight_date"].to_pylist()) == {date(2013, 1, 2)}
    assert set(rows_of(flights, arrivals)["flight_date"].to_pylist()) == {date(2013, 1, 1)}
    assert rows_of(flights, schedule).num_rows == 943
    assert rows_of(flights, arrivals).num_rows == 842
    # Observations of 1 January in New York lie between 05:00 UTC of that day and the next.
    observed = pc.min_max(rows_of(flights, weather)["observed_at"]).as_py()
    assert observed["min"].isoformat() >= "2013-01-01T05:00"
    assert observed["max"].isoformat() < "2013-01-02T05:00"


def test_deliver_registers_on_mondays_and_when_there_is_none(flights):
    days = [f"2013-01-{day:02}" for day in range(3, 16)]
    with_registers = [day for day in days if set(REGISTERS) <= set(sources_of(feed.deliver(flights, day)))]
    assert with_registers == ["2013-01-03", "2013-01-07", "2013-01-14"]


def test_deliver_twice_is_the_same_delivery(flights):
    first = feed.deliver(flights, "2013-01-03")
    files = sorted(path for path in Path(flights.landing_url).rglob("*") if path.is_file())
    before = [path.read_bytes() for path in files]
    assert feed.deliver(flights, "2013-01-03") == first
    assert [path.read_bytes() for path in files] == before
    assert sorted(path for path in Path(flights.landing_url).rglob("*") if path.is_file()) == files


def test_deliver_manifest_describes_the_file(flights):
    name = feed.deliver(flights, "2013-01-02", sources=["arrivals"])[0]
    content = (Path(flights.landing_url) / name).read_bytes()
    assert json.loads((Path(flights.landing_url) / f"{name}.manifest.json").read_text()) == {
        "source": "arrivals",
        "day": "2013-01-01",
        "rows": 842,
        "sha256": hashlib.sha256(content).hexdigest(),
        "contract_version": 1,
        "delivered_at": "2013-01-02T08:00:00Z",
    }


def test_deliver_range_loses_and_repeats_no_flight_of_a_month(flights):
    feed.deliver_range(flights, "2013-02-01", "2013-03-01")
    folder = Path(flights.landing_url)
    schedule = {}
    for path in sorted(folder.glob("schedule/*/*.csv")):
        for row in rows_of(flights, str(path.relative_to(folder))).to_pylist():
            schedule[tuple(row[name] for name in flights.source("schedule").key)] = row
    february = {key for key in schedule if key[0].month == 2}
    assert len(february) == 24951
    arrived = []
    for path in sorted(folder.glob("arrivals/*/arrivals_2013-02-*.gz")):
        arrived += rows_of(flights, str(path.relative_to(folder))).to_pylist()
    assert len(arrived) == 24951
    assert {tuple(row[name] for name in flights.source("arrivals").key) for row in arrived} == february
    assert sum(row["dep_time"] is None for row in arrived) == 1261


def test_deliver_schedule_tells_nothing_of_what_became_of_the_flights(flights):
    schedule = data.rows("schedule", date(2013, 2, 8))
    assert schedule.column_names == list(flights.source("schedule").contract.columns)
    assert schedule.equals(schedule.sort_by([(name, "ascending") for name in flights.source("schedule").key]))


def test_deliver_every_source_follows_its_contract_on_every_day_of_2013(flights):
    for source, declared in flights.sources.items():
        days = (
            {date(2013, 1, 1)} if declared.cadence == "weekly" else {date(2013, m, 9) for m in range(1, 13)}
        )
        for day in days:
            rows = data.rows(source, day)
            assert rows.num_rows > 0
            content = feed.encode(rows, declared.format)
            assert (
                parsed(content, declared).to_pylist()
                == rows.select(list(declared.contract.columns)).to_pylist()
            )


@pytest.mark.parametrize("day", ["2012-12-31", "2014-01-01"])
def test_deliver_day_outside_the_data_is_refused(flights, day):
    with pytest.raises(SpecInvalidError, match="2013-01-01 to 2013-12-31"):
        feed.deliver(flights, day)


@pytest.mark.parametrize("day", ["2013-02-30", "yesterday", "20130401"])
def test_deliver_day_that_does_not_exist_is_refused(flights, day):
    with pytest.raises(DayInvalidError, match="YYYY-MM-DD"):
        feed.deliver(flights, day)


def test_deliver_range_backwards_is_refused(flights):
    with pytest.raises(SpecInvalidError, match="2013-01-02"):
        feed.deliver_range(flights, "2013-01-03", "2013-01-02")


def test_feed_command_damages_no_range_of_days(flights):
    result = CliRunner().invoke(main, ["feed", "flights", "2013-04-01", "2013-04-02", "--corrupt", "seconds"])
    assert result.exit_code == 2
    assert "are for one day" in result.output
    assert not list(Path(flights.landing_url).rglob("*.gz"))


def test_deliver_unknown_source_is_refused(flights):
    with pytest.raises(SourceUnknownError, match="schedule, arrivals, weather"):
        feed.deliver(flights, "2013-01-02", sources=["arrival"])


def test_deliver_seconds_multiplies_all_minutes_of_arrivals_by_sixty(flights):
    clean = rows_of(flights, feed.deliver(flights, "2013-01-02", sources=["arrivals"])[0])
    names = feed.deliver(flights, "2013-01-02", corrupt="seconds", number=2)
    broken = rows_of(flights, next(name for name in names if name.endswith("arrivals_2013-01-01_2.csv.gz")))
    for name in ("dep_delay", "arr_delay", "air_time"):
        assert broken[name].equals(pc.multiply(clean[name], 60))
    untouched = ["flight_date", "carrier", "flight", "origin", "dest", "tailnum", "dep_time", "arr_time"]
    assert broken.select(untouched).equals(clean.select(untouched))


def test_deliver_shifted_puts_each_number_under_its_neighbours_name(flights):
    clean = rows_of(flights, feed.deliver(flights, "2013-01-02", sources=["arrivals"])[0])
    broken = rows_of(
        flights, feed.deliver(flights, "2013-01-02", corrupt="shifted", sources=["arrivals"], number=2)[0]
    )
    assert broken["dep_time"].equals(clean["dep_delay"])
    assert broken["arr_delay"].equals(clean["air_time"])
    assert broken["air_time"].equals(clean["dep_time"])


def test_deliver_clocks_writes_six_departures_past_midnight(flights):
    clean = rows_of(flights, feed.deliver(flights, "2013-01-02", sources=["arrivals"])[0])
    broken = rows_of(
        flights, feed.deliver(flights, "2013-01-02", corrupt="clocks", sources=["arrivals"], number=2)[0]
    )
    pairs = zip(clean["dep_time"].to_pylist(), broken["dep_time"].to_pylist(), strict=True)
    changed = [(a, b) for a, b in pairs if a != b]
    assert [b - a for a, b in changed] == [2400] * 6
    assert broken.drop_columns("dep_time").equals(clean.drop_columns("dep_time"))


def test_deliver_truncated_cuts_the_file_but_not_its_manifest(flights):
    names = feed.deliver(flights, "2013-01-02", corrupt="truncated")
    arrivals = Path(flights.landing_url) / next(name for name in names if name.startswith("arrivals"))
    with pytest.raises(EOFError):
        gzip.decompress(arrivals.read_bytes())
    manifest = json.loads(arrivals.with_name(arrivals.name + ".manifest.json").read_text())
    assert manifest["sha256"] != hashlib.sha256(arrivals.read_bytes()).hexdigest()


@pytest.mark.parametrize("mode", corrupt.MODES)
def test_deliver_corrupt_arrivals_differ_from_clean_ones_and_others_do_not(flights, mode):
    def contents(names):
        return [(Path(flights.landing_url) / name).read_bytes() for name in names]

    names = feed.deliver(flights, "2013-01-02")
    clean = contents(names)
    assert feed.deliver(flights, "2013-01-02", corrupt=mode) == names
    changed = [name.split("/")[0] for name, a, b in zip(names, clean, contents(names), strict=True) if a != b]
    assert changed == ["arrivals"]


@pytest.mark.parametrize(
    ("mode", "source"), [("minutes", "arrivals"), ("seconds", "schedule"), ("shifted", "airlines")]
)
def test_deliver_impossible_corruption_is_refused(flights, mode, source):
    with pytest.raises(SpecInvalidError, match=mode):
        feed.deliver(flights, "2013-01-02", corrupt=mode, sources=[source])


def test_clock_of_a_feed_is_its_last_delivered_day(flights):
    with pytest.raises(DeliveryMissingError, match="not delivered a day"):
        pipeline_clock.today(flights)
    feed.deliver(flights, "2013-01-03")
    feed.deliver(flights, "2013-01-02", number=2)
    assert pipeline_clock.today(flights) == date(2013, 1, 3)


def test_clock_of_a_live_pipeline_is_the_wall(flights):
    live = flights.model_copy(update={"clock": "wall", "timezone": "Pacific/Kiritimati"})
    west = flights.model_copy(update={"clock": "wall", "timezone": "Etc/GMT+12"})
    # 26 hours apart: never the same day.
    assert (pipeline_clock.today(live) - pipeline_clock.today(west)).days in (1, 2)
