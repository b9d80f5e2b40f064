"""A reports folder as gates and monitoring leave it: a published range, a held day that was corrected, a drift report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI

from sluice.core.settings import ROOT, settings
from sluice.web.reports import create_app
from sluice_ml.monitored_day import DayNumbers
from tests.web.serving import reader, serving

# A page of `reports`, without its ending.
HELD = "flights/gates/arrivals/2013-04-03/20130404T080000000000-cccccc"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# What a report made from hostile data could hold: it says in its title whether it is sandboxed.
REPORT = """<!doctype html><title>report</title><body><p id="told">loading</p><a href="other.html">inner</a><script>
document.title = "script ran"
let origin = "kept"
try { document.cookie } catch (error) { origin = "opaque" }
fetch("/api/v2/dags").then(() => "reached", () => "blocked").then((api) => {
  document.getElementById("told").textContent = `${origin} ${api} LABEL`
})
for (const wanted of ["../../../index.html", "/auth/logout", "javascript:alert(1)", "https://example.com/"]) {
  parent.postMessage(wanted, "*")
}
</script>"""


def write_gate(reports: Path, table: str, partitions: list[str], batch: str, outcome: str) -> str:
    """Write a gate's page and verdict as the gate does; returns the page's path relative to `reports`."""
    folder = reports / "flights" / "gates" / table / partitions[0]
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{batch}.html"
    page.write_text(REPORT.replace("LABEL", f"{table} {outcome}"), encoding="utf-8")
    page.with_suffix(".json").write_text(
        json.dumps({"outcome": outcome, "partitions": partitions}), encoding="utf-8"
    )
    return page.relative_to(reports).as_posix()


def write_monitored_day(reports: Path, numbers: DayNumbers, action: str) -> None:
    """Write the page of a monitored day as monitoring does, and beside it Evidently's with their JSON."""
    from sluice.declare import spec
    from sluice.models.config import model_config
    from sluice_ml.monitored_day_page import page
    from sluice_ml.monitoring import MonitorDecision

    folder = reports / "flights" / "monitor" / numbers.ds
    folder.mkdir(parents=True)
    for name in ("drift", "summary"):
        (folder / f"{name}.html").write_text(REPORT.replace("LABEL", name), encoding="utf-8")
        (folder / f"{name}.json").write_text(json.dumps({"report": name}), encoding="utf-8")
    page(
        numbers,
        MonitorDecision(action, ("Some reason.",), {}),
        history=[numbers],
        model=model_config(spec.load("flights")),
        question="Which flights are late?",
        champion_lead=0.05,
        folder=folder,
    )


@pytest.fixture
def reports(tmp_path, home, measured_day) -> Path:
    root = tmp_path / "home" / "reports"
    march = [f"2013-03-{day:02}" for day in range(1, 32)]
    for table in ("schedule", "arrivals", "weather"):
        write_gate(root, table, march, "20130401T080000000000-aaaaaa", "PASS")
        for day in ("2013-04-01", "2013-04-02"):
            write_gate(root, table, [day], "20130402T080000000000-bbbbbb", "PASS")
    write_gate(root, "arrivals", ["2013-04-03"], "20130404T080000000000-cccccc", "HOLD")
    write_gate(root, "arrivals", ["2013-04-03"], "20130404T100000000000-dddddd", "PASS")
    write_gate(root, "weather", ["2013-04-03"], "20130404T080000000000-eeeeee", "WARN")
    write_monitored_day(root, measured_day("2013-04-02"), "warn")
    dbt = root / "flights" / "dbt"
    dbt.mkdir()
    (dbt / "index.html").write_text(REPORT.replace("LABEL", "dbt"), encoding="utf-8")
    return root


@pytest.fixture
def get(reports):
    """Requests to the application where Airflow mounts it."""
    outer = FastAPI(root_path="/air")
    outer.mount("/evidence", create_app(reader=reader))
    with serving(outer) as get:
        yield get


@pytest.fixture
def two_pipelines(tmp_path, monkeypatch):
    """The declarations of `flights` and, as a copy under another name, of `trains`."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    for name in ("flights", "trains"):
        (folder / f"{name}.yml").write_text(text.replace("pipeline: flights", f"pipeline: {name}"))
    monkeypatch.setenv("SLUICE_PIPELINES", str(folder))
    settings.cache_clear()


@pytest.fixture
def page():
    """A page of a real browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(f"NOT TESTED: the pages in a browser, because none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": 1280, "height": 800})
        finally:
            browser.close()
