"""The custom checks that are shipped: each finds its own bad day, and no other's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from sluice.declare import spec
from tests.models.conftest import publish
from tests.models.test_custom_checks import DAY, DAYS, predicted, run_checks

pytestmark = pytest.mark.slow

_FLIGHTS = 600


def test_head_of_equal_scores_says_nothing(home):
    flights = spec.load("flights")
    publish(flights, "predictions", predicted({day: [0.5] * _FLIGHTS for day in DAYS[-3:]}))
    assert run_checks(flights)["top_k_overlap"].state == "INSUFFICIENT"


@pytest.mark.parametrize("fault", ["", "rank_agreement", "top_k_overlap", "volume"])
def test_each_check_that_is_shipped_finds_its_own_bad_day_alone(home, fault):
    flights = spec.load("flights")
    drawn = np.random.default_rng(7)
    rates = {carrier: 0.1 + 0.05 * place for place, carrier in enumerate("abcdefgh")}
    risk = drawn.normal(size=_FLIGHTS) * 0.1

    def scores(of_day: np.random.Generator) -> np.ndarray:
        return (
            np.array([rates["abcdefgh"[n % 8]] for n in range(_FLIGHTS)])
            + risk
            + of_day.normal(size=_FLIGHTS) * 0.02
        )

    days = {day: scores(drawn) for day in DAYS[:10]}
    days[DAY] = {
        "": lambda found: found,
        "rank_agreement": _reversed_below_the_head,
        "top_k_overlap": _with_another_head,
        "volume": lambda found: found[: _FLIGHTS * 2 // 5],
    }[fault](days[DAY])
    predictions = predicted({day: list(found) for day, found in days.items()})
    publish(flights, "predictions", predictions)
    late = [rates[key.split("|")[1]] for key in predictions["flight_id"].to_pylist()]
    publish(
        flights,
        "features",
        predictions.select(["flight_id", "ds"]).append_column("carrier_late_rate_28d", pa.array(late)),
    )
    found = run_checks(flights)
    assert {name for name, each in found.items() if each.state != "PASS"} == {fault} - {""}, found


def _reversed_below_the_head(found: np.ndarray) -> np.ndarray:
    """Of all flights but the tenth with the highest scores, the lowest score is that of the highest one, and so on."""
    order = np.argsort(-found)
    below = order[len(found) // 10 :]
    changed = found.copy()
    changed[below] = found[below[::-1]]
    return changed


def _with_another_head(found: np.ndarray) -> np.ndarray:
    """The fifth of the flights with the highest scores has those of the fifth below it, and that has theirs."""
    order = np.argsort(-found)
    fifth = len(found) // 5
    changed = found.copy()
    changed[order[:fifth]], changed[order[fifth : 2 * fifth]] = (
        found[order[fifth : 2 * fifth]],
        found[order[:fifth]],
    )
    return changed
