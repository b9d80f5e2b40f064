"""What is learned under a waiver is said with the model; what rests on one that has expired is not learned."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import ledger, waivers
from sluice.core.errors import WaiverExpiredError
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records
from sluice.models import training
from sluice.models.waived import require_valid
from tests.models.conftest import DAY, OLD, RUN


def test_training_data_on_an_active_waiver_is_named_and_on_one_that_is_over_is_refused(home):
    flights = spec.load("flights")
    pipeline_clock.advance(flights, date(2013, 4, 4))
    about = {"pipeline": "flights", "subject": "arrivals", "partition": "2013-04-03"}
    ledger.append(records.Held(batch_id="b", verdict_id="v", outcome="HOLD"), **about)
    waiver = waivers.grant(
        flights,
        "arrivals",
        "2013-04-03",
        content_hash="c",
        batch_id="b",
        verdict_id="v",
        rules=[],
        by="operator",
        why="Confirmed.",
        until="2013-04-05",
    )
    ledger.append(records.Published(batch_id="b"), **about)

    (named,) = require_valid(flights, 118, until="2013-04-04")
    assert named == {
        "table": "arrivals",
        "partition": "2013-04-03",
        "waiver": waiver.seq,
        "by": "operator",
        "until": "2013-04-05",
        "days": {"arrivals": ["2013-04-03"]},
    }
    assert require_valid(flights, 118, until="2013-04-02") == [], "it is about a later day"

    pipeline_clock.advance(flights, date(2013, 4, 6))
    with pytest.raises(WaiverExpiredError, match=r"arrivals 2013-04-03 \(by operator until 2013-04-05\)"):
        require_valid(flights, 118, until="2013-04-06")


def test_training_on_a_waiver_that_is_over_is_refused_before_anything_is_fitted(published):
    flights = spec.load("flights")
    pipeline_clock.advance(flights, date.fromisoformat(DAY))
    _, _, released = (published(name) for name in ("features", "outcomes", "arrivals"))
    partition, batch = (
        str(Partition.of(released.partitions)),
        {"batch_id": released.batch_id, "verdict_id": "v"},
    )
    about = {"pipeline": "flights", "subject": "arrivals", "partition": partition}
    ledger.append(records.Held(**batch, outcome="HOLD"), **about)
    word = {"by": "operator", "why": "Confirmed.", "until": DAY}
    waivers.grant(flights, "arrivals", partition, content_hash="c", rules=[], **batch, **word)
    pipeline_clock.advance(flights, date(2013, 4, 1))

    with pytest.raises(WaiverExpiredError, match=rf"arrivals {OLD} \(by operator until {DAY}\)"):
        training.stage_candidate(flights, DAY, RUN)

    assert not (settings().home / "mlflow.db").exists()
    assert ledger.entries(kind="trained") == []
