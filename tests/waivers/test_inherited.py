"""What was made from released data says so: arrivals in seconds, released, and all that follows from them."""

from __future__ import annotations

from datetime import date
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.controller import Controller

from sluice import holds, ledger, notify, waivers
from sluice.core.errors import WaiverExpiredError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.gates import Verdict
from sluice.holds import show
from sluice.lake import batches, tables
from sluice.models import monitoring, waived
from sluice.notify import report
from sluice.notify.send import Smtp
from sluice.notify.sink import Keeper
from sluice.waivers import inherited
from sluice.watch import held
from sluice.web import released
from sluice_lab.rehearsal.bench import free_ports
from tests import feed_clock
from tests.waivers.conftest import FIRST, RUN, SECOND

pytestmark = pytest.mark.slow

MADE = {"features": SECOND, "outcomes": FIRST, spec.PREDICTIONS: SECOND}


@pytest.fixture
def waiver(flights) -> ledger.Entry:
    (found,) = ledger.entries(kind="waiver", pipeline="flights")
    return found


@pytest.fixture
def later(flights):
    """The pipeline's clock, moved past the end of the waiver, and back."""
    assert inherited.rebuilds(flights) == []
    before = pipeline_clock.today(flights)
    pipeline_clock.advance(flights, date(2013, 4, 6))
    yield
    feed_clock.forget()
    pipeline_clock.advance(flights, before)


@pytest.mark.parametrize("table", MADE)
def test_what_was_made_from_released_rows_says_so_in_rows_records_and_verdict(flights, waiver, table):
    day = MADE[table]
    rows = tables.scan("flights", table, day, day)
    (published,) = ledger.entries(kind="published", subject=table, partition=day)
    manifest = batches.load("flights", table, published.data["batch_id"])
    (verdict,) = ledger.entries(kind="verdict", subject=table, partition=day)

    assert set(rows["has_waived_input"].to_pylist()) == {True}
    (recorded,) = manifest.waived_inputs
    assert (recorded.waiver, recorded.table, recorded.partition) == (waiver.seq, "arrivals", FIRST)
    assert recorded.through == (("features",) if table == spec.PREDICTIONS else ("arrivals",))
    assert inherited.recorded_in(published) == manifest.waived_inputs
    assert tables.history("flights", table)[0]["sluice.waived_inputs"] == f"[{waiver.seq}]"
    assert verdict.data["outcome"] == "WARN"
    assert any(
        "arrivals 2013-04-02, released by Ada until 2013-04-05" in one for one in verdict.data["reasons"]
    )


@pytest.mark.parametrize("table", ["features", spec.PREDICTIONS])
def test_what_was_made_before_says_that_it_was_not(flights, table):
    rows = tables.scan("flights", table, FIRST, FIRST)
    (published,) = ledger.entries(kind="published", subject=table, partition=FIRST)

    assert set(rows["has_waived_input"].to_pylist()) == {False}
    assert inherited.recorded_in(published) == ()
    (verdict,) = ledger.entries(kind="verdict", subject=table, partition=FIRST)
    assert not any("released" in one for one in verdict.data["reasons"])


def test_outcomes_rest_on_the_arrivals_of_their_own_day_only(flights):
    inputs = [
        {"kind": "snapshot", "table": "arrivals", "snapshot_id": tables.snapshot_id("flights", "arrivals")}
    ]
    assert inherited.of_inputs(flights, "outcomes", [FIRST], inputs)
    assert inherited.of_inputs(flights, "outcomes", ["2013-04-01"], inputs) == ()
    assert waivers.of_partitions(flights, "arrivals", [FIRST, "2013-04-01"]).keys() == {FIRST}


def test_of_a_batch_of_several_days_only_those_that_look_back_on_the_released_one_rest_on_it(flights):
    days = ["2013-04-01", "2013-04-02", "2013-04-03", "2013-04-04"]
    snapshot = tables.snapshot_id("flights", "arrivals")
    read = {"kind": "snapshot", "table": "arrivals", "snapshot_id": snapshot, "last": days[-1]}

    (long,) = inherited.of_inputs(flights, "features", days, [{**read, "first": "2013-03-04"}])
    (short,) = inherited.of_inputs(flights, "features", days, [{**read, "first": "2013-03-31"}])

    assert long.days == ("2013-04-03", "2013-04-04")
    assert short.days == ("2013-04-03",), "one day of history"


@pytest.mark.parametrize("table", MADE)
def test_trace_and_evidence_pages_name_the_waiver(flights, waiver, table):
    day = MADE[table]
    text = "\n".join(show.traced(holds.trace(flights, table, day)))
    assert "None" not in text
    if table == spec.PREDICTIONS:
        assert "from        scored by the baseline, of flights_late_arrival" in text
    (verdict,) = ledger.entries(kind="verdict", subject=table, partition=day)

    assert "rests on      arrivals 2013-04-02, released by Ada until 2013-04-05, valid today" in text
    (told,) = released.of_page(verdict.data["report"])
    assert (told.table, told.day, told.made) == ("arrivals", FIRST, (f"{table} {day}",))
    assert told.by == f"Ada (typed by {waivers.account()}, no second person)"
    page = (settings().home / "reports" / verdict.data["report"]).read_text()
    assert "Rests on" in page
    assert f"entry <code>{waiver.seq}</code> of the ledger" in page


