"""A backtest agrees with what the real steps do on the same days, leaves no trace, and trains nothing twice."""

from __future__ import annotations

import csv
from datetime import date
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.models import backtest, training
from sluice.models.config import registry
from sluice_ml.backtest import Day, Measured
from sluice_ml.findings import Finding
from sluice_ml.monitoring import MonitorDecision
from tests.models.conftest import DAY, RUN, flights_rows, publish

LAST = "2013-03-30"


@pytest.fixture
def history(flights):
    """The pipeline with published features and outcomes, and a model of few rounds; what it takes, no backtest measures."""
    rows = flights_rows(flights)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    publish(flights, "outcomes", rows.select(["flight_id", "ds", "is_late"]))
    gate = flights.model.gate.model_copy(update={"resources": None, "calibration": None})
    small = flights.model.model_copy(update={"rounds": 8, "accepted_findings": {}, "gate": gate})
    return flights.model_copy(update={"model": small})


@pytest.mark.slow
def test_backtest_agrees_with_the_steps_and_leaves_no_trace(history, tmp_path, monkeypatch):
    before = len(ledger.entries())
    said: list[str] = []
    summary = backtest.run(history, history, LAST, LAST, tmp_path, said.append)
    assert said[0].startswith("reading 2012-")
    assert said[1] == "training the first model on 39 days, 2013-02-19 to 2013-03-29"
    assert f"{LAST}: first, promoted. " in said[2]
    assert (summary.requests, summary.promotions, summary.refusals) == (0, 1, 0)
    assert next(backtest.lines(summary)).startswith(
        "1 days: 0 requests; with the first model 1 promoted, 0 not "
    )
    page = (tmp_path / backtest.PAGE).read_text(encoding="utf-8")
    assert '<td class="promote">promoted</td>' in page
    assert "<dt>Promoted, the first model included</dt><dd>1</dd>" in page
    assert len(ledger.entries()) == before
    assert registry().versions(history.model.name) == []
    (row,) = csv.DictReader((tmp_path / backtest.TABLE).open(encoding="utf-8"))
    assert (summary.days, row["ds"], row["model_version"]) == (1, LAST, "baseline")
    assert "Brier score by month" in (tmp_path / backtest.PAGE).read_text(encoding="utf-8")
    picture = ElementTree.fromstring((tmp_path / backtest.PICTURE).read_text(encoding="utf-8"))
    named = {line.get("class") for line in picture.iter("{http://www.w3.org/2000/svg}polyline")}
    assert named == {"champion", "baseline", "never"}

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
    said.clear()
    assert backtest.run(history, history, LAST, LAST, again, said.append) == summary
    assert said[1].endswith("taken from an earlier run")
    assert (again / backtest.TABLE).read_bytes() == (tmp_path / backtest.TABLE).read_bytes()


def test_interrupted_backtest_says_what_is_kept_and_how_to_go_on(history, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sluice_ml.training.fit", interrupt)
    done = CliRunner().invoke(main, ["backtest", "flights", LAST, LAST])
    assert done.exit_code == 1
    assert "training the first model on 39 days" in done.output
    assert "each model that was trained is kept; the same command again goes on" in done.output


def test_backtest_range_that_ends_before_it_begins_is_refused(flights, tmp_path):
    with pytest.raises(SpecInvalidError, match=f"{DAY} to 2013-03-01"):
        backtest.run(flights, flights, DAY, "2013-03-01", tmp_path, lambda line: None)


def test_alarm_that_comes_back_within_the_days_after_which_it_is_over_is_the_same_one():
    said = {"findings": (Finding("label shift", "warn", "too low"), Finding("old model", "nothing", "old"))}

    def day(number: int, **more) -> Day:
        decision = MonitorDecision("warn", ("calm",), {}, **more)
        none = Measured(0.6, 0.2)
        return Day(date(2013, 4, number), 900, 0.2, 0.2, 1, none, none, none, decision, False, None)

    days = [day(1, **said), day(2), day(3, **said), day(20, **said), day(21)]
    found = backtest.summarise(days, over_days=7)
    assert found.alarms == [
        ("label shift", date(2013, 4, 1), date(2013, 4, 3)),
        ("label shift", date(2013, 4, 20), date(2013, 4, 20)),
    ]
    assert "alarm without a fault: label shift, 2013-04-01 to 2013-04-03" in list(backtest.lines(found))
