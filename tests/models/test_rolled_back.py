"""What a roll-back leaves: the predictions that are still in time are made again, and those of earlier days are named and stay."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from sluice import ledger, notify, status
from sluice.cli import main
from sluice.core.runs import Run
from sluice.declare import pipeline_clock
from sluice.lake import batches, tables
from sluice.ledger import records
from sluice.models import history, roles, rolled_back
from sluice.models.scoring import stage_predictions
from sluice.notify import faults, report, resend, resolution
from sluice.status import today
from tests.models.conftest import RUN, flights, publish, publish_staged
from tests.models.test_shadow import DAYS, World, fitted, world

__all__ = ["fitted", "flights", "world"]  # fixtures

pytestmark = pytest.mark.slow

BACK = Run(run_id="rolled back")


@pytest.fixture
def reigns(world: World, home) -> World:
    """Two days were predicted by version 1, and two by version 2."""
    (home / "landing").mkdir()
    world.champion("good")
    for day in DAYS[:2]:
        world.predict(day)
    roles.promote(world.flights, world.candidate("bad", champion=1), RUN)
    for day in DAYS[2:4]:
        world.predict(day)
    return world


def _roll_back(world: World) -> ledger.Entry:
    return roles.roll_back(world.flights, "1", by="ada", why="It ranks at random.", run=BACK)


def _state(world: World, day: str) -> status.Item:
    (item,) = [one for one in status.of(world.flights, first=day, last=day) if one.stage == "score"]
    return item


def test_predictions_in_time_are_made_again_once_and_earlier_ones_stay(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    assert _state(reigns, DAYS[3]).state == "published"
    entry = _roll_back(reigns)
    assert rolled_back.made_before(reigns.flights, entry) == DAYS[2:4]
    assert status.to_score_again(reigns.flights) == [DAYS[3]]
    assert rolled_back.is_open(reigns.flights, DAYS[3])
    item = _state(reigns, DAYS[3])
    assert (item.state, item.is_possible) == ("outdated", True)
    assert item.reason == f"version 2 made them, and gave way by the roll-back of entry {entry.seq}"

    told = report.of_roll_back(reigns.flights, entry, made=[], again=[DAYS[3]], task_url="http://127.0.0.1/")
    faults.record(told, told.incident_key(0), "sent", "told", faults.sighting(told))
    publish_staged(reigns.flights, stage_predictions(reigns.flights, [DAYS[3]], BACK))
    (mail,) = ledger.entries(kind="mail")
    assert (
        resolution.find(reigns.flights, mail).text
        == f"The predictions of {DAYS[3]} were made again by version 1."
    )
    versions = tables.scan("flights", "predictions", DAYS[2], DAYS[3])
    assert set(versions["model_version"].to_pylist()) == {"2", "1"}
    assert _state(reigns, DAYS[3]).state == "published"
    assert rolled_back.made_before(reigns.flights, entry) == [DAYS[2]]
    assert not status.to_score_again(reigns.flights)
    assert not rolled_back.is_open(reigns.flights, DAYS[3])


def test_nothing_is_made_again_when_its_time_is_over_and_the_mail_says_what_stays(reigns):
    late = date.fromisoformat(DAYS[3]) + timedelta(days=2)
    pipeline_clock.advance(reigns.flights, late)
    entry = _roll_back(reigns)
    made = rolled_back.made_before(reigns.flights, entry)
    assert (made, status.to_score_again(reigns.flights)) == (DAYS[2:4], [])
    event = report.of_roll_back(reigns.flights, entry, made=made, again=[], task_url="http://127.0.0.1:8080/")
    assert event.effect == (
        f"Predictions of 2 days that readers see ({DAYS[2]} to {DAYS[3]}) were made by version 2. They stay as they were made: they "
        "are what was known and acted on."
    )
    assert event.summary == "Version 2 gives way to version 1, says ada: It ranks at random."
    assert (event.partition, event.ends_with.names) == (None, ())


def test_reign_that_published_nothing_leaves_nothing(reigns):
    roles.promote(reigns.flights, reigns.candidate("good", champion=2), RUN)
    entry = roles.roll_back(reigns.flights, "2", by="ada", why="Too early.", run=BACK)
    assert rolled_back.made_before(reigns.flights, entry) == []
    assert rolled_back.read(reigns.flights, entry.seq) == entry


def test_roll_back_of_a_roll_back_still_finds_what_readers_see_of_the_first(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    _roll_back(reigns)
    second = roles.roll_back(reigns.flights, "baseline", by="ada", why="Neither.", run=Run(run_id="again"))
    assert rolled_back.made_before(reigns.flights, second) == []
    assert status.to_score_again(reigns.flights) == [DAYS[3]]


def test_nothing_is_made_again_by_the_version_that_made_it_and_everyone_dates_its_return_alike(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    _roll_back(reigns)
    assert _state(reigns, DAYS[3]).state == "outdated"
    assert rolled_back.would_be_made_again(reigns.flights, None) == [DAYS[3]]
    assert rolled_back.would_be_made_again(reigns.flights, 2) == []
    roles.roll_back(reigns.flights, "2", by="ada", why="Back again.", run=Run(run_id="again"))
    assert _state(reigns, DAYS[3]).state == "published"
    assert not status.to_score_again(reigns.flights)
    assert not rolled_back.is_open(reigns.flights, DAYS[3])
    seen = today.read(reigns.flights)
    assert not [reason for reason in seen.reasons if "gave way" in reason]
    assert seen.scorer == f"version 2, champion since {DAYS[3]}"
    assert history.read(reigns.flights).changes[0].began.startswith(DAYS[3])


def test_held_predictions_of_the_version_before_are_made_again(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[4]))
    publish(reigns.flights, "features", reigns._of(DAYS[4]).drop_columns(["is_late"]))
    held = stage_predictions(reigns.flights, [DAYS[4]], RUN)
    ledger.append(
        records.Held(batch_id=held.batch_id, outcome="HOLD", rows=held.rows, reasons=["It ranks at random."]),
        pipeline="flights",
        subject="predictions",
        partition=DAYS[4],
    )
    assert _state(reigns, DAYS[4]).state == "held"
    assert not status.to_score_again(reigns.flights)
    _roll_back(reigns)
    assert status.to_score_again(reigns.flights) == [DAYS[4]]


def test_each_roll_back_by_the_command_is_told_also_when_another_decision_has_followed(reigns, monkeypatch):
    assert notify.untold_roll_backs(reigns.flights) == []
    word = ["--by", "ada", "--why", "It ranks at random."]
    for version in ("1", "baseline"):
        done = CliRunner().invoke(main, ["model", "rollback", "flights", "--to", version, *word])
        assert done.exit_code == 0, done.output
        assert "the next of flights_watch sends the mail (ROLLED BACK) to `mail_to`" in done.output
    roles.promote(reigns.flights, reigns.candidate("good", champion=None), RUN)
    first, second = notify.untold_roll_backs(reigns.flights)
    assert (first.record.version, second.record.version) == (1, None)
    event = report.of_roll_back(reigns.flights, first, made=[], again=[], task_url="http://127.0.0.1:8080/")
    faults.record(event, event.incident_key(0), "sent", "told", {})
    assert notify.untold_roll_backs(reigns.flights) == [second]
    monkeypatch.setattr(resend, "_NEWS", timedelta(0))
    assert notify.untold_roll_backs(reigns.flights) == [], "it is no news any more"


def test_day_that_was_never_scored_waits_for_its_own_run(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[4]))
    publish(reigns.flights, "features", reigns._of(DAYS[4]).drop_columns(["is_late"]))
    _roll_back(reigns)
    assert _state(reigns, DAYS[4]).state == "ready"
    assert not status.to_score_again(reigns.flights)


def test_predictions_whose_batch_was_cleared_away_are_nobodys_and_stop_no_mail(reigns, home):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    entry = _roll_back(reigns)
    batch_id = batches.full_id(tables.published("flights", "predictions")[DAYS[3]].batch_id)
    (manifest,) = home.rglob(f"{batch_id}/{batches.MANIFEST}")
    manifest.unlink()
    assert rolled_back.made_before(reigns.flights, entry) == [DAYS[2]]
    assert not rolled_back.is_open(reigns.flights, DAYS[3])
    assert not status.to_score_again(reigns.flights)


def test_command_says_what_is_made_again(reigns):
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    asked = CliRunner().invoke(
        main, ["model", "rollback", "flights", "--to", "1", "--by", "ada", "--why", "Random."]
    )
    assert asked.exit_code == 0, asked.output
    said = " ".join(asked.output.split())
    assert f"Published predictions of {DAYS[2]} to {DAYS[3]} (2 days) were made before it" in said
    assert f"{DAYS[3]} is still in time" in said
