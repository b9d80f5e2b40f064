"""A candidate becomes champion only with a decision that says so."""

from __future__ import annotations

import pytest

from sluice import ledger, spec
from sluice.errors import VerdictMissingError
from sluice.modelling import training

DAY = "2013-03-31"
RUN = {"run_id": "test"}


def _decide(flights, kind: str, version: int) -> None:
    ledger.append(
        kind, pipeline="flights", subject=flights.model.name, partition=DAY, data={"version": version}
    )


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
