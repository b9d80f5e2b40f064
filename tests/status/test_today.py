"""Whether the newest predictions are fit for use: one sentence from what is recorded, with what it rests on."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import crossing
from sluice.cli import main
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import tables
from sluice.status import today
from sluice_lab import feed

FIRST, SECOND = "2013-04-02", "2013-04-03"
RUN = Run(dag_id="flights_ingest", run_id="test")
BASELINE = "The baseline has scored, and no model."


def publish(flights, day, *names):
    for table in names:
        tables.publish(crossing.stage(flights, table, [day], RUN), verdict_id="unjudged")


@pytest.mark.slow
def test_today_follows_a_day_from_nothing_to_predictions_and_the_next_to_a_hold(flights):
    assert today.read(flights).sentence == "No predictions are due yet."

    feed.deliver(flights, FIRST)
    sources = ("schedule", "arrivals", "weather", "airlines", "airports", "planes")
    publish(flights, FIRST, "schedule", "weather", "airlines", "airports", "planes")
    waiting = today.read(flights)
    assert (waiting.fitness, waiting.held) == ("not_made", 0)
    assert waiting.sentence == f"The predictions of {FIRST} are not made: readers have never seen any."
    assert waiting.reasons == ("arrivals 2013-04-01 is ready: delivery 1 is there",)

    publish(flights, FIRST, "arrivals", "features", PREDICTIONS)
    made = today.read(flights)
    assert (made.run_day, made.fitness) == (FIRST, "reservations")
    assert made.sentence == f"The predictions of {FIRST} are fit for use with reservations."
    assert made.reasons == (BASELINE,)
    assert made.scorer == "the baseline, and no model"

    names = [name.split("/")[0] for name in feed.deliver(flights, SECOND, corrupt="seconds")]
    publish(flights, SECOND, *(name for name in sources if name in names and name != "arrivals"))
    manifest = crossing.stage(flights, "arrivals", [SECOND], RUN)
    assert crossing.audit(flights, "arrivals", manifest.batch_id, RUN).outcome == "HOLD"
    held = today.read(flights)
    assert (held.fitness, held.held) == ("not_made", 1)
    assert held.sentence == (
        f"The predictions of {SECOND} are not made: readers see those of {FIRST} as the newest."
    )
    (reason,) = held.reasons
    assert reason.startswith("arrivals 2013-04-02 is held: ")
    assert dict(held.strip)[SECOND] == "held"

    said = CliRunner().invoke(main, ["today"])
    assert said.output.splitlines()[:2] == [f"flights: {held.sentence}", f"  - {reason}"]
    shown = json.loads(CliRunner().invoke(main, ["today", "flights", "--json"]).output)
    assert [one["fitness"] for one in shown] == ["not_made"]
