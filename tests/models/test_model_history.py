"""What is known of a model: of real trainings and their decisions, as page, JSON and command show it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.runs import Run
from sluice.ledger import model_records, records
from sluice.models import evidence, history, roles, training
from sluice_ml.checks import Finding
from tests.models.conftest import DAY, RUN, flights_rows, publish

pytestmark = pytest.mark.slow

AGAIN = Run(dag_id="flights_train", run_id="again")


@pytest.fixture
def decided(flights, trained):
    """A version that was promoted, and another that was refused for a column that looks ahead, each on real evidence."""
    training.audit_candidate(flights, trained(), DAY, RUN)
    training.promote_candidate(flights, 1, DAY, RUN)
    leak = Finding("replay", "FAIL", "What came later changes origin_late_rate_1d.")
    training.audit_candidate(flights, trained(), DAY, AGAIN, replayed=leak)


def test_decisions_have_each_check_with_its_state_its_interval_and_where_its_limits_are_declared(
    flights, decided
):
    refused, promoted = history.read(flights).decisions

    assert [(one.version, one.champion, one.outcome, one.run) for one in (refused, promoted)] == [
        (2, 1, "refuse", "again"),
        (1, None, "promote", "test"),
    ]
    checks = {check.name: check for check in refused.checks}
    assert {name: check.state for name, check in checks.items()} == {
        "against the baseline": "PASS",
        # The champion has learned all of the days.
        "against the champion": "INSUFFICIENT",
        "refit": "PASS",
        "constant": "PASS",
        "calibration": "PASS",
        "learned_gap": "PASS",
        "slices": "INSUFFICIENT",
        "flips": "INSUFFICIENT",
        "value": "INSUFFICIENT",
        "resources": "PASS",
        "fairness": "NOT_CHECKED",
        "replay": "FAIL",
        "parity": "NOT_CHECKED",
    }
    assert checks["replay"].sentence == "What came later changes origin_late_rate_1d."
    gap = checks["learned_gap"]
    assert (gap.declared, gap.limits) == (
        "model.gate.learned_gap",
        {"auc": flights.model.gate.learned_gap.auc},
    )
    assert f"{gap.numbers['held_out']['value']:.4f} on the held-out ones" in gap.sentence
    assert checks["against the champion"].limits == {
        "margin": flights.model.promotion.refresh_margin,
        "comparison_days": flights.model.promotion.comparison_days,
    }
    states = {check.name: check.state for check in promoted.checks}
    assert (states["flips"], states["replay"]) == ("NOT_APPLICABLE", "NOT_CHECKED")
    assert {check.sentence for check in refused.checks if check.name.startswith("against")} <= set(
        refused.reasons
    ), "in the words of the decision"


def test_champions_say_from_when_to_when_and_by_whom_and_what_became_none_is_between_them(flights, decided):
    roles.roll_back(
        flights, "baseline", by="ada", why="It is late.", account="ada@host", run=Run(run_id="by hand")
    )
    found = history.read(flights)

    baseline, refused, first = found.events
    assert (baseline.version, baseline.previous, baseline.by, baseline.until) == (None, 1, "ada", None)
    assert (baseline.dag_id, baseline.decision) == (None, None), "a command has no run in Airflow"
    assert (refused.version, refused.outcome, refused.dag_id) == (2, "refuse", "flights_train")
    assert (first.version, first.moved_by, first.until) == (1, "the gate", baseline.since)
    assert first.decision == found.decisions[1].entry
    assert found.champion is None, "the baseline scores"
    assert found.candidate is not None
    assert found.candidate.version == 2


def test_command_prints_the_same_facts_as_json_and_names_what_was_refused(flights, decided):
    printed = CliRunner().invoke(main, ["model", "history", "flights", "--json"])
    told = json.loads(printed.output)
    assert [change["version"] for change in told["changes"]] == [1]
    assert {check["name"]: check["state"] for check in told["decisions"][0]["checks"]}["replay"] == "FAIL"
    assert told["champion"]["version"] == 1

    text = CliRunner().invoke(main, ["model", "history", "flights"]).output
    assert f"{DAY}: Version 2 was refused; version 1 was champion. (entry" in text
    assert "    FAIL replay: What came later changes origin_late_rate_1d.\n" in text


def test_champion_says_what_it_has_learned_and_by_which_run(flights):
    rows = flights_rows(flights)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    publish(flights, "outcomes", rows.select(["flight_id", "ds", "is_late"]))
    version = training.stage_candidate(flights, DAY, RUN)
    training.audit_candidate(flights, version, DAY, RUN)
    training.promote_candidate(flights, version, DAY, RUN)

    champion = history.read(flights).champion

    (recorded,) = ledger.entries(model_records.Trained)
    assert champion is not None
    assert (champion.day, champion.learned_until, champion.rows) == (DAY, "2013-03-30", rows.num_rows)
    assert (champion.dag_id, champion.run) == ("flights_train", "test")
    assert (champion.algorithm, champion.sha256) == ("boosted", recorded.record.sha256)


def test_training_that_was_refused_and_a_model_that_stood_in_are_part_of_the_history(flights, trained):
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    ledger.append(model_records.TrainingRefused(what="A column leaks."), **about)
    ledger.append(
        model_records.StoodIn(version=None, champion=1, problems=("Gone.",), reasons=("Gone.",)), **about
    )

    stood_in, refused = history.read(flights).events
    assert (stood_in.kind, stood_in.reasons, stood_in.dag_id) == ("stood_in", ("Gone.",), "flights_score")
    assert (refused.kind, refused.reasons) == ("training_refused", ("A column leaks.",))


def test_decision_of_an_earlier_version_shows_its_reasons_and_no_numbers_that_it_lacks(flights, trained):
    trained()
    numbers = {"comparisons": [{"against": "baseline", "passed": True}], "outcome": "refuse"}
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    ledger.append(records.Refused(version=1, reasons=("It is worse.",), numbers=numbers), **about)

    (decision,) = history.read(flights).decisions
    assert (decision.outcome, decision.checks, decision.reasons) == ("refuse", [], ("It is worse.",))


@pytest.mark.parametrize(("change", "state"), [(-0.04, "PASS"), (0.01, "FAIL")])
def test_refit_that_fits_worse_fails_as_the_decision_says(change, state):
    (check,) = evidence.checks({"refit_loss_change": change})
    assert check.state == state


def test_limit_that_was_not_declared_is_not_shown_as_one():
    gate = {
        "check": "fairness",
        "state": "PASS",
        "sentence": "",
        "numbers": {"limits": {"opportunity": 0.1, "selection": None}},
    }
    (check,) = evidence.checks({"gate": [gate]})
    assert check.limits == {"opportunity": 0.1}


def test_champion_that_could_not_be_compared_is_a_check_of_its_own():
    (check,) = evidence.checks({"not_compared": "Its file is gone."})
    assert (check.state, check.sentence) == (
        "NOT_APPLICABLE",
        "The champion could not be compared: Its file is gone.",
    )
