"""The page of what is held and its forms, without an Airflow: `test_airflow.py` has its login, its rights and its runs."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner
from fastapi import FastAPI, Request

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import RunRefusedError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records
from sluice.web.reports import create_app
from tests.web.serving import Links, reader, serving

DAY, ATTACK = "2013-04-02", '"><img src=x onerror=alert(1)>'
REPLAY, RELEASE = (f"/air/evidence/_/{action}/flights/arrivals/{DAY}" for action in ("replay", "release"))
OWN = {"Sec-Fetch-Site": "same-origin"}
WORD = {"why": "The airport confirmed it.", "until": "2013-04-09"}


def unmarked(page: str) -> str:
    """A page without the marks that keep a day on one line."""
    return re.sub(r'<span style="white-space:nowrap;">(.*?)</span>', r"\1", page)


def sent(page: str, **typed: str) -> str:
    """What a browser sends of a page's form: what the page has put into it, and what was typed."""
    return urlencode({**dict(re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page)), **typed})


class Started(list):
    """What was started, as Airflow would be asked: a cookie may say that the user has no right, or that it refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.again: list[str | None] = []

    def of(self, request: Request):
        started = self

        class Runs:
            user = "ada"

            def may_start(self, dag_id):
                return "viewer" not in request.headers["cookie"]

            async def start(self, dag_id, conf, *, run_id, again):
                if "paused" in request.headers["cookie"]:
                    raise RunRefusedError(f"{dag_id} is paused.")
                if is_new := run_id not in started.ids:
                    started.append((dag_id, dict(conf)))
                    started.again.append(again)
                    started.ids.append(run_id)
                return "manual/1 & more", is_new

        return Runs()


def hold(
    pipeline: str, day: str, reason: str, *, table: str = "arrivals", batch: str = "b", **judgement: object
) -> None:
    """What a gate records when it holds a batch."""
    about = {"pipeline": pipeline, "subject": table, "partition": day, "run": f"run of {day}"}
    ledger.append(records.Staged(batch_id=batch, dag_id=f"{pipeline}_ingest", rows=983), **about)
    judged = {"verdict_id": "v", "outcome": "HOLD", "rows": 983, "report": f"{pipeline}/gates/page.html"}
    judged |= judgement
    ledger.append(records.Held(batch_id=batch, reasons=(reason, "Another one."), **judged), **about)


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def get(home, two_pipelines, tmp_path, monkeypatch, started):
    """The pages of two pipelines on a morning of which nothing has come; of each a batch is held, flights' first."""
    monkeypatch.setenv("SLUICE_LANDING", str(tmp_path / "landing"))
    (tmp_path / "landing").mkdir()
    settings.cache_clear()
    for name in ("flights", "trains"):
        pipeline_clock.advance(spec.load(name), date(2013, 4, 3))
        hold(name, DAY, f"180 of 983 rows of {name} are wrong: {ATTACK}.")
    outer = FastAPI(root_path="/air")
    outer.mount("/evidence", create_app(reader=reader, runs=started.of))
    with serving(outer) as get:
        yield get


def test_held_lists_every_hold_longest_first_with_what_waits_for_it_and_its_links(get):
    status, _, page = get("/air/evidence/_/held")

    assert status == 200
    assert page.index("180 of 983 rows of flights") < page.index("180 of 983 rows of trains")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    flights = page.split("<article")[1]
    for said in (
        "<summary>1 more reason</summary><ul><li>Another one.</li></ul>",
        "<dt>owner</dt><dd>airport-operations</dd>",
        "<dt>rows</dt><dd>983</dd>",
        "<dt>held for</dt><dd>0 days</dd>",
        "are not made; there are none from an earlier day.",
        f'href="{REPLAY}?batch=b">Replay …</a>',
        f'href="{RELEASE}?batch=b">Release …</a>',
        'href="/air/evidence/flights/gates/page.html">Evidence</a>',
        'href="/air/dags/flights_ingest/runs/run%20of%202013-04-02">Run</a>',
    ):
        assert said in flights, said
    waits = flights.split("Waits for it: ")[1].split("</p>")[0]
    assert "features" in waits
    assert "predictions" in waits


