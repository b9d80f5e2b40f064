"""What is recorded of a monitoring decision, and how often a new model is asked for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ledger import model_records, records
from sluice.models import monitoring

RUN = Run(run_id="test")
DAYS = [(date(2013, 4, 1) + timedelta(days=i)).isoformat() for i in range(12)]


@pytest.fixture
def falling(home, measured_day, monkeypatch) -> spec.Pipeline:
    """Days in a row on which the AUC is far below the champion's."""
    flights = spec.load("flights")
    monkeypatch.setattr(monitoring, "_champion_lead", lambda _: 0.1)
    monkeypatch.setattr(monitoring, "_champion_days", lambda _: 14)
    for day in DAYS:
        numbers = measured_day(day, auc=0.2, baseline_auc=0.5, labelled=880, coverage=0.98, has_outcomes=True)
        ledger.append(model_records.Monitored(**numbers.as_dict()), **about(flights, day))
    return flights


def about(flights, day) -> dict[str, str]:
    return {"pipeline": "flights", "subject": flights.model.name, "partition": day}


@pytest.mark.slow
@pytest.mark.parametrize(
    "refusal",
    [
        records.Refused(version=2, reasons=("not better",)),
        model_records.TrainingRefused(what="Test rows are copies of rows that the model learns from."),
    ],
    ids=["candidate", "training"],
)
def test_decide_asks_once_waits_for_the_answer_and_backs_off_after_a_refusal(falling, refusal):
    wait = falling.monitoring.persistence_days
    first = DAYS[wait - 1]
    assert monitoring.decide(falling, first, RUN)["action"] == "retrain"
    monitoring.record_request(falling, first, RUN)

    next_day = monitoring.decide(falling, DAYS[wait], RUN)
    assert (next_day["action"], next_day["wanted"]) == ("warn", ["performance"])
    assert f"asked for on {first} already" in next_day["reasons"][-1]

    ledger.append(refusal, **about(falling, first))
    again = date.fromisoformat(first) + timedelta(falling.monitoring.retraining.backoff_days)
    for day in DAYS[wait + 1 :]:
        expected = "retrain" if day >= again.isoformat() else "warn"
        assert monitoring.decide(falling, day, RUN)["action"] == expected, day
    recorded = ledger.entries(kind="retrain_requested", pipeline="flights", subject=falling.model.name)
    assert [entry.record.causes for entry in recorded] == [("performance",)]


@pytest.mark.slow
def test_drop_that_two_models_did_not_end_stops_and_a_roll_back_begins_anew(falling):
    for day in DAYS[:6:3]:
        ledger.append(model_records.RetrainRequested(causes=("performance",)), **about(falling, day))
        ledger.append(records.Refused(version=2), **about(falling, day))
        ledger.append(model_records.Decided(action="warn", wanted=("performance",)), **about(falling, day))
    stopped = monitoring.decide(falling, DAYS[-1], RUN)
    assert (stopped["action"], stopped["person_since"]) == ("warn", DAYS[0])
    assert "2 new models did not end the drop" in stopped["person"]

    ledger.append(model_records.RolledBack(version=1), pipeline="flights", subject=falling.model.name)
    assert monitoring.decide(falling, DAYS[-1], RUN)["person"] == ""


@pytest.mark.slow
def test_decide_asks_for_nothing_while_learning_is_paused(falling):
    paused = falling.model_copy(update={"model": falling.model.model_copy(update={"learning": "paused"})})
    decided = monitoring.decide(paused, DAYS[-1], RUN)
    assert (decided["action"], decided["wanted"]) == ("warn", ["performance"])
    assert "training is paused" in decided["reasons"][-1]
