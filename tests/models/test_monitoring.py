"""What is recorded of a monitoring decision, and how often a new model is asked for."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from sluice import ledger
from sluice.declare import spec
from sluice.ledger import model_records
from sluice.models import monitoring

RUN = {"run_id": "test"}
DAYS = [(date(2013, 4, 1) + timedelta(days=i)).isoformat() for i in range(6)]


@pytest.fixture
def drifting(home, measured_day) -> spec.Pipeline:
    """Six days in a row on which every feature has drifted."""
    flights = spec.load("flights")
    for day in DAYS:
        ledger.append(
            model_records.Monitored(**measured_day(day, drift_share=1.0).as_dict()),
            pipeline="flights",
            subject=flights.model.name,
            partition=day,
        )
    return flights


@pytest.mark.slow
def test_decide_asks_once_and_waits_before_it_asks_again(drifting):
    wait = drifting.monitoring.persistence_days
    first = DAYS[wait - 1]
    assert monitoring.decide(drifting, first, RUN)["action"] == "retrain"
    monitoring.record_request(drifting, first, RUN)

    next_day = monitoring.decide(drifting, DAYS[wait], RUN)
    assert next_day["action"] == "warn"
    assert f"asked for on {first} already" in next_day["reasons"][-1]

    assert monitoring.decide(drifting, DAYS[2 * wait - 1], RUN)["action"] == "retrain"
    recorded = ledger.entries(kind="decided", pipeline="flights", subject=drifting.model.name)
    assert [entry.data["action"] for entry in recorded] == ["retrain", "warn", "retrain"]