def test_held_says_the_probable_cause_before_the_reasons_and_nothing_where_there_is_none(get):
    cause = {"kind": "another unit", "sentence": f"air_time is 60 times as large: {ATTACK}?", "evidence": []}
    hold("flights", DAY, "180 of 983 rows are wrong.", batch="c", cause=cause)

    flights, trains = get("/air/evidence/_/held")[2].split("<article")[1:]

    if "trains" in flights.split("</a>")[0]:
        flights, trains = trains, flights
    said = "<p><strong>Probable cause:</strong> air_time is 60 times as large: &#34;&gt;&lt;img src=x"
    assert said in flights
    assert flights.index(said) < flights.index("180 of 983 rows are wrong.")
    assert "Probable cause" not in trains
    form = get(f"{REPLAY}?batch=c")[2]
    assert said in form, "whoever brings it back sees what is probably wrong with it"


def test_command_lists_what_the_page_lists(get):
    cause = {
        "kind": "not clear",
        "sentence": "Not clear: no known corruption explains it.",
        "evidence": ["One."],
    }
    hold("flights", DAY, "180 of 983 rows are wrong.", batch="c", cause=cause)

    text = CliRunner().invoke(main, ["held", "flights"]).stdout
    found = json.loads(CliRunner().invoke(main, ["held", "flights", "--json"]).stdout)

    for said in (
        "983 rows, 0 days old, owner airport-operations, run day 2013-04-03",
        "probable cause: Not clear: no known corruption explains it.",
        "180 of 983 rows are wrong.",
        "are not made; there are none from an earlier day.",
        "waits for it: features 2013-04-03, outcomes 2013-04-02, predictions 2013-04-03",
        f"run: flights_ingest, run of {DAY}",
    ):
        assert said in text, said
    (line,) = found["pipelines"]["flights"]["held"]
    assert line["cause"] == cause
    assert (line["age_days"], line["owner"], line["rows"]) == (0, "airport-operations", 983)
    assert line["effect"] in text
    assert [item["table"] for item in line["waiting"]] == ["features", "outcomes", "predictions"]
    assert (line["dag_id"], line["run_id"]) == ("flights_ingest", f"run of {DAY}")


def test_command_lists_held_before_refused_and_alike_days_in_one_line(get):
    ledger.append(
        records.Refused(what="It cannot be read."),
        pipeline="flights",
        subject="weather",
        partition="2013-03-29",
    )
    days = ("2013-03-31", "2013-04-01", DAY)
    rules = [{"rule": "known_origin", "passed": False, "severity": "hold"}]
    for number, day in enumerate(days):
        hold("flights", day, f"{number} rows are wrong.", batch=f"c{number}", rules=rules)

    text = CliRunner().invoke(main, ["held", "flights"]).stdout
    found = json.loads(CliRunner().invoke(main, ["held", "flights", "--json"]).stdout)

    held, refused = (line for line in text.splitlines() if re.match(r"  \w+ +(arrivals|weather) 2013", line))
    assert held.startswith(f"  held            arrivals {', '.join(days)}  {3 * 983} rows, ")
    assert held.endswith("run days 2013-04-01, 2013-04-02, 2013-04-03")
    assert refused.startswith("  refused         weather 2013-03-29  rows unknown, ")
    assert text.count("rules: known_origin") == 1, "what is true of each is said once"
    assert "rows are wrong" not in text, "what is not is left out"
    assert [one["partition"] for one in found["pipelines"]["flights"]["held"]] == [*days, "2013-03-29"]


def test_held_of_a_reader_of_one_pipeline_shows_nothing_of_another_and_a_broken_one_hides_nothing(get):
    _, _, page = get("/air/evidence/_/held", cookie="_token=only-trains")
    assert "trains" in page
    assert "flights" not in page

    path = settings().pipelines / "trains.yml"
    path.write_text(path.read_text().replace("history_days", "histroy_days"))
    _, _, page = get("/air/evidence/_/held")
    assert "did you mean &#39;history_days&#39;?" in page
    assert "180 of 983 rows of flights" in page


def test_held_names_what_stands_beside_the_holds_as_the_command_does(get):
    (settings().home.parent / "landing" / "mystery.csv").write_text("x")
    assert "mystery.csv" in get("/air/evidence/_/held")[2]


