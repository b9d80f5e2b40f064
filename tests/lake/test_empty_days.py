"""A day without rows is shown, pinned and replaced like any other, although no Iceberg table has a file for it."""

from __future__ import annotations

import pytest

from sluice.core import failpoints
from sluice.lake import connection, empty_days, tables

DAY, NEXT = "2013-01-01", "2013-01-02"


@pytest.fixture
def publish(stage, rows):
    """Function: publish both days, of which only some have rows."""

    def of(*full: str):
        manifest = stage(DAY, NEXT, data=rows(*full))
        tables.publish(manifest, verdict_id="v", empty=manifest.empty)
        return manifest

    return of


def shown(snapshot_id=None):
    found = tables.published("flights", "weather", DAY, NEXT, snapshot_id=snapshot_id)
    return {day: (one.batch_id, one.rows > 0) for day, one in found.items()}


def test_each_snapshot_keeps_its_days_without_rows(publish):
    seen = {}
    for full in ([NEXT], [DAY, NEXT], [NEXT], [], [DAY]):
        batch_id = publish(*full).batch_id
        seen[tables.snapshot_id("flights", "weather")] = {day: (batch_id, day in full) for day in (DAY, NEXT)}
        assert {one: shown(one) for one in seen} == seen
    assert shown() == seen[tables.snapshot_id("flights", "weather")]


def test_table_is_read_of_which_nothing_but_days_without_rows_was_ever_published(publish, rows):
    publish()
    assert tables.scan("flights", "weather", DAY, NEXT).num_rows == 0
    publish(NEXT)
    assert tables.scan("flights", "weather", DAY, NEXT).num_rows == rows(NEXT).num_rows


def test_older_batch_with_rows_does_not_undo_a_newer_one_without_that_comes_between(
    publish, stage, rows, monkeypatch
):
    """pyiceberg tries a lost commit again, with the properties that it was given: they must not be the newer batch's."""
    publish(NEXT)
    older, newer = stage(DAY), stage(DAY, data=rows())

    def hit(point: str) -> None:
        if point == "publish.before_commit":
            monkeypatch.undo()
            tables.publish(newer, verdict_id="v", empty=[DAY])

    monkeypatch.setattr(failpoints, "hit", hit)
    tables.publish(older, verdict_id="v")
    assert shown()[DAY] == (newer.batch_id, False)


def test_marks_of_the_first_homes_are_read_and_replaced(publish):
    manifest = publish(NEXT)
    with connection.opened() as lake:
        table = lake.load_table(("flights", "weather"))
        with table.transaction() as change:
            change.remove_properties(f"{empty_days.EMPTY}{DAY}.{manifest.batch_id}")
            change.set_properties({f"{empty_days.EMPTY}{DAY}": f"{manifest.batch_id} 0"})
    pinned = tables.pin("flights", "weather", "a-training")
    before = shown()
    assert before[DAY] == (manifest.batch_id, False)
    filled = publish(DAY, NEXT).batch_id
    assert shown() == {DAY: (filled, True), NEXT: (filled, True)}
    assert shown(pinned) == before


def test_last_publication_is_the_newest_with_rows(stage, rows):
    assert tables.last_publication("flights", "weather") is None
    full, empty = stage(DAY, data=rows(DAY)), stage(NEXT, data=rows())
    tables.publish(full, verdict_id="v")
    tables.publish(empty, verdict_id="v", empty=[NEXT])
    assert tables.last_publication("flights", "weather").batch_id == full.batch_id
