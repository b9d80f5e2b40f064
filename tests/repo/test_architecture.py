"""The page of the architecture shows the rooms that the code has."""

from __future__ import annotations

from docs import pictures


def test_page_shows_every_layer_of_the_import_rules():
    packages = pictures.layers()
    assert sum(len(rows) for rows in packages.values()) > 5
    redraw = "the layers have changed: .venv/bin/python -m docs.pictures"
    assert pictures.ROOMS.read_text() == pictures.draw_rooms(packages), redraw
    page = pictures.PAGE.read_text()
    assert page == pictures.with_table(page, pictures.table(packages)), redraw


def test_picture_names_each_module_as_a_folder_or_a_file():
    drawn = pictures.draw_rooms({"sluice": [["crossing"], ["gates", "ledger"]]})
    assert ">crossing.py<" in drawn
    assert drawn.index(">crossing.py<") < drawn.index(">gates/<") < drawn.index(">ledger/<")
    assert "| `plugins/sluice/gates/` | " in pictures.table({"sluice": [["gates"]]})
