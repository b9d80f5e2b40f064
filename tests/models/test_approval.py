"""Of a critical model no challenger becomes champion without a person; an experiment has no champion at all. With real models."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from sluice import ledger
from sluice.core import clock
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.lake import connection
from sluice.ledger import Entry, model_records, records
from sluice.models import approval, challenger, history, monitoring, roles, shadow, training, training_history
from sluice.models.config import monitoring_config, registry
from sluice_ml import retraining
from tests.models.conftest import DAY, RUN, aliases, publish
from tests.models.test_shadow import DAYS, NEXT, World, declared, fitted, world

__all__ = ["fitted", "world"]

pytestmark = pytest.mark.slow

ANSWERED = Run(dag_id="flights_promote", run_id="answered")


@pytest.fixture
def critical(world) -> World:
    """A bad champion, and a better challenger of a critical model."""
    world.flights = declared(world.flights, criticality="critical")
    world.champion("bad")
    world.enters("good", champion=1)
    return world


@pytest.fixture
def asked(critical) -> Entry[model_records.ApprovalRequested]:
    """The challenger passed its shadow, and waits."""
    assert critical.live()[-1].kind == "audited"
    return challenger.waiting(critical.flights)


def test_challenger_that_passed_waits_and_everywhere_it_is_said_since_when(critical, asked):
    flights = critical.flights
    assert (roles.current(flights).champion, asked.record.version) == (1, 2)
    assert aliases(flights) == {"champion": 1, "challenger": 2}
    said = f"Version 2 waits for a person since {asked.at:%Y-%m-%d %H:%M} UTC (flights_promote)."
    found = history.read(flights)
    assert (found.in_shadow[0], found.waits) == (said, True)
    assert said in "\n".join(history.lines(found))
    assert f"{asked.partition}: approval requested" in "\n".join(history.lines(found))
    assert f"  {said}" in list(roles.lines(roles.read(flights)))
    assert shadow.judge(flights, DAYS[-1], RUN).kind == "audited", "whoever was killed repeats it"
    assert shadow.judge(flights, DAYS[-1], NEXT) is None
    assert len(ledger.entries(model_records.ApprovalRequested)) == 1
    assert "version 2 is in shadow and will be decided on first" in monitoring._not_asked(flights)


def test_person_who_is_asked_sees_what_it_rests_on_and_an_approval_is_recorded_with_who_and_why(
    critical, asked
):
    flights = critical.flights
    question = approval.question(flights, asked)
    assert "Shall **version 2** of `flights_late_arrival` score in place of version 1?" in question
    assert "`The candidate beats the champion by more than the noise" in question

    done = approval.approve(flights, asked, by="ada", why="Its days are fine.", run=ANSWERED)

    assert (done.kind, done.record.by, done.record.why) == ("promoted", "ada", "Its days are fine.")
    assert aliases(flights) == {"champion": 2, "previous": 1}
    assert approval.approve(flights, asked, by="bob", why="Twice.", run=NEXT) == done
    assert approval.reject(flights, asked, by="bob", why="No.", run=NEXT) == done
    change = history.read(flights).changes[0]
    assert (change.dag_id, change.moved_by) == (
        "flights_promote",
        "the gate and ada, who approved it: Its days are fine.",
    )


@pytest.mark.parametrize(
    ("by", "why", "said"),
    [
        ("ada", "It is worse at night.", "ada rejected version 2: It is worse at night."),
        ("ada", " No\x1b. ", "ada rejected version 2: No\\x1b."),
        ("ada", "", "ada rejected version 2, and gave no reason."),
        ("", "", "Nobody decided on version 2 within 7 days."),
    ],
)
def test_rejection_or_silence_refuses_it_and_a_model_may_be_asked_for_again(critical, asked, by, why, said):
    flights = critical.flights
    done = approval.reject(flights, asked, by=by, why=why, run=ANSWERED)
    assert (done.kind, done.record.outcome, done.record.reasons[0]) == ("refused", "refuse", said)
    assert (roles.current(flights).champion, challenger.current(flights)) == (1, None)
    assert approval.approve(flights, asked, by="bob", why="All the same.", run=NEXT) == done
    assert history.read(flights).decisions[0].dag_id == "flights_promote"
    assert monitoring._not_asked(flights) == ""
    assert [event.kind for event in training_history.read(flights)][-1] == "refused"
    (tags,) = (one.tags for one in registry().versions(flights.model.name) if one.version == 2)
    assert tags["decision"] == "refused"

    normal = declared(flights, criticality="normal")
    assert shadow.judge(normal, DAYS[-1], RUN) == done, "the run in which it passed is repeated"
    assert roles.current(normal).champion == 1


def test_monitoring_gives_up_a_request_that_nobody_was_asked_about(critical, asked, monkeypatch):
    real = clock.utc_now
    monkeypatch.setattr(clock, "utc_now", lambda: real() + timedelta(days=7, hours=23))
    assert shadow.judge(critical.flights, DAYS[-1], NEXT) is None
    monkeypatch.setattr(clock, "utc_now", lambda: real() + timedelta(days=8, hours=1))
    later = Run(dag_id="flights_monitor", run_id="later")
    done = shadow.judge(critical.flights, DAYS[-1], later)
    assert shadow.judge(critical.flights, DAYS[-1], later) == done, "its mail may not have been sent"
    assert done.record.reasons[0] == "Nobody decided on version 2 within 7 days."
    assert history.read(critical.flights).decisions[0].dag_id == "flights_monitor"


@pytest.mark.parametrize(("by", "why"), [("", "Fine."), ("ada", "  ")])
def test_approval_without_a_name_or_a_reason_is_none(critical, asked, by, why):
    with pytest.raises(PromotionRefusedError, match="with a reason"):
        approval.approve(critical.flights, asked, by=by, why=why, run=ANSWERED)
    assert challenger.waiting(critical.flights) == asked


def test_whoever_started_the_training_may_not_approve_it_where_two_people_are_wanted(critical):
    about = {"pipeline": "flights", "subject": critical.flights.model.name, "partition": DAY}
    ledger.append(model_records.Trained(version=2, asked_by="ada"), **about)
    critical.flights = critical.flights.model_copy(update={"releases": spec.Releases(self_approval="refuse")})
    critical.live()
    asked = challenger.waiting(critical.flights)
    assert "another person than `ada`" in approval.question(critical.flights, asked)
    with pytest.raises(PromotionRefusedError, match="ada started the training of version 2"):
        approval.approve(critical.flights, asked, by="ada", why="Fine.", run=ANSWERED)
    assert approval.approve(critical.flights, asked, by="bob", why="Fine.", run=ANSWERED).kind == "promoted"


def test_newer_candidate_takes_the_place_of_the_one_that_waits(critical, asked):
    assert critical.enters("good", champion=1) == 3
    for act in (approval.approve, approval.reject):
        assert act(critical.flights, asked, by="ada", why="Fine.", run=ANSWERED) is None
    assert (roles.current(critical.flights).champion, challenger.waiting(critical.flights)) == (1, None)
    assert ledger.entries(records.Refused) == []


def test_approval_that_comes_after_the_champion_has_moved_moves_nothing(critical, asked):
    roles.roll_back(
        critical.flights, "baseline", by="bob", why="Odd.", approved_by="cem", run=Run(run_id="by hand")
    )
    assert approval.approve(critical.flights, asked, by="ada", why="Fine.", run=ANSWERED) is None
    assert roles.current(critical.flights).champion is None


def _damages_the_model(world: World, home) -> str:
    run_id = registry()._version(world.flights.model.name, 2).run_id
    (home / "models" / world.flights.model.name / run_id / "artifacts/model/model.ubj").write_bytes(b"x")
    return "model.ubj of"


def _rewrites_history(world: World, home) -> str:
    learned = (date.fromisoformat(DAY) - timedelta(days=1)).isoformat()
    Path(world.learned.files[learned]).write_bytes(b"x")
    return f"features {learned}"


@pytest.mark.parametrize("change", [_damages_the_model, _rewrites_history])
def test_what_an_approval_rests_on_is_asked_again_when_it_is_given(critical, asked, home, change):
    said = change(critical, home)
    done = approval.approve(critical.flights, asked, by="ada", why="Fine.", run=ANSWERED)
    assert done.kind == "refused"
    assert "ada approved version 2 (Fine.), but it cannot become champion any more" in done.record.reasons[0]
    assert said in done.record.reasons[0]
    assert roles.current(critical.flights).champion == 1


def test_release_that_is_over_by_now_refuses_a_challenger_that_learned_from_it(world):
    """Also of a model that no person has to approve: the days in shadow are long."""
    from sluice import waivers

    learned = (date.fromisoformat(DAY) - timedelta(days=1)).isoformat()
    world.champion("bad")
    world.enters("good", champion=1)
    pipeline_clock.advance(world.flights, date.fromisoformat(DAY))
    about = {"pipeline": "flights", "subject": "arrivals", "partition": learned}
    ledger.append(records.Held(batch_id="b", verdict_id="v", outcome="HOLD"), **about)
    word = {"by": "operator", "why": "Confirmed.", "until": DAY}
    judged = {"batch_id": "b", "verdict_id": "v", "rules": []}
    waivers.grant(world.flights, "arrivals", learned, content_hash="c", **judged, **word)
    ledger.append(records.Published(batch_id="b"), **about)
    pipeline_clock.advance(world.flights, date.fromisoformat(DAYS[-1]))

    decided = world.live()[-1]

    assert decided.kind == "refused"
    assert "What version 2 rests on does not hold any more" in decided.record.reasons[2]
    assert f"arrivals {learned} (by operator until {DAY})" in decided.record.reasons[2]
    assert roles.current(world.flights).champion == 1


def test_experiment_that_passes_its_shadow_is_recorded_and_does_not_score(world):
    world.flights = declared(world.flights, criticality="experiment")
    world.enters("good", champion=None)
    decided = world.live()[-1]
    assert (decided.kind, decided.record.outcome) == ("refused", "experiment")
    assert decided.record.reasons[-1] == challenger.EXPERIMENT
    assert roles.current(world.flights).champion is None
    assert "Version 1, in shadow, passed, and stays an experiment" in "\n".join(
        history.lines(history.read(world.flights))
    )
    assert [event.kind for event in training_history.read(world.flights)][-1] == "experiment"
    past, config = training_history.read(world.flights), monitoring_config(world.flights).retraining
    passed = past[-1].on
    answer = retraining.answer(["no_champion"], passed + timedelta(days=config.attest_days - 1), past, config)
    assert (answer.ask, answer.until) == (False, passed + timedelta(days=config.attest_days))
    assert f"The candidate of {passed} passed, and stays an experiment" in answer.why
    assert retraining.answer(["no_champion"], answer.until, past, config).ask


def test_experiment_without_a_shadow_ends_with_the_gate(flights, trained):
    model = flights.model.model_copy(update={"criticality": "experiment"})
    experiment = flights.model_copy(update={"model": model})
    decided = training.audit_candidate(experiment, trained(), DAY, RUN)
    assert (decided.outcome, decided.promote, decided.reasons[-1]) == (
        "experiment",
        False,
        challenger.EXPERIMENT,
    )
    (tags,) = (one.tags for one in registry().versions(flights.model.name))
    assert challenger.EXPERIMENT in tags["decision_reasons"]
    assert training.audit_candidate(flights, 1, DAY, RUN).promote, "it is the word experiment alone"


def test_challenger_of_a_model_that_is_critical_no_more_waits_no_longer(critical, asked):
    critical.flights = declared(critical.flights, criticality="normal")
    assert shadow.judge(critical.flights, DAYS[-1], NEXT).kind == "audited"
    assert roles.current(critical.flights).champion == 2
    again = approval.answer(critical.flights, asked)
    assert shadow.judge(critical.flights, DAYS[-1], RUN) == again, "the run in which it passed is repeated"


@pytest.mark.parametrize("by_whom", ["monitor", "approval"])
def test_challenger_that_waits_when_the_model_becomes_an_experiment_is_never_promoted(
    critical, asked, by_whom
):
    experiment, normal = (declared(critical.flights, criticality=one) for one in ("experiment", "normal"))
    if by_whom == "monitor":
        done = shadow.judge(experiment, DAYS[-1], NEXT)
    else:
        done = approval.approve(experiment, asked, by="ada", why="Fine.", run=ANSWERED)
    assert (done.kind, done.record.outcome) == ("refused", "experiment")
    assert done.record.reasons[0] == challenger.EXPERIMENT
    assert shadow.judge(experiment, DAYS[-1], RUN) == done, "the run in which it passed is repeated"
    assert shadow.judge(normal, DAYS[-1], RUN) == done
    assert (roles.current(normal).champion, challenger.waiting(critical.flights)) == (1, None)


def test_candidate_that_passed_the_gate_before_the_model_became_an_experiment_is_not_promoted(world):
    version = world.candidate("good", champion=None).record.version
    experiment = declared(world.flights, criticality="experiment", shadow_days=0)
    with pytest.raises(PromotionRefusedError, match="must not become champion"):
        training.promote_candidate(experiment, version, DAY, RUN)
    assert roles.current(experiment).champion is None
    assert not training.promote_candidate(
        declared(experiment, shadow_days=0, criticality="normal"), version, DAY, RUN
    )["in_shadow"]


@pytest.mark.parametrize("criticality", ["critical", "normal"])
def test_challenger_that_can_score_no_longer_while_it_waits_is_refused(critical, asked, home, criticality):
    _damages_the_model(critical, home)
    critical.flights = declared(critical.flights, criticality=criticality)
    done = critical.predict(DAYS[-1])
    assert (done.kind, done.record.outcome, done.record.numbers["approval"]) == (
        "refused",
        "refuse",
        asked.seq,
    )
    assert f"Version 2 could not score {DAYS[-1]} in shadow: model.ubj of" in done.record.reasons[0]
    assert approval.approve(critical.flights, asked, by="ada", why="Fine.", run=ANSWERED) == done
    assert (roles.current(critical.flights).champion, challenger.waiting(critical.flights)) == (1, None)


def test_column_that_the_newest_features_do_not_have_refuses_it(critical, asked):
    with connection.opened() as lake:
        lake.drop_table("flights.features")
    publish(critical.flights, "features", critical._of(DAYS[-1]).drop_columns(["is_late", "temperature_f"]))
    said = "Version 2 needs temperature_f, which the rows do not have."
    assert said in training.no_longer_sound(critical.flights, 2)


def test_what_a_challenger_rests_on_is_asked_again_when_the_model_is_critical_no_more(critical, asked, home):
    said = _damages_the_model(critical, home)
    critical.flights = declared(critical.flights, criticality="normal")
    done = shadow.judge(critical.flights, DAYS[-1], NEXT)
    assert (done.kind, roles.current(critical.flights).champion) == ("refused", 1)
    assert said in done.record.reasons[0]


@pytest.mark.parametrize("first", ["approved", "refused"])
def test_of_an_approval_and_a_rejection_at_once_only_the_first_takes_effect(
    critical, asked, monkeypatch, first
):
    """The second has looked already when the first is recorded: it looks at the ledger as it was then."""
    flights = critical.flights
    acts = {
        "approved": lambda: approval.approve(flights, asked, by="ada", why="Fine.", run=ANSWERED),
        "refused": lambda: approval.reject(flights, asked, by="bob", why="No.", run=NEXT),
    }
    then = {name: getattr(approval, name)(flights, asked) for name in ("answer", "_waits")}
    done = acts[first]()
    for name, seen in then.items():
        monkeypatch.setattr(approval, name, lambda *_, seen=seen: seen)
    (second,) = acts.keys() - {first}
    assert acts[second]() == done
    assert roles.current(flights).champion == (2 if first == "approved" else 1)
    assert len(ledger.entries(model_records.Promoted)) == (2 if first == "approved" else 1)
    assert len(ledger.entries(records.Refused)) == (0 if first == "approved" else 1)


@pytest.mark.parametrize(
    "who",
    [
        lambda flights, asked: approval.reject(flights, asked, by="bob", why="No.", run=NEXT),
        lambda flights, asked: approval.give_up(flights, asked, NEXT),
    ],
    ids=["rejection", "monitoring of the next day"],
)
def test_approval_whose_run_was_killed_before_the_promotion_is_completed_by_whoever_comes_next(
    critical, asked, who
):
    flights = critical.flights
    word = model_records.Approved(version=2, decision=asked.record.decision, by="ada", why="Fine.")
    about = {"pipeline": "flights", "subject": flights.model.name}
    ledger.append(
        word, **about, once=f"approval_answered:flights:{flights.model.name}:{asked.record.decision}"
    )
    done = who(flights, asked)
    assert (done.kind, done.record.by, roles.current(flights).champion) == ("promoted", "ada", 2)
