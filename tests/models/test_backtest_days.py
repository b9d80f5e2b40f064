"""Over days in a row a backtest says what the real steps did: who scored, how well, what was asked for, what was decided and why."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice import ledger
from sluice.core.partitions import date_of, days_between, days_later
from sluice.core.runs import Run
from sluice.ledger import model_records
from sluice.models import backtest, monitoring, scoring, training
from tests.models.conftest import flights_rows, publish, publish_staged

FIRST, LAST = "2013-03-26", "2013-03-30"


@pytest.fixture
def declared(flights):
    """A model of few rounds that is old after two days, of a pipeline whose days have 40 rows.

    Few rounds tell too little apart to be calibrated; what a model takes, no backtest measures.
    """
    gate = flights.model.gate.model_copy(update={"resources": None, "calibration": None})
    model = {"rounds": 8, "accepted_findings": {}, "gate": gate}
    watched = {"max_model_age_days": 2, "min_rows": 20}
    return flights.model_copy(
        update={
            "model": flights.model.model_copy(update=model),
            "monitoring": flights.monitoring.model_copy(update=watched),
        }
    )


def until(rows: pa.Table, first: str, last: str) -> pa.Table:
    at = rows["ds"]
    return rows.filter(
        pc.and_(pc.greater_equal(at, pa.scalar(date_of(first))), pc.less_equal(at, pa.scalar(date_of(last))))
    )


def live(declared, outcomes: pa.Table, day: str) -> dict[str, object]:
    """One day as the tasks of its DAGs do it; on the first one a person starts a training."""
    run = Run(dag_id="flights", run_id=day)
    known = days_later(day, -1)
    if day != FIRST:
        publish(declared, "outcomes", until(outcomes, known, known))
    publish_staged(declared, scoring.stage_predictions(declared, [day], run))
    monitoring.report_days(declared, day, run)
    decided = monitoring.decide(declared, day, run)
    asks = decided["action"] == "retrain"
    said = {"requested": str(asks), "wanted": " ".join(decided["wanted"]), "outcome": ""}
    if asks:
        monitoring.record_request(declared, day, run)
    if asks or day == FIRST:
        version = training.stage_candidate(declared, day, run)
        record = training.audit_candidate(declared, version, day, run)
        said |= {"outcome": record.outcome, "reasons": " ".join(record.reasons)}
        if record.promote:
            training.promote_candidate(declared, version, day, run)
    return said


@pytest.mark.slow
def test_backtest_agrees_with_the_steps_on_each_day_of_a_range_with_trainings(declared, tmp_path):
    rows = flights_rows(declared)
    publish(declared, "features", rows.drop_columns(["is_late"]))
    outcomes = rows.select(["flight_id", "ds", "is_late"])
    publish(declared, "outcomes", until(outcomes, "2013-01-01", days_later(FIRST, -1)))
    days = days_between(FIRST, LAST)
    done = {day: live(declared, outcomes, day) for day in days}
    publish(declared, "outcomes", until(outcomes, LAST, LAST))

    backtest.run(declared, declared, FIRST, LAST, tmp_path, lambda line: None)
    replayed = {row["ds"]: row for row in csv.DictReader((tmp_path / backtest.TABLE).open(encoding="utf-8"))}
    assert list(replayed) == days
    assert sum(row["outcome"] != "" for row in replayed.values()) == 2
    assert {row["model_version"] for row in replayed.values()} == {"baseline", "1"}
    for day in days:
        assert {name: replayed[day][name] for name in done[day]} == done[day], day
    measured = {
        entry.partition: entry.record
        for entry in reversed(ledger.entries(model_records.Monitored, pipeline="flights"))
    }
    for day in days[:-1]:
        record = measured[day]
        assert record.has_outcomes
        assert (record.model_version, record.rows) == (
            replayed[day]["model_version"],
            int(replayed[day]["rows"]),
        )
        for ours, theirs in (
            ("auc", "auc_champion"),
            ("brier", "brier_champion"),
            ("baseline_auc", "auc_baseline"),
            ("label_rate", "label_rate"),
            ("score_mean", "score_mean"),
        ):
            assert getattr(record, ours) == pytest.approx(float(replayed[day][theirs]), abs=1e-12), (
                day,
                ours,
            )
