"""What is served, to whom, and under which policy."""

from __future__ import annotations

import base64
import hashlib
import lzma
import shutil
from html.parser import HTMLParser

import pytest

from sluice.core.settings import settings
from sluice.lake import evidence
from sluice_ml import snapshots
from tests.web.conftest import HELD
from tests.web.serving import Links


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
    assert len(seen) == 52


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


def test_pages_in_a_bucket_are_served_like_those_in_a_folder(reports, get, bucket, monkeypatch):
    paths = [
        "/",
        "/flights",
        f"/{HELD}.html",
        f"/-/{HELD}.html",
        f"/-/{HELD}.json",
        "/flights/dbt/index.html",
    ]
    paths += ["/flights/monitor/2013-04-02/index.html", "/flights/none.html", "/-/flights/%2e%2e/secret.html"]
    of_folder = [get(f"/air/evidence{path}")[::2] for path in paths]
    assert {status for status, _ in of_folder} == {200, 404}
    files = {path.relative_to(reports).as_posix(): path.read_bytes() for path in reports.rglob("*.*")}
    monkeypatch.setenv("SLUICE_EVIDENCE", f"s3://{bucket}/pages")
    settings.cache_clear()
    for name, content in files.items():
        evidence.write(name, content)
    shutil.rmtree(reports)
    assert [get(f"/air/evidence{path}")[::2] for path in paths] == of_folder


def test_bucket_that_does_not_answer_is_said(home, aws, get, monkeypatch):
    monkeypatch.setenv("SLUICE_EVIDENCE", "s3://no-such-bucket/pages")
    settings.cache_clear()
    status, _, body = get("/air/evidence/")
    assert status == 503
    assert "no-such-bucket" in body


def test_monitored_day_leads_to_its_model_and_a_gate_does_not(reports, get):
    _, _, day = get("/air/evidence/flights/monitor/2013-04-02/index.html")
    _, _, gate = get(f"/air/evidence/{HELD}.html")
    assert "/air/evidence/_/model/flights" in Links(day.split("<iframe")[0]).found
    assert not [link for link in Links(gate.split("<iframe")[0]).found if "/model/" in link]