def test_index_says_what_was_made_from_a_released_day(flights):
    (told,) = released.read("flights")
    assert told.made == (f"features {SECOND}", f"outcomes {FIRST}", f"predictions {SECOND}")
    assert released.of_page(f"flights/gates/features/{FIRST}/x.html") == ()
    (own,) = released.of_page(f"flights/gates/arrivals/{FIRST}/x.html")
    assert (own.table, own.made) == ("arrivals", ())
    assert released.of_page(f"flights/gates/arrivals/{SECOND}/x.html") == (), "another day of the same table"


def test_outcomes_in_seconds_are_not_blamed_on_the_model(flights):
    """The AUC of the day is recorded with the waiver, and no number of such days asks for a new model."""
    (measured,) = [
        entry
        for entry in ledger.entries(kind="monitored", pipeline="flights", partition=FIRST)
        if entry.data["labelled"]
    ]
    assert measured.data["released"] == ["arrivals 2013-04-02, released by Ada until 2013-04-05"]
    assert measured.data["auc"] is not None

    decided = monitoring.decide(flights, SECOND, RUN)

    assert decided["action"] == "warn"
    (reason,) = [one for one in decided["reasons"] if "released" in one]
    assert f"{FIRST} (AUC {measured.data['auc']:.3f})" in reason
    assert "arrivals 2013-04-02, released by Ada until 2013-04-05" in reason
    assert decided["numbers"]["days_with_outcomes"] == 0


def test_training_names_what_rests_on_a_waiver(flights, waiver):
    snapshots = {table: tables.snapshot_id("flights", table) for table in ("features", "outcomes")}

    (named,) = waived.require_valid(flights, 30, until=SECOND, snapshots=snapshots)

    assert (named["waiver"], named["table"], named["partition"]) == (waiver.seq, "arrivals", FIRST)
    assert named["days"] == {"arrivals": [FIRST], "features": [SECOND], "outcomes": [FIRST]}
    assert waived.named([named]) == "arrivals 2013-04-02 by Ada"


def test_training_refuses_rows_that_were_made_from_released_ones_when_the_waiver_is_over(flights, later):
    snapshots = {table: tables.snapshot_id("flights", table) for table in ("features", "outcomes")}
    with pytest.raises(WaiverExpiredError, match=r"features 2013-04-03 \(made from arrivals 2013-04-02"):
        waived.require_valid(flights, 30, until=SECOND, snapshots=snapshots)


def test_what_rests_on_a_waiver_that_is_over_is_listed_as_to_be_rebuilt(flights, later):
    found = inherited.rebuilds(flights)
    assert [(one.subject, one.partition, one.standing) for one in found] == [
        ("features", SECOND, "expired"),
        ("outcomes", FIRST, "expired"),
    ]
    text = "\n".join(held.as_text(held.read(flights)))
    assert "features 2013-04-03 was made from arrivals 2013-04-02, released by Ada until 2013-04-05" in text
    assert f"Run flights_transform again with partition key {SECOND}." in text


def test_mails_say_what_was_made_from_released_data(flights, waiver, later, tmp_path):
    expired = report.of_waiver_expired(flights, waiver, task_url="http://127.0.0.1/")
    (section,) = expired.sections
    assert [(item.lead, item.text) for item in section.items] == [
        ("features", SECOND),
        ("outcomes", FIRST),
        ("predictions", SECOND),
    ]
    assert "flights_transform" in section.items[0].note
    assert "typed by" in expired.facts["Released by"]
    (entry,) = ledger.entries(kind="verdict", subject="features", partition=SECOND)
    verdict = Verdict.model_validate(
        {name: entry.data[name] for name in Verdict.model_fields if name in entry.data}
    )
    held = report.of_verdict(flights, verdict, task_url="http://127.0.0.1/")
    assert held.facts["Rests on"] == "arrivals 2013-04-02, released by Ada until 2013-04-05"

    sink = Controller(Keeper(tmp_path), "127.0.0.1", free_ports(1))
    sink.start()
    try:
        notify.digest(flights, Smtp("127.0.0.1", sink.port))
    finally:
        sink.stop()
    (path,) = tmp_path.glob("*.eml")
    mail = message_from_bytes(path.read_bytes(), policy=default)
    text = " ".join(mail.get_body(("plain",)).get_content().split())
    assert "MADE FROM RELEASED DATA" in text
    assert (
        "arrivals 2013-04-02, released by Ada until 2013-04-05: features on 2013-04-03; outcomes on 2013-04-02; "
        "predictions on 2013-04-03." in text
    )
