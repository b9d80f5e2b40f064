"""What lies in a landing zone and belongs to no source: named once by mail and by the commands, until it is gone."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from sluice import ledger, notify, watch
from sluice.cli import main
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.ingest import completion, deliveries, unexpected
from sluice.lake.landing import Landing
from sluice.ledger import records
from sluice.notify import faults, report
from sluice_lab import feed
from tests.notify.reading import body

DAY = "2013-04-03"


@pytest.fixture
def flights(home, feed_cache) -> spec.Pipeline:
    home.mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    return spec.load("flights")


@pytest.fixture(params=["folder", "bucket"])
def zone(request, flights, monkeypatch) -> Landing:
    """The landing zone with a day's deliveries, of both kinds."""
    if request.param == "bucket":
        monkeypatch.setenv("SLUICE_LANDING", f"s3://{request.getfixturevalue('bucket')}/in")
        settings.cache_clear()
    feed.deliver(flights, DAY)
    feed.deliver(flights, DAY, sources=["arrivals"], number=2)
    return Landing(flights.landing_url)


def names(flights) -> list[str]:
    return [entry.name for entry in watch.unexpected_files(flights).entries]


def test_deliveries_and_files_that_are_being_written_are_expected(flights, zone):
    zone.write(f"arrivals/{DAY}/.arrivals_2013-04-02_3.csv.gz.part", b"x")
    assert names(flights) == []


def test_each_entry_that_is_no_delivery_is_named_with_its_reason(flights, zone):
    stray = {
        "README.txt": "in the folder of its source and run day",
        "fuel/2013-04-03/fuel_2013-04-03.csv": "no source declares the folder fuel",
        "arrivals/late.csv.gz": "beside the folders of the run days of arrivals",
        "arrivals/april/arrivals_2013-04-02.csv.gz": "april is no day",
        "arrivals/0001-01-01/arrivals_0001-01-01.csv.gz": "0001-01-01 is no day",
        f"arrivals/{DAY}/arrivals_{DAY}.csv.gz": "arrivals_2013-04-02.csv.gz would be one",
        f"arrivals/{DAY}/arrivals_2013-04-02_1.csv.gz": "arrivals_2013-04-02.csv.gz would be one",
        f"arrivals/{DAY}/old/arrivals_2013-04-02.csv.gz": "arrivals_2013-04-02.csv.gz would be one",
    }
    for name in stray:
        zone.write(name, b"x")
    found = watch.unexpected_files(flights).entries
    told = {
        "fuel/": "fuel/2013-04-03/fuel_2013-04-03.csv",
        "arrivals/april/": "arrivals/april/arrivals_2013-04-02.csv.gz",
        "arrivals/0001-01-01/": "arrivals/0001-01-01/arrivals_0001-01-01.csv.gz",
        f"arrivals/{DAY}/old/": f"arrivals/{DAY}/old/arrivals_2013-04-02.csv.gz",
    }
    assert len(found) == len(stray)
    for entry in found:
        assert stray[told.get(entry.name, entry.name)] in entry.why
    # A stranger's folder is no reason to stop the sources that were delivered.
    assert "arrivals" in completion.due_sources(flights, [DAY])


def test_a_delivery_that_was_landed_in_place_of_a_misnamed_one_answers_it(flights, zone):
    for ending in ("", deliveries.MANIFEST):
        zone.write(f"arrivals/{DAY}/arrivals.csv.gz{ending}", b"{}")
    assert len(names(flights)) == 2
    name = f"arrivals/{DAY}/arrivals_2013-04-02.csv.gz"
    deliveries.land(flights, "arrivals", "2013-04-02", zone.read(name))
    assert names(flights) == []


def test_pipelines_that_share_a_zone_name_an_entry_once(flights, zone, tmp_path, monkeypatch):
    text = (settings().pipelines / "flights.yml").read_text()
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    (tmp_path / "flights.yml").write_text(text)
    (tmp_path / "crews.yml").write_text(
        text.replace("pipeline: flights", "pipeline: crews").replace("  airlines:\n", "  rosters:\n")
    )
    for name in ("README", "fuel/x", "rosters/x", "airlines/x"):
        zone.write(name, b"x")
    assert names(spec.load("crews")) == ["README", "fuel/", "rosters/x"]
    assert names(spec.load("flights")) == ["airlines/x"]
    (tmp_path / "crews.yml").write_text("pipeline: [")
    assert names(spec.load("flights")) == ["README", "airlines/x"], "a folder may be the broken pipeline's"


def test_a_hostile_folder_is_bounded_and_printable(flights, zone, monkeypatch):
    monkeypatch.setattr(unexpected, "NAMED", 10)
    for number in range(30):
        zone.write(f"junk/{number}", b"x")
        zone.write(f"arrivals/\x1b[31mred\u202e{number}", b"x")
    looked = watch.unexpected_files(flights)
    assert (len(looked.entries), looked.complete) == (10, False)
    assert all(entry.sentence().isprintable() for entry in looked.entries)
    shown = CliRunner().invoke(main, ["held", "flights"])
    assert "Only the first 10 entries" in shown.output
    assert "\x1b" not in shown.output


