from __future__ import annotations

import base64
import hashlib
import http.client
import lzma
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import date
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request

from sluice import ledger, waivers
from sluice.core.errors import LandingUnreachableError
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records
from sluice.status import today
from sluice.web import released
from sluice.web.reports import Card, create_app
from sluice_ml import snapshots

HELD = "flights/gates/arrivals/2013-04-03/20130404T080000000000-cccccc"


def reader(request: Request):
    """Stands for Airflow's login, which `test_airflow.py` uses: the cookie says which pipelines may be read."""
    token = request.cookies.get("_token", "")
    if token != "valid" and not token.startswith("only-"):
        raise HTTPException(401)
    return lambda pipeline: token in ("valid", f"only-{pipeline}")


@contextmanager
def serving(app: FastAPI):
    """The application on a real server; yields a function that requests a path exactly as written, with its `address`.

    With a `form` it sends that, as the page of another site does unless `headers` say otherwise.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def get(
        path: str, *, cookie: str = "_token=valid", form: str | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection(*listener.getsockname(), timeout=60)
        try:
            method = "GET" if form is None else "POST"
            connection.request(method, path, form, {"Cookie": cookie, **headers})
            response = connection.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            connection.close()

    get.address = "{}:{}".format(*listener.getsockname())  # type: ignore[attr-defined]
    try:
        yield get
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@pytest.fixture
def get(reports):
    """Requests to the application where Airflow mounts it."""
    outer = FastAPI(root_path="/air")
    outer.mount("/evidence", create_app(reports, reader=reader))
    with serving(outer) as get:
        yield get


class Links(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("href", "src")]


class Scripts(HTMLParser):
    """The texts of all scripts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._inside = tag == "script"

    def handle_data(self, data):
        if self._inside:
            self.found.append(data)

    def handle_endtag(self, tag):
        self._inside = False


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/flights",
        f"/{HELD}.html",
        f"/-/{HELD}.html",
        f"/-/{HELD}.json",
        "/no",
        "/-/no",
        "/_/held",
        "/_/no",
    ],
)
def test_every_path_without_login_is_refused_and_says_nothing(get, path):
    status, _, body = get(f"/air/evidence{path}", cookie="_token=forged")

    assert status == 401
    assert "HOLD" not in body


def test_every_link_of_every_page_leads_somewhere(get):
    seen, todo = set(), ["/air/evidence/"]
    while todo:
        url = todo.pop()
        # Of a partition the ledger has to know, which here has no entries: `test_partition.py` follows these.
        if url in seen or "/_/partition/" in url:
            continue
        seen.add(url)
        status, headers, body = get(url)
        assert status == 200, url
        if "/-/" not in url and headers["Content-Type"].startswith("text/html"):
            todo += Links(body).found

    assert f"/air/evidence/{HELD}.html" in seen
    assert f"/air/evidence/-/{HELD}.html" in seen
    assert f"/air/evidence/-/{HELD}.json" in seen
    assert "/air/evidence/-/flights/dbt/index.html" in seen
    assert len(seen) == 50


def test_pages_of_a_monitored_day_are_one_click_apart(get):
    _, _, body = get("/air/evidence/flights/monitor/2013-04-02/index.html")
    links = Links(body.split("<iframe")[0]).found
    assert "/air/evidence/flights/monitor/2013-04-02/drift.html" in links
    assert "/air/evidence/-/flights/monitor/2013-04-02/drift.json" in links
    _, _, gate = get(f"/air/evidence/{HELD}.html")
    assert "sibling" not in gate.split("<nav>")[1], "gate runs of a partition do not belong together"


def test_report_is_sandboxed_and_never_cached(get):
    status, headers, body = get(f"/air/evidence/-/{HELD}.html")

    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "arrivals HOLD" in body
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts allow-popups;")
    assert "allow-same-origin" not in policy
    assert "connect-src 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/flights", f"/{HELD}.html", "/no", "/_/held"])
def test_own_page_runs_only_the_scripts_that_its_policy_names_and_is_never_cached(get, path):
    _, headers, body = get(f"/air/evidence{path}")

    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["form-action"] == "'none'"
    known = Scripts(get(f"/air/evidence/{HELD}.html")[2]).found
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in known]
    assert policy["script-src"] == " ".join(f"'sha256-{digest}'" for digest in digests)
    assert Scripts(body).found in (known[:1], known)
    assert headers["Cache-Control"] == "no-store"