def test_replay_from_the_page_starts_the_dag_with_table_and_day_filled_in(get, started):
    status, headers, form = get(REPLAY)
    assert status == 200
    assert "form-action 'self'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "same-origin", "else a browser sends the form without its origin"
    assert f'<form method="post" action="{REPLAY}">' in form
    assert "Starts flights_replay as ada." in form
    assert started == [], "to look at it starts nothing"

    status, _, page = get(REPLAY, form=sent(form), headers=OWN)

    asked = {"table": "arrivals", "day": DAY, "batch": "b", "overdue": "0"}
    assert (status, started) == (200, [("flights_replay", asked)])
    assert started.again == ["flights_ingest"]
    assert 'href="/air/dags/flights_replay/runs/manual%2F1%20%26%20more"' in page


def test_release_from_the_page_takes_what_the_form_of_the_dag_takes(get, started):
    page = get(RELEASE)[2]
    for wrong, said in (
        ({**WORD, "why": " "}, "It is released without a reason."),
        ({**WORD, "until": "2013-04-02"}, "2013-04-02 is over"),
        ({"why": ATTACK}, "is not a day"),
    ):
        status, _, form = get(RELEASE, form=sent(page, **wrong), headers=OWN)
        assert (status, said in unmarked(form), ATTACK in form) == (400, True, False), wrong
    assert "&gt;&lt;img src=x onerror=alert(1)&gt;</textarea>" in form, "what was typed is not lost"
    assert started == []

    assert get(RELEASE, form=sent(page, **WORD), headers=OWN)[0] == 200
    assert started == [("flights_release", {"table": "arrivals", "day": DAY, "batch": "b", **WORD})]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://{address}"},
    ],
)
def test_form_that_another_site_sends_starts_nothing(get, started, headers):
    headers = {name: value.format(address=get.address) for name, value in headers.items()}
    assert get(REPLAY, form="", headers=headers)[0] == 403
    assert started == []


def test_form_from_a_browser_that_names_only_its_origin_counts(get, started):
    assert get(REPLAY, form=sent(get(REPLAY)[2]), headers={"Origin": f"http://{get.address}"})[0] == 200
    assert len(started) == 1


def test_user_without_the_right_sees_why_and_cannot_send_the_form_all_the_same(get, started):
    for path in ("/air/evidence/_/held", REPLAY):
        page = get(path, cookie="_token=valid; viewer")[2]
        assert "may not start runs of flights_replay" in page, path
        assert "<form" not in page
        assert f'href="{REPLAY}' not in page
    assert get(REPLAY, form="", headers=OWN, cookie="_token=valid; viewer")[0] == 403
    for cookie, status in (("_token=forged", 401), ("_token=only-trains", 404)):
        for form in (None, ""):
            assert get(REPLAY, form=form, headers=OWN, cookie=cookie)[0] == status
    assert started == []


def test_form_about_nothing_that_is_held_or_that_airflow_refuses_says_so(get, started):
    fields = sent(get(REPLAY)[2])
    for path, said in (
        (REPLAY.replace(DAY, "2013-04-01"), "Nothing of flights.arrivals 2013-04-01 is held."),
        (REPLAY.replace(DAY, "yesterday"), "YYYY-MM-DD"),
        (REPLAY.replace("arrivals", "arivals"), "has no table &#39;arivals&#39;."),
    ):
        for form in (None, fields):
            status, _, page = get(path, form=form, headers=OWN)
            assert (status, said in unmarked(page), "<form" in page) == (400, True, False), path
    status, _, page = get(REPLAY, form=fields, headers=OWN, cookie="_token=valid; paused")
    assert (status, "flights_replay is paused." in page) == (400, True)
    assert get(REPLAY.replace("replay", "rollback"))[0] == 404
    assert get(REPLAY, form="", headers=OWN)[0] == 400, "not sent by the form"
    assert get(RELEASE, form="why=" + "x" * 30_000, headers=OWN)[0] == 413
    assert started == []


