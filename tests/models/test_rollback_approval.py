"""A roll-back of a critical model: what a person is asked, what an answer does, and who is refused."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from sluice import cli, ledger, status
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.ledger import model_records
from sluice.models import history, roles, rollback_approval
from sluice.notify import report
from tests.models.conftest import flights
from tests.models.test_rolled_back import DAYS, reigns
from tests.models.test_shadow import World, declared, fitted, world

__all__ = ["fitted", "flights", "reigns", "world"]  # fixtures

pytestmark = pytest.mark.slow

ASKED = {"by": "ada", "why": "It ranks at random."}
BACK = Run(dag_id="flights_rollback", run_id="asked")


@pytest.fixture
def critical(reigns) -> World:
    """Version 2 is champion of a critical model, in place of version 1, and today is the last day that it has predicted."""
    reigns.flights = declared(reigns.flights, criticality="critical")
    pipeline_clock.advance(reigns.flights, date.fromisoformat(DAYS[3]))
    return reigns


def _ask(world: World, to: str = "1", held=()) -> rollback_approval.Asked:
    return rollback_approval.ask(world.flights, to, **ASKED, held=held)


def test_person_sees_who_gives_way_to_whom_why_and_the_days_that_are_then_scored_again(critical):
    asked = _ask(critical, held=[DAYS[4]])
    said = rollback_approval.question(critical.flights, asked)
    assert (
        "`ada` asks that **version 1** of `flights_late_arrival` scores again, in place of **version 2**"
        in said
    )
    assert "`It ranks at random.`" in said
    assert f"Published predictions of {DAYS[2]} to {DAYS[3]} were made by version 2." in said
    assert f"Scored again, because there is time: **{DAYS[3]}, {DAYS[4]}**." in said
    assert "Without an answer within 20 hours version 2 goes on." in said
    assert "another person" not in said
    assert ledger.entries(model_records.RolledBack) == [], "to ask moves nothing"

    again = _ask(critical).again
    roles.roll_back(critical.flights, "1", **ASKED, approved_by="bob", since=asked.since, run=BACK)
    assert status.to_score_again(critical.flights) == again == [DAYS[3]], "what was shown is what is done"


def test_nothing_is_shown_as_scored_again_whose_time_is_over(critical):
    pipeline_clock.advance(critical.flights, date.fromisoformat(DAYS[4]) + timedelta(days=2))
    asked = _ask(critical, held=[DAYS[4]])
    assert (asked.made, asked.again) == (DAYS[2:4], [])
    assert "No day is scored again: their time is over." in rollback_approval.question(
        critical.flights, asked
    )


def test_approved_roll_back_names_both_persons_and_a_repetition_is_the_same_entry(critical):
    word = {**ASKED, "approved_by": "bob", "since": _ask(critical).since, "run": BACK}
    entry = roles.roll_back(critical.flights, "1", **word)
    assert (entry.record.by, entry.record.approved_by) == ("ada", "bob")
    assert entry.record.reasons[0] == (
        "Version 2 gives way to version 1, says ada (approved by bob): It ranks at random."
    )
    assert roles.roll_back(critical.flights, "1", **word) == entry
    change = history.read(critical.flights).changes[0]
    assert change.moved_by == "a person, ada, and bob, who approved it"


@pytest.mark.parametrize("given", [{}, {"approved_by": " "}, {"account": "root@host"}])
def test_critical_model_is_not_rolled_back_by_one_person(critical, given):
    with pytest.raises(PromotionRefusedError, match="nobody has approved this roll-back") as caught:
        roles.roll_back(critical.flights, "1", **ASKED, **given, run=BACK)
    assert "trigger flights_rollback in the Airflow UI" in caught.value.todo
    assert roles.current(critical.flights).champion == 2


def test_command_refuses_a_critical_model_and_names_the_dag_that_asks(critical, monkeypatch):
    monkeypatch.setattr(spec, "load", lambda _: critical.flights)
    word = ["--by", "ada", "--why", "It ranks at random."]
    done = CliRunner().invoke(cli.main, ["model", "rollback", "flights", "--to", "1", *word])
    assert done.exit_code == 1
    assert "trigger flights_rollback in the Airflow UI" in " ".join(done.output.split())
    assert ledger.entries(model_records.RolledBack) == []


def test_whoever_asks_may_not_approve_it_where_two_people_are_wanted(critical):
    two = {"releases": spec.Releases(self_approval="refuse")}
    flights = critical.flights.model_copy(update=two)
    asked = rollback_approval.ask(flights, "1", **ASKED, held=[])
    assert "another person than `ada`" in rollback_approval.question(flights, asked)
    with pytest.raises(PromotionRefusedError, match="ada asked for this roll-back"):
        roles.roll_back(flights, "1", **ASKED, approved_by="ada", since=asked.since, run=BACK)
    assert roles.roll_back(flights, "1", **ASKED, approved_by="bob", since=asked.since, run=BACK)


def test_approval_about_another_champion_than_there_is_now_moves_nothing(critical):
    asked = _ask(critical)
    first = {**ASKED, "approved_by": "bob", "run": Run(run_id="another")}
    roles.roll_back(critical.flights, "baseline", **first)
    with pytest.raises(PromotionRefusedError, match="about another champion; now the baseline is champion"):
        roles.roll_back(critical.flights, "1", **ASKED, approved_by="bob", since=asked.since, run=BACK)
    assert roles.current(critical.flights).champion is None


@pytest.mark.parametrize(
    ("to", "said"), [("2", "Version 2 scores already"), ("7", "'7' has never been champion")]
)
def test_what_is_not_possible_is_refused_before_a_person_is_asked(critical, to, said):
    with pytest.raises(PromotionRefusedError, match=said):
        _ask(critical, to)


@pytest.mark.parametrize(
    ("by", "why", "said"),
    [
        ("bob", "It is fine.", "bob rejected the roll-back to version 1 that ada asked for: It is fine."),
        ("bob", " ", "bob rejected the roll-back to version 1 that ada asked for, and gave no reason."),
        ("", "", "Nobody decided within 20 hours on the roll-back to version 1 that ada asked for."),
    ],
)
def test_rejection_is_recorded_once_with_who_said_no_and_moves_nothing(critical, by, why, said):
    asked = _ask(critical)
    done = rollback_approval.reject(critical.flights, asked, by=by, why=why, run=BACK)
    assert rollback_approval.reject(critical.flights, asked, by=by, why=why, run=BACK) == done
    (entry,) = ledger.entries(model_records.RollbackRejected)
    assert (entry.record.by, entry.record.requested_by, entry.record.requested_why) == (by, *ASKED.values())
    assert (entry.record.version, entry.record.champion, entry.record.reasons) == (1, 2, (said,))
    assert roles.current(critical.flights).champion == 2
    shown = "\n".join(history.lines(history.read(critical.flights)))
    assert f"{entry.at:%Y-%m-%d}: rollback rejected (entry {entry.seq}, run asked)\n    {said}" in shown


def test_mails_about_a_critical_model_advise_the_dag_and_no_command_that_is_refused(critical):
    url = "http://127.0.0.1:8080/"
    stuck = report.of_stuck_model(critical.flights, "It drops.", since=DAYS[0], task_url=url)
    damaged = report.of_damaged_model(
        critical.flights, champion=2, version=1, problems=["Gone."], task_url=url
    )
    for event in (stuck, damaged):
        said = " ".join(event.next_steps)
        assert "flights_rollback in the UI, which asks a person to approve it" in said
        assert not [command for command in event.commands if "rollback" in command]
    assert roles.way_back(critical.flights, "1").startswith("flights_rollback in the Airflow UI, to 1")