@pytest.fixture
def snapshot(reports):
    """The folder of a monitored day whose drift report is kept as Evidently's snapshot."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    folder = reports / "flights/monitor/2013-04-02"
    assert (folder / "drift.html").is_file()  # of an earlier version
    sides = [
        Dataset.from_pandas(
            pd.DataFrame({"wind_mph": values}), DataDefinition(numerical_columns=["wind_mph"])
        )
        for values in ([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 5.0])
    ]
    snapshots.save(Report([DataDriftPreset()]).run(*sides), folder, "drift")
    return folder / f"drift{snapshots.ENDING}"


@pytest.mark.slow
def test_report_that_is_kept_as_a_snapshot_is_a_page_for_whoever_may_read_it(get, snapshot):
    page = "/air/evidence/-/flights/monitor/2013-04-02/drift.html"
    status, headers, body = get(page)
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "sandbox allow-scripts" in headers["Content-Security-Policy"]
    assert "wind_mph" in body

    _, _, frame = get("/air/evidence/flights/monitor/2013-04-02/index.html")
    links = Links(frame.split("<iframe")[0]).found
    assert page.replace("/-/", "/") in links
    assert page.replace(".html", ".json") in links

    assert get(page, cookie="_token=forged")[0] == 401
    assert get(page, cookie="_token=only-trains")[0] == 404
    for damaged in (b"damaged", lzma.compress(b'{"timestamp": 1}')):
        snapshot.write_bytes(damaged)
        assert get(page)[0] == 404


def test_report_outside_the_folder_or_of_no_kind_is_not_found(reports, get):
    (reports.parent / "secret.html").write_text("secret")
    (reports / "link.html").symlink_to(reports.parent / "secret.html")
    (reports / "linked").symlink_to(reports.parent)
    (reports / "loop.html").symlink_to(reports / "loop.html")
    (reports / "flights" / "notes.txt").write_text("secret")
    paths = [
        "../secret.html",
        "%2e%2e/secret.html",
        "..%2fsecret.html",
        "%2e%2e%2fsecret.html",
        "flights/../../secret.html",
        "flights%2f..%2f..%2fsecret.html",
        "..%5csecret.html",
        "%252e%252e/secret.html",
        "link.html",
        "linked/secret.html",
        "loop.html",
        "flights/notes.txt",
        "flights",
        "flights/",
        "a%00b.html",
        "x" * 5000 + ".html",
        "",
        "no-such.html",
        str(reports.parent / "secret.html"),
    ]

    for prefix in ("/air/evidence/-/", "/air/evidence/-//", "/air/evidence/flights/../-/"):
        answers = {path: get(prefix + path) for path in paths}

        assert {path: status for path, (status, _, _) in answers.items() if status != 404} == {}
        assert [path for path, (_, _, body) in answers.items() if "secret" in body] == []


def test_names_with_markup_are_shown_and_not_obeyed(reports, get):
    attack = '"><img src=x onerror=alert(1)>'
    folder = reports / "flights" / "gates" / attack / "2013-04-03"
    folder.mkdir(parents=True)
    (folder / f"{attack.replace('/', '')}.html").write_text("x")

    _, _, body = get("/air/evidence/")

    assert "<img" not in body
    assert "&lt;img" in body


def test_index_before_the_first_gate_says_so(tmp_path):
    with serving(create_app(tmp_path / "none", reader=reader)) as get:
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

    said = "arrivals 2013-04-03 is shown on the word of Ada, until 2013-04-05: &lt;b&gt;Confirmed&lt;/b&gt;."
    for path in ("/air/evidence/", "/air/evidence/flights"):
        body = get(path)[2]
        assert said in body
        assert re.search(rf'<a class="chip WARN" href="[^"]*{batch}.html"[^>]*>HOLD, released</a>', body)
    assert "on the word of Ada" in get(f"/air/evidence/{HELD}.html")[2]
    assert "on the word of" not in get(f"/air/evidence/{schedule}.html")[2]
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
    with serving(create_app(reports, reader=reader, undelivered=lambda may_read: [line])) as get:
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
    with serving(create_app(reports, reader=reader, today={"flights": card}.get)) as get:
        page = get("/")[2]
    assert '<p class="said">The predictions of 2013-04-03 are not made.</p>' in page
    assert "is held: &lt;b&gt;180&lt;/b&gt; of 900 rows." in page
    assert '<li class="HOLD" title="2013-04-03: held or missing">' in page
    assert '<dt>scored by</dt><dd><a href="/_/model/flights">version 1</a></dd>' in page

    def unknown(pipeline):
        raise LandingUnreachableError(f"The landing zone of {pipeline} does not answer.", where="s3://x")

    with serving(create_app(reports, reader=reader, today=unknown)) as get:
        status, _, page = get("/")
    assert (status, "The landing zone of flights does not answer." in page) == (200, True)


@pytest.fixture
def trains(reports, tmp_path, monkeypatch):
    """Evidence of a second pipeline, whose YAML can be broken."""
    page = reports / "trains" / "gates" / "stops" / "2013-04-03" / "20130404T080000000000-ffffff.html"
    page.parent.mkdir(parents=True)
    page.write_text("rows of trains")
    page.with_suffix(".json").write_text('{"outcome": "HOLD", "partitions": ["2013-04-03"]}')
    folder = tmp_path / "pipelines"
    folder.mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    (folder / "flights.yml").write_text(text)
    (folder / "trains.yml").write_text(text.replace("pipeline: flights", "pipeline: trains"))
    monkeypatch.setenv("SLUICE_PIPELINES", str(folder))
    settings.cache_clear()
    return page.relative_to(reports).as_posix().removesuffix(".html")


def test_reader_of_one_pipeline_sees_nothing_of_another_by_any_way(reports, trains, get):
    (reports / "flights" / "linked.html").symlink_to(reports / f"{trains}.html")
    (reports / "flights" / "folder").symlink_to(reports / "trains")
    tail = trains.removeprefix("trains/")
    ways = [
        "/trains",
        "/trains/",
        f"/{trains}.html",
        f"/-/{trains}.html",
        f"/-/{trains}.json",
        f"/-/flights/../{trains}.html",
        f"/-/flights%2f..%2f{trains}.json",
        f"/flights/../{trains}.html",
        "/-/flights/linked.html",
        "/flights/linked.html",
        f"/-/flights/folder/{tail}.json",
    ]
    for way in ways:
        status, _, body = get(f"/air/evidence{way}", cookie="_token=only-flights")
        shown = body.split("</style>")[-1]
        assert (status, "rows of trains" in shown, "HOLD" in shown) == (404, False, False), way
        assert get(f"/air/evidence{way}", cookie="_token=only-trains")[0] == 200, way

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
