"""The table of what monitoring measured: rows as the ledger has them, once a day, replaced where a day was measured again."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import ContractBrokenError
from sluice.core.partitions import date_of
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice.ledger import Entry, model_records
from sluice.models import monitoring_table

RUN = Run(run_id="test")
FIRST, LAST = "2013-04-01", "2013-04-02"
# What is measured when outcomes are known.
OUTCOMES = {
    "labelled": 880,
    "coverage": 0.98,
    "has_outcomes": True,
    "auc": 0.7,
    "auc_low": 0.66,
    "auc_high": 0.74,
    "baseline_auc": 0.6,
    "label_rate": 0.9,
    "expected_rate": 0.2,
}


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


@pytest.fixture
def measure(flights, measured_day):
    """Function: record that a day was measured."""

    def record(ds: str, **numbers: object) -> Entry:
        said = model_records.Monitored(**measured_day(ds, **numbers).as_dict())
        return ledger.append(said, pipeline="flights", subject=flights.model.name, partition=ds)

    return record


def _ask(query: str) -> list[tuple]:
    """Rows of a query in SQL over `monitoring`, as a reader has it."""
    monitoring = tables.scan("flights", "monitoring", FIRST, LAST)
    with duckdb.connect() as con:
        con.register("monitoring", monitoring)
        return con.sql(query).fetchall()


def test_each_metric_of_a_day_has_its_value_interval_limits_rows_and_state(flights, measure):
    entry = measure(FIRST, **OUTCOMES)
    assert monitoring_table.publish(flights, LAST, RUN) == [FIRST]

    limits = flights.monitoring
    assert _ask("select metric, value, low, high, n, state from monitoring where metric = 'auc'") == [
        ("auc", 0.7, 0.66, 0.74, 880, "no limit")
    ]
    assert _ask("select distinct ds::text, model, model_version, counts, entry from monitoring") == [
        (FIRST, flights.model.name, "1", True, entry.seq)
    ]
    off = limits.calibration.day
    judged = "select metric, limit_low, limit_high, n, state from monitoring where limit_low is not null or limit_high is not null"
    assert _ask(f"{judged} order by metric") == [
        ("broken_features", None, 0.0, 900, "within"),
        ("calibration_gap", -off, off, 880, "beyond"),
        ("coverage", limits.min_coverage, None, 900, "within"),
        ("outlier_share", None, limits.outliers.day, 900, "unknown"),
        ("shift", None, limits.shift_warn, 900, "unknown"),
    ]


def test_reference_is_compared_with_others_alone(flights, measure):
    reference = {"reference_version": "1", "reference_auc": 0.7, "reference_brier": 0.1}
    measure(FIRST, **OUTCOMES, **reference)
    measure(LAST, model_version="2", **{**OUTCOMES, "auc": 0.75}, **reference)
    monitoring_table.publish(flights, LAST, RUN)
    asked = (
        "select round(value, 2), state from monitoring where metric like 'reference_%' order by ds, metric"
    )
    assert _ask(asked) == [(None, "no comparison")] * 3 + [
        (0.7, "no limit"),
        (0.1, "no limit"),
        (0.05, "no limit"),
    ]


def test_what_is_not_known_yet_is_no_zero_and_few_outcomes_are_beyond_their_limit(flights, measure):
    measure(FIRST)
    measure(LAST, labelled=9, coverage=0.01, has_outcomes=True, broken={"weather": ("wind_gust_mph",)})
    monitoring_table.publish(flights, LAST, RUN)
    asked = "select value, state from monitoring where metric = 'coverage' order by ds"
    assert _ask(asked) == [(None, "unknown"), (0.01, "beyond")]
    asked = "select value, state, counts from monitoring where metric = 'broken_features' order by ds"
    assert _ask(asked) == [(0.0, "within", True), (1.0, "beyond", False)]


def test_repetition_publishes_nothing_and_a_day_that_is_measured_again_replaces_its_own_rows(
    flights, measure
):
    measure(FIRST)
    measure(LAST)
    assert monitoring_table.publish(flights, LAST, RUN) == [FIRST, LAST]
    before = tables.snapshot_id("flights", "monitoring")
    assert monitoring_table.publish(flights, LAST, RUN) == []
    assert tables.snapshot_id("flights", "monitoring") == before

    again = measure(FIRST, **OUTCOMES)
    assert monitoring_table.publish(flights, LAST, RUN) == [FIRST]
    found = _ask("select ds::text, entry, value from monitoring where metric = 'auc' order by ds")
    assert [(ds, value) for ds, _, value in found] == [(FIRST, 0.7), (LAST, None)]
    assert found[0][1] == again.seq
    assert _ask("select count(*), count(distinct metric) from monitoring where ds = '2013-04-01'") == [
        (19, 19)
    ]


def test_run_that_was_killed_before_it_published_is_made_up_for_by_the_next_one(
    flights, measure, monkeypatch
):
    measure(FIRST)
    measure(LAST)
    publish = tables.publish

    def killed(manifest, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        monitoring_table.publish(flights, LAST, RUN)
    monkeypatch.setattr(tables, "publish", publish)
    assert monitoring_table.publish(flights, LAST, RUN) == [FIRST, LAST]


def test_slower_of_two_runs_gives_way(flights, measure, monkeypatch):
    measure(FIRST)
    stage = batches.stage

    def overtaken(*what, **how):
        mine = stage(*what, **how)
        tables.publish(stage(*what, **how), verdict_id="another run")
        return mine

    monkeypatch.setattr(batches, "stage", overtaken)
    monitoring_table.publish(flights, LAST, RUN)
    assert _ask("select count(*) from monitoring") == [(19,)]
    monkeypatch.setattr(batches, "stage", stage)
    assert monitoring_table.publish(flights, LAST, RUN) == []


def test_shift_is_beyond_at_its_limit_as_the_decision_has_it(flights, measure):
    limit = flights.monitoring.shift_warn
    measure(FIRST, shift=limit)
    measure(LAST, shift=limit - 0.01)
    monitoring_table.publish(flights, LAST, RUN)
    assert _ask("select state from monitoring where metric = 'shift' order by ds") == [
        ("beyond",),
        ("within",),
    ]


def test_day_whose_entry_is_later_than_any_of_the_ledger_is_published_again(flights, measure):
    entry = measure(FIRST)
    monitoring_table._publish(
        flights, replace(entry, seq=entry.seq + 100), RUN
    )  # as before the ledger was restored
    assert monitoring_table.publish(flights, LAST, RUN) == [FIRST]
    assert _ask("select distinct entry from monitoring") == [(entry.seq,)]


def test_table_that_is_another_one_is_refused_by_name_and_logged_with_what_to_do(flights, measure, caplog):
    foreign = pa.table({"ds": [date_of(FIRST)], "note": ["by hand"]})
    staged = batches.stage(
        "flights", "monitoring", foreign, partitions=[FIRST], received=1, dropped={}, inputs=[], run=RUN,
        sort_by=["note"],
    )  # fmt: skip
    tables.publish(staged, verdict_id="another's")
    measure(FIRST)
    with pytest.raises(ContractBrokenError, match=r"lacks columns .*entry.*flights\.monitoring"):
        monitoring_table.publish(flights, LAST, RUN)

    monitoring_table.publish_or_warn(flights, LAST, RUN)
    assert "flights.monitoring does not show what was measured" in caplog.text
    assert "rename the table that is there" in caplog.text
    assert _ask("select note from monitoring") == [("by hand",)]
