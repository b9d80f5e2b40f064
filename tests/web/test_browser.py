"""How the pages look in a real browser, without an Airflow around them."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from sluice.web.reports import create_app
from tests.web.conftest import write_gate, write_monitored_day
from tests.web.serving import serving

pytestmark = pytest.mark.slow

# As many tables as flights has, one of them corrected several times.
TABLES = ("airlines", "airports", "features", "outcomes", "planes", "predictions")


@pytest.fixture
def address(reports, measured_day):
    """Where the pages are served."""
    for number, table in enumerate(TABLES):
        write_gate(reports, table, [f"2013-04-{day:02}" for day in range(1, 31)], f"2013050{number}", "PASS")
    for number in range(4):
        write_gate(reports, "predictions", ["2013-04-02"], f"2013041{number}", "HOLD")
    for day in ("2013-04-01", "2013-04-03", "2013-04-04"):
        write_monitored_day(reports, measured_day(day), "nothing")
    app = FastAPI()
    app.mount("/evidence", create_app(reader=lambda: lambda pipeline: True))
    with serving(app) as get:
        yield f"http://{get.address}/evidence/"


@pytest.mark.parametrize("width", [1440, 1024])
def test_index_shows_every_column_in_a_window_of_this_width(address, page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)

    last = page.get_by_role("columnheader", name="monitor")
    box = last.bounding_box()
    assert box["x"] + box["width"] <= width
    assert page.locator(".scroll").evaluate("box => box.scrollWidth <= box.clientWidth")


def test_index_that_is_wider_than_its_window_keeps_the_partition_in_sight(address, page):
    page.set_viewport_size({"width": 600, "height": 900})
    page.goto(address)
    day = page.get_by_role("rowheader", name="2013-04-03")
    before = day.bounding_box()["x"]

    page.locator(".scroll").evaluate("box => box.scrollLeft = box.scrollWidth")

    assert page.get_by_role("columnheader", name="monitor").bounding_box()["x"] < 600
    assert day.bounding_box()["x"] == before


def test_report_in_a_frame_can_open_the_pages_beside_it_and_nothing_else(address, page):
    page.goto(f"{address}flights/monitor/2013-04-02/drift.html")
    told = page.frame_locator("iframe").locator("#told")
    # The report has asked for pages that the frame has no link to.
    told.get_by_text("drift").wait_for()
    assert page.url == f"{address}flights/monitor/2013-04-02/drift.html"

    page.frames[1].evaluate("parent.postMessage('summary.html', '*')")

    told.get_by_text("summary").wait_for()
    assert page.url == f"{address}flights/monitor/2013-04-02/summary.html"
