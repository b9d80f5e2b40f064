"""Whether the newest predictions are fit for use: one sentence from what is recorded, with what it rests on."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import crossing, ledger
from sluice.cli import main
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import tables
from sluice.ledger import records
from sluice.status import today
from sluice.status.parts import Item
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


def test_tables_without_a_model_are_fit_only_where_they_passed_and_nobody_released_or_gave_them_up(flights):
    batch = "20130403T090000000000Z-0001"
    seen = Item("ingest", "weather", SECOND, FIRST, "published", batch_id=batch)
    about = {"pipeline": "flights", "subject": "weather", "partition": FIRST}

    def judged(kind, outcome, *reasons):
        verdict_id = f"{outcome} of weather"
        ledger.append(kind(outcome=outcome, batch_id=batch, reasons=reasons, verdict_id=verdict_id), **about)

    def fitness(*items):
        found, sentence, reasons = today._fitness_of_tables(flights, list(items))
        assert SECOND in sentence
        return found, reasons

    judged(records.Verdict, "PASS")
    assert fitness(seen) == ("fit", ())

    judged(records.Verdict, "WARN", "wind is 40, a little high")
    assert fitness(seen) == ("reservations", ("wind is 40, a little high",))

    judged(records.Held, "HOLD", "wind is 400")
    word = {"by": "Ada", "why": "It was a storm.", "until": "2013-04-09", "rules": ["wind"]}
    ledger.append(records.Waiver(**word, content_hash="c1", batch_id=batch), **about)
    ledger.append(records.Published(batch_id=batch), **about)
    kind, reasons = fitness(seen)
    assert kind == "reservations"
    assert "weather 2013-04-02 was released by Ada although it did not pass its rules." in reasons

    given_up = Item("ingest", "planes", SECOND, SECOND, "skipped", "Ada: it will not come")
    assert fitness(given_up, seen) == ("not_made", ("planes 2013-04-03 is skipped: Ada: it will not come",))
