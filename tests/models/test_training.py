"""A candidate becomes champion only with a decision that says so."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import VerdictMissingError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ledger.kinds import KINDS
from sluice.models import roles, training
from tests.models.conftest import flights_rows, publish

DAY = "2013-03-31"
RUN = Run(run_id="test")


def _decide(flights, kind: str, version: int) -> None:
    ledger.append(KINDS[kind](version=version), pipeline="flights", subject=flights.model.name, partition=DAY)


@pytest.mark.parametrize(
    "decisions",
    [
        [],
        [("refused", 1)],
        [("audited", 2)],
        [("audited", 1), ("refused", 1)],
    ],
    ids=["none", "refused", "about_another", "refused_later"],
)
def test_promote_without_an_allowing_decision_is_refused(home, decisions):
    flights = spec.load("flights")
    for kind, version in decisions:
        _decide(flights, kind, version)
    with pytest.raises(VerdictMissingError, match="Version 1 of flights_late_arrival"):
        training.promote_candidate(flights, 1, DAY, RUN)
    assert ledger.entries(kind="promoted") == []


@pytest.mark.slow
def test_training_names_the_rows_that_it_left_out_where_its_model_is_shown(flights):
    drawn = flights_rows(flights)
    at = drawn.column_names.index("wind_gust_mph")
    gusts = pa.array([*drawn["wind_gust_mph"].to_pylist()[:-1], 1.7e308])
    publish(flights, "features", drawn.set_column(at, "wind_gust_mph", gusts).drop_columns(["is_late"]))
    publish(flights, "outcomes", drawn.select(["flight_id", "ds", "is_late"]))

    training.stage_candidate(flights, DAY, RUN)

    (trained,) = ledger.entries(kind="trained")
    assert trained.data["left_out"] == {"2013-03-30 wind_gust_mph": 1}
    assert any(
        line.endswith("cannot hold: 2013-03-30 wind_gust_mph: 1") for line in roles.lines(roles.read(flights))
    )
