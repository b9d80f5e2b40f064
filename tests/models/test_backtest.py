"""A backtest agrees with what the real steps do on the same days, leaves no trace, and trains nothing twice."""

from __future__ import annotations

import csv

import pytest

from sluice import ledger
from sluice.core.errors import SpecInvalidError
from sluice.models import backtest, training
from sluice.models.config import registry
from tests.models.conftest import DAY, RUN, flights_rows, publish

LAST = "2013-03-30"


@pytest.fixture
def history(flights):
    """The pipeline with published features and outcomes, and a model of few rounds; what it takes, no backtest measures."""
    rows = flights_rows(flights)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    publish(flights, "outcomes", rows.select(["flight_id", "ds", "is_late"]))
    gate = flights.model.gate.model_copy(update={"resources": None})
    small = flights.model.model_copy(update={"rounds": 8, "accepted_findings": {}, "gate": gate})
    return flights.model_copy(update={"model": small})


@pytest.mark.slow
def test_backtest_agrees_with_the_steps_and_leaves_no_trace(history, tmp_path, monkeypatch):
    before = len(ledger.entries())
    summary = backtest.run(history, history, LAST, LAST, tmp_path, lambda line: None)
    assert len(ledger.entries()) == before
    assert registry().versions(history.model.name) == []
    (row,) = csv.DictReader((tmp_path / backtest.TABLE).open(encoding="utf-8"))
    assert (summary.days, row["ds"], row["model_version"]) == (1, LAST, "baseline")
    assert "Brier score by month" in (tmp_path / backtest.PAGE).read_text(encoding="utf-8")

    version = training.stage_candidate(history, LAST, RUN)
    decided = training.audit_candidate(history, version, LAST, RUN)
    registered = registry().candidate(history.model.name, version)
    (kept,) = (training.settings().home / "backtest" / "candidates").iterdir()
    assert (kept / "model.json").read_text() == registered.meta.to_json()
    assert (row["outcome"], row["reasons"]) == (decided.outcome, " ".join(decided.reasons))

    def refuse(*_):
        raise AssertionError("this candidate is kept already")

    monkeypatch.setattr("sluice_ml.training.fit", refuse)
    again = tmp_path / "again"
    assert backtest.run(history, history, LAST, LAST, again, lambda line: None) == summary
    assert (again / backtest.TABLE).read_bytes() == (tmp_path / backtest.TABLE).read_bytes()


def test_backtest_range_that_ends_before_it_begins_is_refused(flights, tmp_path):
    with pytest.raises(SpecInvalidError, match=f"{DAY} to 2013-03-01"):
        backtest.run(flights, flights, DAY, "2013-03-01", tmp_path, lambda line: None)
