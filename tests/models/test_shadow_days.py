"""Which days count for a shadow: those that the champion scored in time and whole, with scores of the challenger beside its own."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.runs import Run
from sluice.lake import batches
from sluice.ledger import model_records
from sluice.models import challenger, history, roles, shadow
from tests.models.conftest import DAY, RUN
from tests.models.test_shadow import DAYS, NEXT, SHADOW_DAYS, fitted, world

__all__ = ["fitted", "world"]  # fixtures

pytestmark = pytest.mark.slow


def test_day_with_a_number_that_no_model_can_hold_does_not_count_and_refuses_nobody(world):
    world.enters("good", champion=None)
    sound, place = world.rows, world.rows.column_names.index("temperature_f")
    world.rows = sound.set_column(place, "temperature_f", pa.array(np.full(sound.num_rows, np.inf)))
    assert world.predict(DAYS[0]) is None
    assert shadow.score(world.flights, DAYS[0], NEXT) is None
    (scored,) = ledger.entries(model_records.ScoredInShadow)
    assert scored.record.batch_id is None
    world.rows = sound
    assert world.monitor(DAYS[0]) is None
    assert world.live(DAYS[1:]) == [None] * SHADOW_DAYS
    first, second = history.read(world.flights).in_shadow
    assert f"{SHADOW_DAYS - 1} of {SHADOW_DAYS} days are in" in first
    assert second.startswith(f"{DAYS[0]} does not count: ")
    assert "have a temperature_f that is infinite" in second


def test_day_on_which_something_stood_in_for_the_champion_does_not_count(world):
    world.champion("bad")
    world.enters("good", champion=1)
    world.made[DAYS[1]] = roles.BASELINE
    assert world.live() == [None] * len(DAYS)
    assert (
        f"{SHADOW_DAYS - 1} of {SHADOW_DAYS} days are in"
        in challenger.standing(world.flights, challenger.current(world.flights))[0]
    )


def test_shadow_of_which_too_few_days_count_ends_and_a_model_may_be_asked_for_again(world):
    world.champion("good")
    world.enters("good", champion=1)
    world.live(DAYS[:2])
    wait = 2 * SHADOW_DAYS + world.flights.monitoring.outcome_wait_days
    last = date.fromisoformat(DAY) + timedelta(days=wait)
    assert shadow.judge(world.flights, last.isoformat(), NEXT) is None
    ended = shadow.judge(world.flights, (last + timedelta(days=1)).isoformat(), Run(run_id="later"))
    assert (ended.kind, ended.record.outcome) == ("refused", "refuse")
    assert challenger.current(world.flights) is None


def test_what_is_scored_again_is_scored_once_for_each_batch_that_readers_see(world):
    world.champion("good")
    world.enters("good", champion=1)
    world.predict(DAYS[0])
    shadow.score(world.flights, DAYS[0], RUN)
    assert len(ledger.entries(model_records.ScoredInShadow)) == 1
    world.predict(DAYS[0])
    assert len(ledger.entries(model_records.ScoredInShadow)) == 2


def test_day_that_was_predicted_late_or_learned_from_is_not_scored_in_shadow(world):
    world.champion("good")
    world.enters("good", champion=1)
    world.predict(DAYS[0])
    learned = (date.fromisoformat(DAY) - timedelta(days=1)).isoformat()
    place = world.rows.column_names.index("ds")
    of_then = pa.array([date.fromisoformat(learned)] * world.rows.num_rows, pa.date32())
    world.rows = world.rows.set_column(place, "ds", of_then)
    world.predict(learned)
    assert [entry.partition for entry in ledger.entries(model_records.ScoredInShadow)] == [DAYS[0]]


def test_day_that_was_predicted_after_its_time_is_not_scored_in_shadow(world):
    world.champion("good")
    world.enters("good", champion=1)
    world.predict(DAYS[0], made_late=True)
    assert ledger.entries(model_records.ScoredInShadow) == []


@pytest.mark.parametrize(
    "measured",
    [{"input_age_days": 1}, {"released": ("a word",)}, {"labelled": 99}, {"auc": None}],
    ids=["stale", "released", "few", "one_class"],
)
def test_day_that_says_nothing_of_a_model_does_not_count(world, measured_day, measured):
    world.champion("bad")
    world.enters("good", champion=1)
    world.live(DAYS[:2])
    world.measured_day = lambda ds, **known: measured_day(ds, **{**known, **measured})
    world.live(DAYS[2:3])
    (said,) = history.read(world.flights).in_shadow
    assert f"1 of {SHADOW_DAYS} days are in" in said


def test_damaged_scores_of_a_day_leave_it_out_and_say_so(world):
    world.champion("bad")
    world.enters("good", champion=1)
    world.live(DAYS[:3])
    scored = ledger.entries(model_records.ScoredInShadow, partition=DAYS[0])[0].record
    file = batches.load("flights", shadow.SCORES, scored.batch_id).files[DAYS[0]]
    Path(file).write_bytes(b"x")
    assert world.live(DAYS[3:])[-1] is None
    first, second = history.read(world.flights).in_shadow
    assert f"{SHADOW_DAYS - 1} of {SHADOW_DAYS} days are in" in first
    assert second.startswith(f"{DAYS[0]} does not count: The file of batch {scored.batch_id}")
