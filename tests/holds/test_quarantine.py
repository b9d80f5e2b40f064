"""Rows that a rule sets aside: listed, counted, repaired by a replay, or given up when they are too old."""

from __future__ import annotations

import json
import shutil
from datetime import date

import pytest

from sluice import holds, ledger
from sluice.core.errors import ReleaseRefusedError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.holds import show
from sluice_lab import feed
from tests.holds.test_holds import DAY, RUN, RUN_DAY, WORD, Suite, cross, flights, shown

__all__ = ["flights"]  # a fixture


def test_quarantined_rows_are_listed_counted_and_repaired(flights):
    suite = Suite()
    suite.is_mistaken(severity="quarantine", limit=0.5)
    feed.deliver(flights, RUN_DAY, sources=["arrivals"])
    judged = cross(flights)
    assert judged.outcome == "WARN", judged.reasons
    (hold,) = holds.open_holds(flights)
    assert (hold.kind, hold.rules, hold.run_id) == ("quarantined", ("known_origin",), RUN.run_id)
    aside = hold.rows or 0
    assert shown()[DAY].rows == 983 - aside < 983
    traced = holds.trace(flights, "arrivals", DAY)
    assert traced.batches[0].conservation == (
        983,
        983 - aside,
        {"exact_duplicate": 0},
        {"known_origin": aside},
    )
    assert traced.batches[0].conserved
    assert f"983 received = {983 - aside} kept + {aside} quarantined (known_origin)" in "\n".join(
        show.traced(traced)
    )
    with pytest.raises(ReleaseRefusedError, match="come back by a replay"):
        holds.release(flights, "arrivals", DAY, **WORD, run=RUN)

    unchanged = holds.replay(flights, "arrivals", DAY, RUN)
    assert (unchanged.repaired, unchanged.still_held) == (0, aside)
    assert holds.find(flights, "arrivals", DAY).since == hold.since
    suite.is_corrected(severity="quarantine", limit=0.5)
    assert str(holds.replay(flights, "arrivals", DAY, RUN)) == f"repaired {aside}, still held 0, expired 0"
    assert shown()[DAY].rows == 983
    assert holds.open_holds(flights) == []


def test_value_that_is_declared_after_all_brings_its_rows_back(flights, tmp_path, monkeypatch):
    """The rule takes the values from the contract: that is what a person corrects, and nothing is delivered again."""
    shutil.copytree(settings().pipelines, tmp_path / "pipelines")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    path = settings().pipelines / "flights.yml"
    complete = path.read_text()
    assert "&origins [EWR, JFK, LGA]" in complete
    path.write_text(complete.replace("&origins [EWR, JFK, LGA]", "&origins [EWR, JFK]"))
    suite = Suite()
    kind = "expect_column_values_to_be_declared"
    meta = {
        "rule": "known_origin",
        "severity": "quarantine",
        "limit": 0.5,
        "owner": "airport",
        "why": "A test.",
    }
    rule = {"type": kind, "kwargs": {"column": "origin", "value": "upper(origin)"}, "meta": meta}
    suite.path.write_text(json.dumps({**suite.suite, "expectations": [rule]}))
    feed.deliver(flights, RUN_DAY, sources=["arrivals"])
    cross(spec.load("flights"))
    (hold,) = holds.open_holds(flights)
    assert hold.rules == ("known_origin",)
    assert shown()[DAY].rows == 983 - hold.rows < 983

    path.write_text(complete)
    corrected = spec.load("flights")
    assert holds.replay(corrected, "arrivals", DAY, RUN).repaired == hold.rows
    assert shown()[DAY].rows == 983
    assert holds.open_holds(corrected) == []
    assert len({entry.data["content_hash"] for entry in ledger.entries(kind="staged")}) == 1


def test_quarantined_rows_that_are_too_old_are_given_up_and_hide_no_later_hold(flights):
    suite = Suite()
    suite.is_mistaken(severity="quarantine", limit=0.5)
    feed.deliver(flights, RUN_DAY, sources=["arrivals"])
    cross(flights)
    (rows,) = [hold.rows for hold in holds.open_holds(flights)]
    suite.is_mistaken()
    assert cross(flights).outcome == "HOLD"
    pipeline_clock.advance(flights, date(2013, 5, 3))
    assert holds.expire(flights, RUN) == [], "on the last day that both are kept"
    pipeline_clock.advance(flights, date(2013, 5, 4))
    quarantined, held = holds.expire(flights, RUN)
    assert (quarantined.kind, quarantined.rows, held.kind) == ("quarantined", rows, "held")
    assert holds.open_holds(flights) == []
    cross(flights)
    assert [hold.kind for hold in holds.open_holds(flights)] == ["held"]
