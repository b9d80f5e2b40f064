"""The way back from the Airflow UI: what is held is replayed or released, and its day goes on to its end."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from datetime import date, timedelta
from urllib.parse import unquote

import pytest

from sluice import holds, ledger
from sluice.lake import tables
from sluice.ledger import records
from sluice.local.keys import login

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


class Suite:
    """The suite of schedule in the stack's own copy, as somebody edits it."""

    def __init__(self, live) -> None:
        self.path = live.expectations / "flights" / "schedule.json"
        self.text = self.path.read_text()

    def is_mistaken(self) -> None:
        suite = json.loads(self.text)
        rule = {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "origin", "value_set": ["EWR", "JFK"]},
            "meta": {
                "rule": "two_origins",
                "severity": "hold",
                "owner": "airline-operations",
                "why": "A test.",
            },
        }
        self.path.write_text(json.dumps({**suite, "expectations": [*suite["expectations"], rule]}))

    def is_corrected(self) -> None:
        self.path.write_text(self.text)


@pytest.fixture
def suite(live):
    found = Suite(live)
    yield found
    found.is_corrected()


def hold_schedule(live, flights, suite, day: str) -> dict:
    """Three days of history, then a morning whose schedule is held by a rule that is wrong; returns its run."""
    first, *_, last = [(date.fromisoformat(day) - timedelta(days=back)).isoformat() for back in (3, 2, 1)]
    live.deliver(flights, first, day)
    live.succeed("flights_backfill", conf={"first_day": first, "last_day": last})
    suite.is_mistaken()
    run = live.run("flights_ingest", partition=day)
    assert live.states(run)["schedule.audit_schedule"] == "failed"
    assert [entry.data["outcome"] for entry in live.held("schedule", day)] == ["HOLD"]
    assert not live.published("schedule", day)
    return run


@contextmanager
def four_eyes(live):
    """Whoever asks for a release may not approve it."""
    path = live.pipelines / "flights.yml"
    text = path.read_text()
    path.write_text(f"{text}\nreleases: {{self_approval: refuse}}\n")
    try:
        yield
    finally:
        path.write_text(text)


def replay_from_the_mail(live, page, mail) -> dict:
    """Two clicks from the mail, after the login; the page of the run opens in Airflow's UI. Returns the run at its end."""
    (address,) = set(re.findall(r'href="([^"]*/_/replay/[^"]*)"', mail.get_body(("html",)).get_content()))
    name, password = login()
    page.goto(address)
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    inside = page.frame_locator("iframe[title=Evidence]")
    inside.get_by_role("button", name="Replay").click()
    inside.get_by_role("heading", name="flights_replay was started").wait_for()
    inside.get_by_role("link", name="The run").click()
    page.wait_for_url(re.compile("/dags/flights_replay/runs/"))
    page.get_by_text("report_replay").first.wait_for()
    newest = live.api.runs("flights_replay")[-1]
    assert unquote(page.url).endswith(newest["dag_run_id"])
    state = live.api.wait_for_run("flights_replay", newest["dag_run_id"], seconds=300)
    assert state == "success", live.api.failures("flights_replay", newest["dag_run_id"])
    return newest


def staged(day: str) -> set[str]:
    found = ledger.entries(kind="staged", pipeline="flights", subject="schedule", partition=day)
    return {entry.data["batch_id"] for entry in found}


def said(live, run: dict, task_id: str) -> str:
    """What a task returned."""
    path = (
        f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}/xcomEntries/return_value"
    )
    return live.api._get(path)["value"]


