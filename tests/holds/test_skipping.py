"""What may be given up: days of which something is expected, or of which a mail told before the pipeline began later."""

from __future__ import annotations

from datetime import date

import pytest

from sluice import crossing, holds, ledger
from sluice.core.errors import SkipRefusedError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.holds import show
from sluice.lake import tables
from sluice.ledger import records
from sluice_lab import feed

RUN = Run(run_id="test")


def test_day_before_a_later_beginning_is_given_up_where_a_mail_told_of_it(live_flights, at):
    at("2013-04-05 07:00")
    mail = records.Mail(event="missing_delivery", status="sent", ends_with="published arrivals")
    ledger.append(mail, pipeline="flights", subject="arrivals", partition="2013-04-01")
    later = live_flights.model_copy(update={"starts": date(2013, 4, 4)})
    about = {"by": "Ada", "why": "It began later.", "run": RUN}

    (*_, entry) = holds.skip(later, "2013-04-02", ["arrivals"], **about)

    assert entry.partition == "2013-04-01"
    with pytest.raises(SkipRefusedError, match="a run day 2013-04-04 to 2013-04-05"):
        holds.skip(later, "2013-04-03", ["schedule"], **about)


def test_trace_says_who_gave_a_day_up_and_why(live_flights, at):
    at("2013-04-05 07:00")
    holds.skip(live_flights, "2013-04-03", ["arrivals"], by="Ada", why="It is lost.", run=RUN)
    told = list(show.traced(holds.trace(live_flights, "arrivals", "2013-04-02")))
    assert told[-1].endswith("skipped    given up by Ada: It is lost.")


def test_who_gives_up_the_day_of_the_data_is_told_the_run_day(home):
    flights = spec.load("flights")
    feed.deliver(flights, "2013-04-03", sources=["arrivals"])
    tables.publish(crossing.stage(flights, "arrivals", ["2013-04-03"], RUN), verdict_id="unjudged")
    with pytest.raises(SkipRefusedError, match="nothing to give up") as caught:
        holds.skip(flights, "2013-04-03", ["arrivals"], by="Ada", why="It is lost.", run=RUN)
    assert caught.value.allowed == "a run day: the arrivals of 2013-04-03 belong to the run of 2013-04-04"
