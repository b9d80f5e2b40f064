"""The loop comes to rest: how often a new model is asked for, whatever becomes of it."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.declare.monitoring import Retraining
from sluice_ml.config import RetrainingConfig
from sluice_ml.monitoring import decide
from sluice_ml.retraining import CAUSES, Event, answer
from tests.ml.test_monitoring import day

pytestmark = pytest.mark.fast

START = date(2013, 4, 1)
# What ships: docs/monitoring.md says how often it asks at most.
CONFIG = RetrainingConfig(**Retraining().model_dump())


def on(number: int) -> date:
    return START + timedelta(days=number)


def live(wanted, answered, days=365):
    """Live `days` days; returns the numbers of the days that asked, the persons asked, and the events.

    `wanted(number, last_promotion)` gives a day's causes, `answered(number)` how the training ends that is asked for on it.
    """
    past, asked, persons, promoted = [], [], set(), 0
    for number in range(days):
        causes = tuple(cause for cause in CAUSES if cause in wanted(number, promoted))
        reply = answer(causes, on(number), past, CONFIG)
        past.append(Event(on(number), "alarm", causes))
        if reply.person:
            persons.add(reply.since)
        if reply.ask:
            asked.append(number)
            past.append(Event(on(number), "asked", causes))
            end = answered(number)
            if end:
                past.append(Event(on(number), end))
            if end == "promoted":
                promoted = number
    return asked, persons, past


def old(number, promoted):
    return {"age"} if number - promoted > 60 else set()


def test_year_of_an_old_model_that_no_candidate_replaces_asks_at_most_eight_times():
    asked, persons, _ = live(old, lambda _: "refused")
    assert 2 <= len(asked) <= 8, asked
    waits = [after - before for before, after in pairwise(asked)]
    assert min(waits) >= CONFIG.attest_days
    assert len(persons) == 1, "a person is asked once"


def test_year_in_which_no_candidate_becomes_the_first_champion_asks_at_most_eight_times():
    past, asked = [Event(on(0), "refused")], []
    for number in range(1, 366):
        if answer(["no_champion"], on(number), past, CONFIG).ask:
            asked.append(number)
            past += [Event(on(number), "asked", ("no_champion",)), Event(on(number), "refused")]
    assert asked == [7, 21, 49, 105, 161, 217, 273, 329]


def test_year_in_which_each_refresh_is_promoted_asks_when_the_model_is_old_and_no_person():
    asked, persons, _ = live(old, lambda _: "promoted")
    assert asked == [61, 122, 183, 244, 305]
    assert not persons


def test_refused_refresh_attests_the_champion_until_a_day_that_is_named():
    past = [Event(on(0), "asked", ("age",)), Event(on(0), "refused")]
    reply = answer(["age"], on(29), past, CONFIG)
    assert (reply.ask, reply.until) == (False, on(30))
    assert f"the champion stands until {on(30)}" in reply.why
    assert answer(["age"], on(30), past, CONFIG).ask


def test_drop_does_not_wait_for_an_attested_champion():
    past = [Event(on(0), "asked", ("age",)), Event(on(0), "refused")]
    assert not answer(["performance"], on(6), past, CONFIG).ask
    assert answer(["performance"], on(7), past, CONFIG).ask


def test_refusals_double_the_wait_up_to_a_bound_and_a_promotion_ends_it():
    past, waits = [], []
    for number in range(6):
        asked = on(200 * number)
        past += [Event(asked, "asked", ("performance",)), Event(asked, "refused")]
        waits.append(
            next(n for n in range(1, 200) if answer(["calibration"], asked + timedelta(n), past, CONFIG).ask)
        )
    assert waits == [7, 14, 28, 56, 56, 56]
    past += [Event(on(1200), "asked", ("age",)), Event(on(1200), "promoted")]
    assert answer(["performance"], on(1207), past, CONFIG).ask


@pytest.mark.parametrize("end", ["refused", "promoted"])
def test_drop_that_two_models_did_not_end_stops_and_asks_one_person(end):
    asked, persons, past = live(lambda *_: {"performance"}, lambda _: end)
    assert len(asked) == 2
    assert persons == {START}
    last = answer(["performance"], on(365), past, CONFIG)
    assert last.until is None
    assert last.person.startswith(f"2 new models did not end the drop that began on {START}")


def test_drop_that_was_given_up_may_be_tried_again_when_it_is_over_or_a_person_chose_the_champion():
    stopped = [
        Event(on(0), "alarm", ("performance",)),
        *(Event(on(day), kind, ("performance",)) for day in (0, 20) for kind in ("asked", "promoted")),
        Event(on(40), "alarm", ("performance",)),
    ]
    assert not answer(["performance"], on(41), stopped, CONFIG).ask
    assert answer(["performance"], on(69), stopped, CONFIG).ask
    for chosen in ("rolled_back", "promoted"):
        assert answer(["performance"], on(41), [*stopped, Event(on(40), chosen)], CONFIG).ask


def test_request_is_awaited_and_one_that_is_lost_for_good_is_asked_again():
    past = [Event(on(0), "asked", ("age",))]
    reply = answer(["performance"], on(10), past, CONFIG)
    assert (reply.ask, reply.until) == (False, on(56))
    assert answer(["performance"], on(56), past, CONFIG).ask


def test_drop_does_not_end_because_an_earlier_day_is_decided_again():
    stopped = [
        *(Event(on(day), kind, ("performance",)) for day in (0, 20) for kind in ("asked", "refused")),
        Event(on(40), "alarm", ("performance",)),
        Event(on(2), "alarm", ("performance",)),
    ]
    reply = answer(["performance"], on(60), stopped, CONFIG)
    assert (reply.ask, reply.since) == (False, on(0))


def test_candidate_with_too_few_days_to_compare_uses_up_no_try_of_a_drop_and_asks_no_person():
    tried = [
        Event(on(number), kind, ("performance",)) for number in (2, 9) for kind in ("asked", "undecided")
    ]
    assert not answer(["performance"], on(15), tried, CONFIG).ask
    reply = answer(["performance"], on(16), tried, CONFIG)
    assert (reply.ask, reply.person) == (True, "")


def test_decision_that_is_made_again_for_an_earlier_day_does_not_ask_again():
    past = [Event(on(5), "asked", ("performance",)), Event(on(5), "refused")]
    assert not answer(["performance"], on(2), past, CONFIG).ask


@pytest.mark.parametrize("cause", ["broken_pipe", "released", "input_shift", "held"])
def test_what_is_no_cause_cannot_ask(cause):
    with pytest.raises(ValueError, match="cannot ask for a model"):
        answer([cause], on(0), [], CONFIG)


# What is said of a champion: where there is none, nothing else is.
of_a_champion = st.sets(st.sampled_from([cause for cause in CAUSES if cause != "no_champion"]))
causes_of_days = st.lists(of_a_champion, min_size=1, max_size=150)
ends = st.lists(st.sampled_from(["refused", "promoted", "skipped", ""]), min_size=1, max_size=20)


@given(causes_of_days, ends)
def test_requests_never_exceed_the_weekly_budget(causes, ends):
    asked, _, _ = live(lambda number, _: causes[number], lambda number: ends[number % len(ends)], len(causes))
    assert all(after - before >= 7 for before, after in pairwise(asked))


@settings(max_examples=8)
@given(st.lists(of_a_champion, min_size=365, max_size=365))
def test_requests_that_are_all_refused_are_at_most_eight_in_nine_months_and_nine_in_a_year(causes):
    asked, persons, _ = live(lambda number, _: causes[number], lambda _: "refused", len(causes))
    assert len([number for number in asked if number < 275]) <= 8
    assert len(asked) <= 9
    assert len(persons) <= len(asked)


def test_alarms_that_each_come_when_the_last_wait_is_over_ask_as_often_as_can_be():
    drops = {0, 7, *range(49, 365, 56)}
    asked, _, _ = live(lambda number, _: {"performance"} if number in drops else {"age"}, lambda _: "refused")
    assert asked == [0, 7, 21, 49, 105, 161, 217, 273, 329]


def test_days_of_data_faults_held_inputs_and_waivers_never_ask(monitoring):
    """A year of days, each bad for a reason that is not the model's."""
    excuses = (
        {"released": ("arrivals, released by Ada",)},
        {"input_age_days": 2},
        {"made_late": True},
        {"labelled": 0, "auc": None},
        {"broken": {"weather": ("wind_gust",)}},
    )
    history, past = [], []
    for number in range(365):
        history.append(day(number, **{"auc": 0.3, "shift": 1.0, **excuses[number % 5]}))
        decision = decide(
            history[-100:], monitoring, champion_lead=0.08, champion_days=14, model_age_days=5, past=past
        )
        assert decision.wanted == ()
        assert decision.action in ("nothing", "warn")