def test_links_pipes_and_names_that_are_no_text_are_named_and_not_followed(flights, tmp_path):
    feed.deliver(flights, DAY)
    root = Path(flights.landing_url)
    (root / "loop").symlink_to(root)
    (root / "away").symlink_to("/")
    (root / "nowhere").symlink_to(tmp_path / "nowhere")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"\xff\xfe.csv")).write_bytes(b"x")
    (root / "empty").mkdir()
    # A source's own folder may be a link.
    (root / "weather").rename(tmp_path / "weather")
    (root / "weather").symlink_to(tmp_path / "weather")
    assert names(flights) == ["\\udcff\\udcfe.csv", "away", "loop", "nowhere", "pipe"]


def look(flights, smtp):
    """What `check_landing` of the watcher does."""
    found = watch.unexpected_files(flights)
    reported = faults.reported_names(flights.pipeline)
    event = report.of_unexpected_files(flights, found, reported=reported, task_url="http://127.0.0.1/")
    if event:
        notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)
    notify.close_removed(flights, found, smtp)


def test_one_mail_names_what_is_new_and_resolved_follows_when_it_is_gone(flights, sink, mails):
    smtp, folder, _ = sink
    feed.deliver(flights, DAY)
    root = Path(flights.landing_url)
    look(flights, smtp)
    assert mails(folder) == []

    (root / "README.txt").write_text("x")
    (root / "fuel" / DAY).mkdir(parents=True)
    (root / "fuel" / DAY / "fuel.csv").write_text("x")
    look(flights, smtp)
    look(flights, smtp)
    (mail,) = mails(folder)
    assert (
        mail["Subject"].strip() == "[sluice][UNEXPECTED] flights landing: README.txt and more is no delivery"
    )
    assert "no source declares the folder fuel" in " ".join(body(mail).lower().split())

    (root / "arrivals" / "late.csv").write_text("x")
    look(flights, smtp)
    assert "arrivals/late.csv" in mails(folder)[-1]["Subject"], "what came later has a mail of its own"

    (root / "README.txt").unlink()
    look(flights, smtp)
    assert len(mails(folder)) == 2, "the folder is still there"
    shutil.rmtree(root / "fuel")
    look(flights, smtp)
    assert "RESOLVED" in mails(folder)[-1]["Subject"]
    assert "no longer in the landing zone" in " ".join(body(mails(folder)[-1]).split())
    assert len(mails(folder)) == 3
    assert ledger.entries(records.Mail, pipeline="flights", limit=1)[0].record.status == "resolved"

    (root / "README.txt").write_text("again")
    look(flights, smtp)
    assert len(mails(folder)) == 4, "what comes back is told again"


def test_a_delivery_that_its_run_refused_for_its_name_is_told_by_the_refusal(flights):
    from sluice import crossing
    from sluice.core.errors import DeliveryUnreadableError
    from sluice.core.runs import Run

    feed.deliver(flights, DAY, sources=["schedule"])
    zone = Landing(flights.landing_url)
    for name in (f"arrivals.csv.gz{deliveries.MANIFEST}", "arrivals.csv.gz", "notes.txt"):
        zone.write(f"arrivals/{DAY}/{name}", b"{}")
    assert len(names(flights)) == 3
    with pytest.raises(DeliveryUnreadableError, match="is not named as a delivery"):
        crossing.stage(flights, "arrivals", [DAY], Run(dag_id="flights_ingest", run_id="test"))
    assert names(flights) == [f"arrivals/{DAY}/notes.txt"]


def test_what_is_held_is_listed_while_the_landing_zone_is_away(flights):
    feed.deliver(flights, DAY)
    shutil.rmtree(flights.landing_url)
    shown = CliRunner().invoke(main, ["held", "flights"])
    assert shown.exit_code == 0
    assert "Nothing is held." in shown.stdout
    assert "cannot be used" in shown.stderr


def test_commands_name_it(flights):
    feed.deliver(flights, DAY)
    Landing(flights.landing_url).write("README.txt", b"x")
    sentence = "README.txt in the landing zone is no delivery"
    for command in (["held", "flights"], ["status", "flights"], ["watch", "flights"]):
        assert sentence in CliRunner().invoke(main, command).output, command
    for command in (["held", "flights", "--json"], ["status", "flights", "--json"]):
        shown = json.loads(CliRunner().invoke(main, command).stdout)
        shown = shown["pipelines"]["flights"] if command[0] == "held" else shown
        assert [each["name"] for each in shown["unexpected_files"]] == ["README.txt"]
