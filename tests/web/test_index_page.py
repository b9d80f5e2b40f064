"""The index of all pipelines: how each stands, what is released, and nothing of a pipeline for who may not read it."""

from __future__ import annotations

import re
from datetime import date
from types import SimpleNamespace

import pytest

from sluice import ledger, waivers
from sluice.core.errors import LandingUnreachableError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records
from sluice.status import today
from sluice.web import released
from sluice.web.reports import Card, create_app
from tests.web.conftest import HELD
from tests.web.serving import reader, serving


def test_index_before_the_first_gate_says_so(tmp_path):
    with serving(create_app(reader=reader)) as get:
        status, _, body = get("/")

    assert status == 200
    assert "No gate has run yet." in body


def test_index_and_pages_of_a_released_day_say_on_whose_word_it_is_shown(get):
    """Also once the word is over; a reason that looks like HTML stays text."""
    flights = spec.load("flights")
    pipeline_clock.advance(flights, date(2013, 4, 4))
    about = {"pipeline": "flights", "subject": "arrivals", "partition": "2013-04-03"}
    batch, word = HELD.rsplit("/", 1)[1], {"by": "Ada", "why": "<b>Confirmed</b>.", "until": "2013-04-05"}
    verdict = {"batch_id": batch, "verdict_id": "v", "outcome": "HOLD"}
    ledger.append(records.Held(**verdict), **about)
    waivers.grant(
        flights, "arrivals", "2013-04-03", content_hash="c", rules=[], batch_id=batch, verdict_id="v", **word
    )
    ledger.append(records.Published(batch_id=batch), **about)
    schedule = "flights/gates/schedule/2013-04-02/20130402T080000000000-bbbbbb"

    said = "arrivals 2013-04-03 is shown under the waiver of Ada, until 2013-04-05: &lt;b&gt;Confirmed&lt;/b&gt;."
    for path in ("/air/evidence/", "/air/evidence/flights"):
        body = get(path)[2]
        assert said in body
        assert re.search(rf'<a class="chip WARN" href="[^"]*{batch}.html"[^>]*>HOLD, released</a>', body)
    assert "under the waiver of Ada" in get(f"/air/evidence/{HELD}.html")[2]
    assert "under the waiver of" not in get(f"/air/evidence/{schedule}.html")[2]
    assert [one.day for one in released.of_page(f"flights/gates/arrivals/2013-04-03/{batch}.html")] == [
        "2013-04-03"
    ]
    assert released.of_page(f"flights/gates/arrivals/2013-04-02/{batch}.html") == (), "another day of it"

    pipeline_clock.advance(flights, date(2013, 4, 6))
    body = get("/air/evidence/flights")[2]
    assert re.search(rf'<a class="chip HOLD" href="[^"]*{batch}.html"[^>]*>HOLD, release is over</a>', body)
    assert "which is over" in get(f"/air/evidence/{HELD}.html")[2]


def test_index_shows_mails_that_could_not_be_delivered(reports):
    line = "Not delivered since 2013-04-04 06:00 UTC: [sluice][HOLD] flights arrivals <2013-04-03>."
    with serving(create_app(reader=reader, undelivered=lambda may_read: [line])) as get:
        _, _, page = get("/")

    assert "[sluice][HOLD] flights arrivals &lt;2013-04-03&gt;" in page


def test_index_says_above_the_pages_how_a_pipeline_stands_and_why_where_that_cannot_be_read(reports):
    card = Card(
        outcome="HOLD",
        sentence="The predictions of 2013-04-03 are not made.",
        reasons=("arrivals 2013-04-02 is held: <b>180</b> of 900 rows.",),
        facts=today.facts(
            SimpleNamespace(scorer="version 1", monitoring="", held=1, oldest_days=0, next_run=None)
        ),
        strip=[("2013-04-03", "HOLD", "held or missing")],
    )
    with serving(create_app(reader=reader, today={"flights": card}.get)) as get:
        page = get("/")[2]
    assert '<p class="said">The predictions of 2013-04-03 are not made.</p>' in page
    assert "is held: &lt;b&gt;180&lt;/b&gt; of 900 rows." in page
    assert '<li class="HOLD" title="2013-04-03: held or missing">' in page
    assert '<dt>scored by</dt><dd><a href="/_/model/flights">version 1</a></dd>' in page

    def unknown(pipeline):
        raise LandingUnreachableError(f"The landing zone of {pipeline} does not answer.", where="s3://x")

    with serving(create_app(reader=reader, today=unknown)) as get:
        status, _, page = get("/")
    assert (status, "The landing zone of flights does not answer." in page) == (200, True)


