"""The pages of the model card and the datasheet: who sees them, what is said of whom, in a browser and with hostile words."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.card import Card
from sluice.models import cards, training
from sluice.web.reports import create_app
from tests.models.conftest import DAY, RUN, candidate, flights, trained
from tests.web.serving import reader, serving
from tests.web.test_held import ATTACK
from tests.web.test_partition import words

__all__ = ["candidate", "flights", "trained"]

pytestmark = pytest.mark.slow

MODEL = "/air/evidence/_/model/flights"
HOSTILE = Card(
    intended_use=f"{ATTACK} <script>alert(1)</script>", caveats="\x1b[2J\u202e gpj", motivation="x" * 5000
)


@pytest.fixture
def get(flights, trained, monkeypatch):
    training.audit_candidate(flights, trained(), DAY, RUN)
    training.promote_candidate(flights, 1, DAY, RUN)
    trained()
    hostile = flights.model_copy(update={"model": flights.model.model_copy(update={"card": HOSTILE})})
    monkeypatch.setattr(spec, "load", lambda _: hostile)
    outer = FastAPI(root_path="/air")
    outer.mount("/evidence", create_app(reader=reader))
    with serving(outer) as get:
        yield get


def test_page_shows_the_champion_or_the_version_that_is_asked_for(get):
    status, headers, page = get(f"{MODEL}/card")
    read = words(page)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert "Model card: flights_late_arrival, version 1" in read
    assert "Version 1 is champion." in read
    assert "not stated (model.card.out_of_scope_uses)" in read
    assert f'href="{MODEL}/datasheet?version=1"' in page
    assert "Version 2 is a candidate." in words(get(f"{MODEL}/datasheet?version=2")[2])


def test_hostile_statements_are_text(get):
    for name in cards.DOCUMENTS:
        page = get(f"{MODEL}/{name}")[2]
        assert ATTACK not in page
        assert "<script>alert" not in page
        assert all(line.isprintable() for line in page.split("\n"))
    assert "\\x1b[2J\\u202e gpj" in get(f"{MODEL}/card")[2]


def test_markdown_is_what_the_command_prints(get):
    status, headers, text = get(f"{MODEL}/card.md")
    assert (status, headers["Content-Disposition"]) == (200, 'attachment; filename="card-1.md"')
    assert headers["Content-Type"].startswith("text/markdown")
    assert text == cards.markdown("card", spec.load("flights"))
    assert "\\<script\\>" in text


@pytest.mark.parametrize("name", [*cards.DOCUMENTS, "card.md"])
def test_card_of_another_pipeline_or_of_no_version_is_not_there(get, name):
    assert get(f"{MODEL}/{name}", cookie="_token=forged")[0] == 401
    status, _, page = get(f"{MODEL}/{name}", cookie="_token=only-trains")
    assert (status, "late_arrival" in page) == (404, False)
    assert get(f"{MODEL}/{name}?version=9")[0] == 404
    assert get(f"{MODEL}/{name}?version=one")[0] == 422
    assert get(f"{MODEL}/other{name}")[0] == 404


def test_declaration_that_cannot_be_read_is_explained(get, monkeypatch, tmp_path):
    monkeypatch.undo()
    (tmp_path / "flights.yml").write_text("pipeline: flights\n")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    status, _, page = get(f"{MODEL}/card")
    assert (status, "required" in page) == (503, True)
    assert get(f"{MODEL}/card.md")[0] == 503


def test_page_of_the_model_leads_to_both_of_champion_and_candidate(get):
    page = get(MODEL)[2]
    for version in (1, 2):
        for name in cards.DOCUMENTS:
            assert f'href="{MODEL}/{name}?version={version}"' in page


@pytest.mark.parametrize("name", list(cards.DOCUMENTS))
def test_page_fits_a_telephone_and_asks_for_nothing_else(get, page, name):
    page.context.add_cookies([{"name": "_token", "value": "valid", "url": f"http://{get.address}"}])
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for width in (360, 1000):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"http://{get.address}{MODEL}/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") == width
    assert set(asked) == {f"http://{get.address}{MODEL}/{name}"}


def test_page_follows_a_dark_theme(get, page):
    page.context.add_cookies([{"name": "_token", "value": "valid", "url": f"http://{get.address}"}])
    shown = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"http://{get.address}{MODEL}/card")
        shown.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert shown == ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]
