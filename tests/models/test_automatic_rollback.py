"""The gate takes a champion back only where nothing but the champion can be at fault, and only once."""

from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from sluice import crossing, ledger, status
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.ledger import Entry, model_records, records
from sluice.models import automatic_rollback, history, roles
from sluice.models.scoring import stage_predictions
from sluice_ml.training import Candidate, fit
from tests.models.conftest import RUN, flights, flights_rows, publish, small_config
from tests.models.test_shadow import DAYS, World, declared, fitted, world

__all__ = ["fitted", "flights", "world"]  # fixtures

pytestmark = pytest.mark.slow

DAY = DAYS[2]
SCORE = Run(dag_id="flights_score", run_id="score")


@pytest.fixture(scope="module")
def flat(fitted) -> Candidate:
    """A model that has learned nearly nothing: its scores are one, which the gate of predictions holds."""
    spec_ = declared(spec.load("flights"))
    small = {"simpler_margin": -1.0, "valid_blocks": 1, "rounds": 1}
    params = {**small_config(spec_).params, "learning_rate": 1e-4}
    return fit(flights_rows(spec_), dataclasses.replace(small_config(spec_), **small, params=params))


@pytest.fixture
def reigns(world: World, flat, home) -> World:
    """Of two kinds of model, where the gate holds the scores of one."""
    (home / "landing").mkdir()
    world.fitted = {**world.fitted, "flat": flat}
    return world


@pytest.fixture
def held(reigns: World) -> World:
    """Version 1 was champion, version 2 is, and the gate holds what it made of DAY."""
    reigns.champion("good")
    reigns.predict(DAYS[0])
    roles.promote(reigns.flights, reigns.candidate("flat", champion=1), RUN)
    hold(reigns, DAY)
    return reigns


def hold(world: World, day: str) -> str:
    pipeline_clock.advance(world.flights, date.fromisoformat(day))
    publish(world.flights, "features", world._of(day).drop_columns(["is_late"]))
    batch_id = stage_predictions(world.flights, [day], SCORE).batch_id
    assert crossing.audit(world.flights, "predictions", batch_id, SCORE).outcome == "HOLD"
    return batch_id


def roll_back(world: World, **given: str) -> Entry[model_records.RolledBack] | str:
    return automatic_rollback.roll_back(world.flights, DAY, SCORE, **given)


def test_champion_whose_scores_are_held_gives_way_to_the_one_before_which_passes_on_the_same_rows(held):
    entry = roll_back(held)
    assert not isinstance(entry, str), entry
    about = entry.record
    assert (about.version, about.previous, about.by) == (1, 2, "the gate of predictions")
    assert about.held == ledger.entries(records.Held)[0].record.batch_id
    assert about.why.startswith(
        f"it held the predictions of {DAY} that version 2 had made (Rule scores_differ failed"
    )
    assert (
        "and passes those that version 1 makes of the same rows (PASS, evidence flights/gates/" in about.why
    )
    assert roles.current(held.flights).champion == 1
    assert status.to_score_again(held.flights) == [DAY]
    change = history.read(held.flights).changes[0]
    assert (change.moved_by, change.dag_id) == ("the gate of predictions", "flights_score")
    assert not ledger.entries(model_records.StoodIn), "nobody stood in: it was only tried"


def test_nobody_is_taken_back_for_the_next_one_and_no_version_twice(held):
    assert not isinstance(roll_back(held), str)
    roles.promote(held.flights, held.candidate("good", champion=1), RUN)
    roles.roll_back(held.flights, "2", by="ada", why="Let it try.", run=Run(run_id="person"))
    hold(held, DAY)
    assert roll_back(held) == (
        "Version 2 was promoted over no model, or came back by a roll-back: who scores is a person's decision."
    )
    # Promoted again, it begins another reign.
    roles.roll_back(held.flights, "1", by="ada", why="Back.", run=Run(run_id="another"))
    about = {"pipeline": "flights", "subject": held.flights.model.name, "partition": DAY}
    decision = model_records.Audited(version=2, champion=1, promote=True)
    roles.promote(held.flights, ledger.append(decision, **about), RUN)
    hold(held, DAY)
    assert roll_back(held) == "The gate has taken version 2 back once, and a person has let it score again."


def test_champion_stays_where_the_one_before_fails_on_the_same_rows(reigns):
    reigns.champion("flat")
    roles.promote(reigns.flights, reigns.candidate("flat", champion=1), RUN)
    hold(reigns, DAY)
    said = "Version 1, which was champion before, does not pass on the same rows either: HOLD: Rule scores_differ"
    assert str(roll_back(reigns)).startswith(said)
    assert roles.current(reigns.flights).champion == 2


def test_champion_stays_while_anything_else_is_held(held):
    assert roll_back(held, others="arrivals 2013-04-01") == (
        "The fault may be in the data: arrivals 2013-04-01 is held, too."
    )
    assert roles.current(held.flights).champion == 2


def test_champion_stays_where_its_time_is_over_or_nothing_is_held(held):
    assert (
        automatic_rollback.roll_back(held.flights, DAYS[0], SCORE) == f"No predictions of {DAYS[0]} are held."
    )
    pipeline_clock.advance(held.flights, date.fromisoformat(DAYS[4]))
    assert roll_back(held) == f"The time of the predictions of {DAY} is over: nothing would be made again."


def test_champion_stays_where_a_newer_one_has_not_made_what_is_held(held):
    roles.promote(held.flights, held.candidate("good", champion=2), RUN)
    assert roll_back(held) == f"Not the champion of now has made the predictions of {DAY}."