@pytest.fixture
def trains(reports, two_pipelines):
    """Evidence of a second pipeline, whose YAML can be broken."""
    page = reports / "trains" / "gates" / "stops" / "2013-04-03" / "20130404T080000000000-ffffff.html"
    page.parent.mkdir(parents=True)
    page.write_text("rows of trains")
    page.with_suffix(".json").write_text('{"outcome": "HOLD", "partitions": ["2013-04-03"]}')
    return page.relative_to(reports).as_posix().removesuffix(".html")


def test_reader_of_one_pipeline_sees_nothing_of_another_by_any_way(reports, trains, get):
    (reports / "flights" / "linked.html").symlink_to(reports / f"{trains}.html")
    (reports / "flights" / "folder").symlink_to(reports / "trains")
    tail = trains.removeprefix("trains/")
    own = ["/trains", "/trains/", f"/{trains}.html", f"/-/{trains}.html", f"/-/{trains}.json"]
    nobodys = [
        f"/-/flights/../{trains}.html",
        f"/-/flights%2f..%2f{trains}.json",
        f"/flights/../{trains}.html",
        "/-/flights/linked.html",
        "/flights/linked.html",
        f"/-/flights/folder/{tail}.json",
    ]
    for way in (*own, *nobodys):
        status, _, body = get(f"/air/evidence{way}", cookie="_token=only-flights")
        shown = body.split("</style>")[-1]
        assert (status, "rows of trains" in shown, "HOLD" in shown) == (404, False, False), way
        status, _, _ = get(f"/air/evidence{way}", cookie="_token=only-trains")
        assert status == (200 if way in own else 404), way

    status, _, body = get("/air/evidence/", cookie="_token=only-flights")
    assert status == 200
    assert "flights" in body
    assert "trains" not in body
    _, _, other = get("/air/evidence/", cookie="_token=only-trains")
    assert "trains" in other
    assert "flights" not in other


@pytest.mark.parametrize("fault", ["broken YAML", "no feed clock"])
def test_pipeline_that_cannot_be_read_keeps_its_pages_and_says_so_and_the_others_are_as_before(
    reports, trains, get, fault
):
    about = {"pipeline": "trains", "subject": "arrivals", "partition": "2013-04-03"}
    word = {"by": "Ada", "why": "Confirmed.", "until": "2013-04-05", "batch_id": "b", "content_hash": "c"}
    ledger.append(records.Held(batch_id="b", verdict_id="v", outcome="HOLD"), **about)
    ledger.append(records.Waiver(**word, verdict_id="v", rules=[]), **about)
    ledger.append(records.Published(batch_id="b"), **about)
    said = "the feed has not delivered a day yet"
    if fault == "broken YAML":
        path = settings().pipelines / "trains.yml"
        path.write_text(path.read_text().replace("history_days", "histroy_days"))
        said = "did you mean &#39;history_days&#39;?"

    for way, shows_flights in (("/", True), ("/trains", False), (f"/{trains}.html", False)):
        status, _, body = get(f"/air/evidence{way}")
        assert status == 200, way
        assert said in body, way
        assert ("2013-04-02" in body) or not shows_flights
    assert get(f"/air/evidence/-/{trains}.html")[2] == "rows of trains"
    assert said not in get("/air/evidence/flights")[2]
    # Whoever may not read it learns nothing of its problem either.
    assert said not in get("/air/evidence/", cookie="_token=only-flights")[2]


def test_broken_pipeline_without_evidence_is_on_the_index(reports, trains, get):
    (settings().pipelines / "boats.yml").write_text("pipeline: [")
    assert "boats.yml" in get("/air/evidence/")[2]
