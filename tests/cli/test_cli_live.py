"""`sluice status` and `sluice skip`: what a person sees and says of the state of a live pipeline."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.settings import ROOT, settings

MONDAY = "2013-04-01"


@pytest.fixture
def live(home, tmp_path, monkeypatch):
    """flights as a live pipeline that began this morning; nothing was delivered."""
    home.mkdir()
    (home / "landing").mkdir()
    (tmp_path / "pipelines").mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    live = text.replace("clock: feed", f"clock: wall\nstarts: {MONDAY}")
    (tmp_path / "pipelines" / "flights.yml").write_text(live)
    (tmp_path / "clock").write_text(f"{MONDAY}T07:00-04:00")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    monkeypatch.setenv("SLUICE_CLOCK", str(tmp_path / "clock"))
    settings.cache_clear()


def _run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_status_shows_what_is_missing_and_ends_with_1(live):
    shown = _run("status", "flights")
    assert shown.exit_code == 1
    assert "2013-04-01: 0 of 7 are done" in shown.output
    assert (
        "missing   arrivals 2013-03-31: it was due by 2013-04-01 06:00 EDT and has not been delivered"
        in shown.output
    )
    assert "blocked   features 2013-04-01: schedule 2013-04-01 is missing" in shown.output


def test_status_as_json_has_every_item(live):
    found = json.loads(_run("status", "flights", "--json").stdout)
    assert found["now"] == "2013-04-01T07:00:00-04:00"
    (arrivals,) = [item for item in found["items"] if item["table"] == "arrivals"]
    assert arrivals == {
        "stage": "ingest",
        "table": "arrivals",
        "run_day": MONDAY,
        "day": "2013-03-31",
        "state": "missing",
        "reason": "it was due by 2013-04-01 06:00 EDT and has not been delivered",
        "deadline": "2013-04-01T06:00:00-04:00",
        "batch_id": None,
    }


def test_status_of_days_before_the_first_is_empty_and_well(live):
    shown = _run("status", "flights", "--last", "2013-03-31")
    assert (shown.exit_code, "No run day is due yet." in shown.output) == (0, True)


def test_a_day_that_is_given_up_is_missed_no_longer(live):
    said = _run("skip", "flights", MONDAY, "--by", "Ada", "--why", "The airports were closed.")
    assert said.exit_code == 0, said.output
    assert "Given up: arrivals of 2013-03-31." in said.output
    assert (
        "1 run day(s) from 2013-04-01 to 2013-04-01 are as they should be."
        in _run("status", "flights").output
    )
    entries = ledger.entries(kind="skipped")
    assert {entry.data["why"] for entry in entries} == {"The airports were closed."}
    assert all(entry.data["account"] for entry in entries), (
        "the operating system's user is recorded beside the name"
    )


@pytest.mark.parametrize("said", [["--by", "Ada"], ["--why", "Lost."], []])
def test_nothing_is_given_up_without_a_name_and_a_reason(live, said):
    refused = _run("skip", "flights", MONDAY, *said)
    assert refused.exit_code == 1
    assert "only with a name and a reason" in refused.output
    assert ledger.entries(kind="skipped") == []