@pytest.mark.long
def test_replay_after_the_rule_was_corrected_publishes_and_the_day_goes_on(live, flights, suite, page):
    """Twice in vain and once with success: that one from the mail, through the page that it links to, in a browser."""
    day = "2013-08-05"
    held = hold_schedule(live, flights, suite, day)
    (mail,) = (one for one in live.mails().values() if f"[HOLD] flights schedule {day}" in one["Subject"])
    before = staged(day)
    form = {"table": "schedule", "day": day}

    still = live.run("flights_replay", conf=form)
    assert live.states(still)["report_replay"] == "failed"
    assert "still held" in live.api.failures("flights_replay", still["dag_run_id"])

    suite.is_corrected()
    run = replay_from_the_mail(live, page, mail)

    rows = tables.scan("flights", "schedule", day, day).num_rows
    assert said(live, run, "report_replay") == f"repaired {rows}, still held 0, expired 0"
    assert staged(day) == before, "nothing was delivered or staged again"
    replies = [one["In-Reply-To"] for one in live.mails().values() if "[RESOLVED]" in one["Subject"]]
    assert mail["Message-ID"] in replies
    replayed = ledger.entries(records.Replayed, pipeline="flights", subject="schedule", partition=day)
    assert [(one.record.by, one.record.repaired) for one in replayed] == [("admin", rows), ("admin", 0)]
    (owning,) = live.api.runs("flights_ingest", partition=day)
    assert (owning["dag_run_id"], owning["state"]) == (held["dag_run_id"], "success")
    followed = live.api.wait_for_partition("flights_transform", day, since=run["run_after"], seconds=300)
    assert followed["state"] == "success"

    again = live.run("flights_replay", conf=form)
    assert live.states(again) == {
        "find_held": "failed",
        "run_again": "upstream_failed",
        "report_replay": "upstream_failed",
    }
    assert "It was replayed already" in live.api.failures("flights_replay", again["dag_run_id"])


@pytest.mark.long
def test_release_is_asked_of_a_person_whose_answer_is_the_waiver(live, flights, suite):
    day = "2013-09-05"
    hold_schedule(live, flights, suite, day)
    form = {"table": "schedule", "day": day, "why": "The airline confirmed it.", "until": "2013-12-31"}

    def ask() -> dict:
        run = live.api.trigger("flights_release", conf=form)
        live.api.wait_for_task("flights_release", run["dag_run_id"], "approve_release", "awaiting_input")
        return run

    def answer(run: dict, option: str) -> str:
        live.api.answer("flights_release", run["dag_run_id"], "approve_release", option)
        state = live.api.wait_for_run("flights_release", run["dag_run_id"], seconds=300)
        assert state == "success", live.api.failures("flights_release", run["dag_run_id"])
        return said(live, run, "report_release")

    refused = live.run("flights_release", conf={**form, "until": "2013-09-01"})
    assert live.states(refused)["check_request"] == "failed"
    assert "2013-09-01 is over" in live.api.failures("flights_release", refused["dag_run_id"])

    assert answer(ask(), "Reject") == f"admin rejected the release of schedule {day}: it stays held."
    assert not live.published("schedule", day)
    assert holds.find(flights, "schedule", day)

    with four_eyes(live):
        alone = ask()
        live.api.answer("flights_release", alone["dag_run_id"], "approve_release", "Approve")
        assert live.api.wait_for_run("flights_release", alone["dag_run_id"], seconds=300) == "failed"
        assert live.states(alone)["grant_waiver"] == "failed"
        said_why = live.api.failures("flights_release", alone["dag_run_id"])
        assert "admin asked for this release, and may not approve it as well." in said_why
        assert ledger.entries(kind="waiver", pipeline="flights", subject="schedule", partition=day) == []
        assert not live.published("schedule", day)

    run = ask()
    assert (
        answer(run, "Approve") == f"schedule {day} is published under the waiver of admin until 2013-12-31."
    )

    (waiver,) = ledger.entries(kind="waiver", pipeline="flights", subject="schedule", partition=day)
    assert (waiver.data["by"], waiver.data["why"]) == ("admin", "The airline confirmed it.")
    assert (waiver.data["requested_by"], waiver.data["self_approved"]) == ("admin", True)
    assert tables.history("flights", "schedule")[0]["sluice.waiver"] == str(waiver.seq)
    assert holds.find(flights, "schedule", day) is None
    assert holds.active_waivers(flights)["schedule", day] == waiver
    for stage in ("transform", "score"):
        followed = live.api.wait_for_partition(f"flights_{stage}", day, since=run["run_after"], seconds=300)
        assert followed["state"] == "success", stage
    assert live.published("predictions", day), "the day is complete"
