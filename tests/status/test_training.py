"""A request to train is part of a pipeline's status until a training has answered it, and one that was lost is started."""

from __future__ import annotations

from datetime import date

import pytest
from click.testing import CliRunner

from sluice import holds, ledger, status
from sluice.cli import main
from sluice.core.errors import SkipRefusedError
from sluice.core.runs import Run
from sluice.ledger.kinds import KINDS
from sluice.models import training_history
from sluice.status import reconcile, training
from sluice_lab import feed
from sluice_ml import retraining
from sluice_ml.config import RetrainingConfig

MONDAY, TUESDAY = "2013-04-01", "2013-04-02"
RUN = Run(run_id="test")
IDLE = dict.fromkeys(reconcile.STARTS, 0)
ONLY_TRAIN = {"train": 0}


def _record(live, kind, day, **data):
    about = {"pipeline": "flights", "subject": live.model.name, "partition": day, "run": "r"}
    return ledger.append(KINDS[kind](**data), **about)


def _training(live):
    return {item.run_day: (item.state, item.reason) for item in status.of(live) if item.stage == "train"}


def _started(live):
    return [(start.stage, start.run_day) for start in reconcile.plan(live, ONLY_TRAIN)]


@pytest.fixture
def requested(live, at):
    at("2013-04-02 05:00")
    _record(live, "decided", MONDAY, action="retrain")
    _record(live, "retrain_requested", MONDAY)
    return live


def test_nothing_is_said_of_training_that_nobody_asked_for(live, at):
    at("2013-04-02 05:00")
    _record(live, "decided", MONDAY, action="nothing")
    assert _training(live) == {}


def test_a_request_whose_run_was_lost_is_started_after_its_own_event_has_had_its_time(requested, at):
    assert _training(requested) == {MONDAY: ("ready", "monitoring asked for a new model")}
    assert _started(requested) == []
    at("2013-04-02 05:03")
    assert _started(requested) == [("train", MONDAY)]
    assert reconcile.plan(requested, {"train": 1}) == [], "a training is at work"
    # What was trained and not judged, or judged and not promoted, is not done.
    _record(requested, "trained", MONDAY, version=1)
    _record(requested, "audited", MONDAY, version=1)
    assert _started(requested) == [("train", MONDAY)]


def test_a_decision_to_train_whose_run_ended_before_it_asked_is_a_request(live, at):
    at("2013-04-02 05:00")
    _record(live, "decided", MONDAY, action="retrain")
    at("2013-04-02 05:03")
    assert _started(live) == [("train", MONDAY)]
    # Judged again, it asks for none.
    _record(live, "decided", MONDAY, action="warn")
    assert _training(live) == {}


@pytest.mark.parametrize("kind", ["promoted", "refused", "training_skipped"])
def test_a_request_is_answered_by_a_decision_as_of_its_day_or_a_later_one(requested, at, kind):
    at("2013-04-02 06:00")
    said = {"reason": "Learning is paused."} if kind == "training_skipped" else {"version": 1}
    _record(requested, kind, TUESDAY, **said)
    assert _training(requested) == {MONDAY: ("published", "")}
    # The next request is another one.
    at("2013-04-02 07:00")
    _record(requested, "retrain_requested", TUESDAY)
    assert _training(requested)[TUESDAY][0] == "ready"


def test_a_training_as_of_an_earlier_day_answers_nothing(live, at):
    at("2013-04-02 05:00")
    _record(live, "retrain_requested", TUESDAY)
    _record(live, "refused", MONDAY, version=1, reasons=[])
    assert _training(live)[TUESDAY][0] == "ready"


def test_a_training_set_that_was_refused_waits_for_a_person(requested, at):
    _record(requested, "training_refused", MONDAY, what="Test rows are copies of training rows.")
    at("2013-04-02 06:00")
    assert _training(requested) == {MONDAY: ("held", "Test rows are copies of training rows.")}
    assert _started(requested) == []


def test_a_training_that_is_stuck_is_given_up_by_a_person_until_the_next_is_asked_for(requested, at):
    _record(requested, "training_refused", MONDAY, what="Test rows are copies of training rows.")
    at("2013-04-02 06:00")
    word = ["--by", "Ada", "--why", "The outcomes of March were lost."]
    with pytest.raises(SkipRefusedError, match="a name and a reason"):
        training.skip(requested, MONDAY, by="Ada", why=" ", run=RUN)
    refused = CliRunner().invoke(main, ["skip", "flights", TUESDAY, "--training", *word])
    assert (refused.exit_code, f"a run day whose request is open: {MONDAY}" in refused.output) == (1, True)
    both = CliRunner().invoke(main, ["skip", "flights", MONDAY, "--training", "--table", "arrivals", *word])
    assert both.exit_code == 2
    done = CliRunner().invoke(main, ["skip", "flights", MONDAY, "--training", *word])
    assert done.exit_code == 0, done.output
    assert _training(requested) == {MONDAY: ("skipped", "Ada gave it up: The outcomes of March were lost.")}
    assert _started(requested) == []
    assert [entry.record.by for entry in ledger.entries(kind="skipped", subject=requested.model.name)] == [
        "Ada"
    ]
    with pytest.raises(SkipRefusedError, match="nothing to give up"):
        training.skip(requested, MONDAY, by="Ada", why="Again.", run=RUN)
    _record(requested, "retrain_requested", MONDAY)
    assert _training(requested)[MONDAY][0] == "ready"


def test_a_training_that_a_person_gave_up_is_awaited_no_longer(requested, at):
    """Else nothing is asked for until the request counts as lost: `backoff_max_days`."""
    training.skip(requested, MONDAY, by="Ada", why="The registry was lost.", run=RUN)
    config = RetrainingConfig(**requested.monitoring.retraining.model_dump())
    reply = retraining.answer(["performance"], date(2013, 4, 10), training_history.read(requested), config)
    assert reply.ask, reply.why


def test_of_several_requests_the_newest_is_trained_and_answers_the_others(requested, at):
    _record(requested, "retrain_requested", TUESDAY)
    at("2013-04-02 06:00")
    assert _training(requested)[MONDAY] == ("blocked", "the request of 2013-04-02 is newer, and answers it")
    assert _started(requested) == [("train", TUESDAY)]
    _record(requested, "promoted", TUESDAY, version=1)
    assert {state for state, _ in _training(requested).values()} == {"published"}


def test_a_candidate_that_was_refused_is_no_delivery_that_was(requested):
    """Both are entries of the kind `refused`; the list of what is held failed on the first."""
    _record(requested, "refused", TUESDAY, version=1, champion=None, promote=False, reasons=["No better."])
    assert holds.open_batches(requested) == holds.open_holds(requested) == []


def test_what_was_due_before_is_not_changed_by_a_request(requested, at):
    feed.deliver(requested, MONDAY)
    at("2013-04-02 05:03")
    assert [start.stage for start in reconcile.plan(requested, IDLE)] == ["ingest", "train"]
