from __future__ import annotations

import shutil

import pytest

from sluice.core.links import evidence_url
from sluice.core.settings import settings
from sluice.web import index
from tests.web.conftest import write_monitored_day


def cell(evidence: index.Evidence, day: str, column: str) -> list[str]:
    """Labels of the pages of one cell."""
    return [page.label for page in dict(evidence.rows)[day][evidence.columns.index(column)]]


def test_read_lists_partitions_newest_first_and_gates_before_the_rest(reports):
    evidence = index.read("flights", days=31)

    assert [day for day, _ in evidence.rows] == ["2013-04-03", "2013-04-02", "2013-04-01", "2013-03-01"]
    assert evidence.columns == ("arrivals", "schedule", "weather", "monitor")
    assert [page.label for page in evidence.standing] == ["dbt"]
    assert evidence.older is None


def test_read_corrected_day_shows_the_newest_verdict_first_and_the_hold_still(reports):
    evidence = index.read("flights", days=31)

    assert cell(evidence, "2013-04-03", "arrivals") == ["PASS", "HOLD"]
    assert cell(evidence, "2013-04-03", "schedule") == []


@pytest.mark.parametrize(
    ("action", "shown"),
    [("nothing", ("no action", "PASS")), ("warn", ("warn", "WARN")), ("retrain", ("retrain", "HOLD"))],
)
def test_read_monitored_day_is_one_page_with_its_decision(reports, measured_day, action, shown):
    write_monitored_day(reports, measured_day("2013-04-03"), action)

    evidence = index.read("flights", days=1)

    ((page,),) = [pages for pages in evidence.rows[0][1] if any("monitor" in page.path for page in pages)]
    assert (page.path, page.label, page.outcome) == ("flights/monitor/2013-04-03/index.html", *shown)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"action": "dance"}', None])
def test_read_monitored_day_without_a_readable_decision_is_listed_by_its_day(reports, damage):
    numbers = reports / "flights/monitor/2013-04-02/numbers.json"
    numbers.unlink() if damage is None else numbers.write_text(damage)

    assert cell(index.read("flights", days=31), "2013-04-02", "monitor") == ["2013-04-02"]


def test_read_folder_of_a_day_without_a_page_of_its_own_lists_all_pages(reports):
    folder = reports / "flights/changes/2013-04-02"
    folder.mkdir(parents=True)
    for name in ("weather_b", "arrivals_a"):
        (folder / f"{name}.html").write_text("x")

    assert cell(index.read("flights", days=31), "2013-04-02", "changes") == [
        "arrivals a",
        "weather b",
    ]


def test_read_batch_of_many_days_says_how_many(reports):
    assert cell(index.read("flights", days=31), "2013-03-01", "arrivals") == ["PASS, 31 days"]


def test_read_a_few_days_at_a_time_reaches_every_day_once(reports):
    seen, before = [], None
    while True:
        evidence = index.read("flights", days=2, before=before)
        seen += [day for day, _ in evidence.rows]
        before = evidence.older
        if before is None:
            break

    assert seen == ["2013-04-03", "2013-04-02", "2013-04-01", "2013-03-01"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"outcome": "PASS"}', None])
def test_read_page_without_a_readable_verdict_is_listed_as_such(reports, damage):
    verdict = reports / "flights/gates/weather/2013-04-03/20130404T080000000000-eeeeee.json"
    verdict.unlink() if damage is None else verdict.write_text(damage)

    assert cell(index.read("flights", days=31), "2013-04-03", "weather") == ["no verdict"]


def test_read_without_any_evidence_finds_nothing(tmp_path):
    assert index.pipelines() == []
    assert index.read("flights", days=7) is None


@pytest.mark.parametrize("name", ["", ".", "..", "flights/gates", "weather", "../reports/flights"])
def test_read_of_what_is_no_pipeline_finds_nothing(reports, name):
    assert index.read(name, days=7) is None


def test_read_opens_only_the_verdicts_of_the_days_it_shows(reports):
    whole = index.read("flights", days=1)
    # Were an older day's folder opened, its damage would be an error here.
    for table in ("schedule", "arrivals", "weather"):
        folder = reports / "flights/gates" / table / "2013-03-01"
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "x.html").mkdir()

    assert index.read("flights", days=1) == whole


@pytest.mark.parametrize(
    ("ui", "expected"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/plugin/evidence/evidence/flights/a%20b.html"),
        (
            "https://air.example.com/flow/",
            "https://air.example.com/flow/plugin/evidence/flow/evidence/flights/a%20b.html",
        ),
    ],
)
def test_evidence_url_leads_through_the_ui(home, monkeypatch, ui, expected):
    monkeypatch.setenv("SLUICE_UI_URL", ui)
    settings.cache_clear()

    assert evidence_url("flights/a b.html") == expected