def test_hold_that_no_run_found_or_that_its_gate_did_not_judge_offers_what_is_possible(get, started):
    about = {"pipeline": "flights", "subject": "weather", "partition": DAY}
    ledger.append(records.Refused(what="It cannot be read.", error="DeliveryUnreadableError"), **about)
    page = get("/air/evidence/_/held")[2]
    weather = next(part for part in page.split("<article") if "flights.weather" in part)
    assert "weather 2013-04-02 was not held by a run of Airflow." in unmarked(weather)
    assert "Replay …" not in weather
    status, _, page = get(RELEASE.replace("arrivals", "weather"))
    assert (status, "cannot be released" in page, "<form" in page) == (400, True, False)


def test_replay_that_would_give_up_by_now_what_its_form_offered_to_replay_is_refused(get, started):
    flights = spec.load("flights")
    last_day = date.fromisoformat("2013-04-03") + timedelta(days=flights.hold_days)
    pipeline_clock.advance(flights, last_day)
    page = get(REPLAY)[2]
    assert ">Replay</button>" in page

    pipeline_clock.advance(flights, last_day + timedelta(days=1))
    status, _, again = get(REPLAY, form=sent(page), headers=OWN)

    assert (status, started) == (400, [])
    assert "this would now give it up" in again
    assert ">Give it up</button>" in again
    assert get(REPLAY, form=sent(again), headers=OWN)[0] == 200
    assert [conf["overdue"] for _, conf in started] == ["1"]
    assert started.again == [None], "which runs nothing again"


def test_release_of_another_batch_than_the_reason_was_written_for_is_refused(get, started):
    page = get(RELEASE)[2]
    hold("flights", DAY, "Half of the correction is missing.", batch="c")

    status, _, again = get(RELEASE, form=sent(page, **WORD), headers=OWN)

    assert (status, started) == (400, [])
    assert "flights.arrivals 2013-04-02, batch c, is what is held first now" in unmarked(again)
    assert "Half of the correction is missing." in again
    assert get(RELEASE, form=sent(again, **WORD), headers=OWN)[0] == 200
    assert [conf["batch"] for _, conf in started] == ["c"]


def test_form_that_is_sent_twice_starts_one_run_and_leads_to_it(get, started):
    page = get(REPLAY)[2]
    assert get(REPLAY, form=sent(page), headers=OWN)[0] == 200

    for form in (page, get(REPLAY)[2]):
        status, _, twice = get(REPLAY, form=sent(form), headers=OWN)
        assert (status, len(started)) == (409, 1)
        assert "flights_replay was asked for already" in twice
        assert "ada has asked" not in twice
        assert 'href="/air/dags/flights_replay/runs/manual%2F1%20%26%20more"' in twice

    # Once it was replayed, and is held still, it can be asked for again.
    done = {"repaired": 0, "still_held": 983, "expired": 0, "reason": "", "kind": "held", "batch_id": "b"}
    ledger.append(records.Replayed(**done), pipeline="flights", subject="arrivals", partition=DAY)
    assert get(REPLAY, form=sent(get(REPLAY)[2]), headers=OWN)[0] == 200
    assert len(started) == 2


def test_link_of_a_hold_that_a_newer_one_covers_says_so_and_opens_no_form_of_the_newer_one(get):
    hold("flights", f"{DAY}..2013-04-03", "The backfill is wrong.", batch="old")
    hold("flights", DAY, "The correction is wrong.", batch="new")
    cards = get("/air/evidence/_/held")[2].split("<article")[1:]
    (older,) = [card for card in cards if "The backfill is wrong." in card]
    (link,) = [found for found in Links(older).found if found.startswith(REPLAY)]

    status, _, page = get(link)

    assert (status, "<form" in page) == (400, False)
    assert "batch new, is what is held first now" in unmarked(page)
    (newer,) = [card for card in cards if "The correction is wrong." in card]
    (link,) = [found for found in Links(newer).found if found.startswith(REPLAY)]
    assert get(link)[0] == 200


def test_held_says_that_nothing_is_held_only_where_everything_could_be_read(get):
    assert "Nothing is held." in get("/air/evidence/_/held", cookie="_token=only-boats")[2]
    path = settings().pipelines / "trains.yml"
    path.write_text(path.read_text().replace("history_days", "histroy_days"))
    page = get("/air/evidence/_/held", cookie="_token=only-trains")[2]
    assert "histroy_days" in page
    assert "Nothing is held." not in page
