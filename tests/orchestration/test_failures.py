"""A task that fails for a known reason explains it in its log, without a traceback above it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from sluice.core.errors import BatchHeldError, DeliveryMissingError, DeliveryUnreadableError, RetryableError
from sluice.crossing import require_publishable
from sluice.gates.verdict import Cause, Verdict
from sluice_ml.errors import RowsUnusableError


@pytest.fixture(scope="module")
def failures():
    from sluice.orchestration import failures

    return failures


@pytest.fixture
def verdict(home) -> Verdict:
    return Verdict(
        verdict_id="v",
        outcome="HOLD",
        pipeline="flights",
        table="arrivals",
        partitions=("2013-04-03",),
        batch_id="b",
        rows=3,
        rules=(),
        sample=(),
        reasons=("Rule one failed: 2 of 3 rows fail.", "Rule two failed: 1 finding."),
        report="flights/gates/arrivals/2013-04-03/b.html",
        evaluated_at=datetime(2013, 4, 4, tzinfo=UTC),
        seconds=0.1,
    )


def logged(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_held_batch_says_what_where_evidence_and_next_step_and_shows_no_traceback(failures, verdict, caplog):
    with pytest.raises(failures.TaskFailure) as ended:
        failures.explain_failure(require_publishable)(verdict)

    assert type(ended.value.error) is BatchHeldError
    assert isinstance(ended.value, SystemExit), "Airflow prints a traceback for every other exception"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    lines = record.getMessage().splitlines()
    assert lines[:3] == [
        "HOLD: flights.arrivals 2013-04-03 was not published.",
        "- Rule one failed: 2 of 3 rows fail.",
        "- Rule two failed: 1 finding.",
    ]
    assert [line.split(":")[0] for line in lines[3:]] == ["Where", "Evidence", "Next"]
    assert lines[4].endswith("/evidence/flights/gates/arrivals/2013-04-03/b.html")
    assert ended.value.error.what == (
        "HOLD: Rule one failed: 2 of 3 rows fail. Rule two failed: 1 finding."
    ), "reasons are sentences"


def test_held_batch_says_its_probable_cause_first(failures, verdict):
    cause = Cause(kind="another unit", sentence="air_time is about 60 times as large: seconds?")
    with pytest.raises(BatchHeldError) as held:
        require_publishable(verdict.model_copy(update={"cause": cause}))
    lines = failures.explanation(held.value).splitlines()
    assert lines[1] == "Probable cause: air_time is about 60 times as large: seconds?"


def test_refused_delivery_names_its_evidence_page(failures):
    error = DeliveryUnreadableError("Row 3 is cut off.", todo="land it again")
    error.report = "flights/gates/arrivals/2013-04-03/refused.html"

    what, evidence, todo = failures.explanation(error).splitlines()

    assert what == "Row 3 is cut off."
    assert evidence.startswith("Evidence: http")
    assert evidence.endswith("/evidence/flights/gates/arrivals/2013-04-03/refused.html")
    assert todo == "Next: land it again"


def test_other_known_errors_explain_themselves_above_a_folded_traceback(failures, caplog):
    caplog.set_level(logging.INFO)

    @failures.explain_failure
    def stage():
        raise DeliveryMissingError("No file.", where="landing", allowed="a file", todo="ask for it")

    with pytest.raises(failures.TaskFailure):
        stage()

    explained, *folded = caplog.records
    assert explained.getMessage() == "No file.\nWhere: landing\nAllowed: a file\nNext: ask for it"
    assert [record.getMessage() for record in folded] == [
        "::group::Traceback",
        "DeliveryMissingError",
        "::endgroup::",
    ]
    assert folded[1].exc_info[0] is DeliveryMissingError


def test_errors_of_the_model_part_and_plain_failures_are_explained_too(failures):
    from airflow.sdk.exceptions import AirflowFailException

    error = RowsUnusableError("No rows.", where="features", todo="give some")
    assert failures.explanation(error) == "No rows.\nWhere: features\nNext: give some"
    assert failures.explanation(AirflowFailException("2 still held")) == "2 still held"


def test_fault_of_the_code_and_what_the_function_returns_pass_unchanged(failures, caplog):
    assert failures.explain_failure(lambda one, *, two: one + two)(1, two=2) == 3
    with pytest.raises(ZeroDivisionError):
        failures.explain_failure(lambda: 1 / 0)()
    assert logged(caplog) == []


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (RetryableError("x"), "retry"),
        (BatchHeldError("x"), "fail"),
        (RowsUnusableError("x", where="", todo=""), "fail"),
    ],
)
def test_policy_and_mail_judge_the_reason_of_a_failure(failures, error, action):
    failure = failures.TaskFailure(error)

    assert failures.cause_of(failure) is error
    assert failures.cause_of(error) is error
    assert failures.RETRY_POLICY.evaluate(failure, try_number=1, max_tries=3).action.value == action


def test_task_of_an_installation_whose_clock_is_set_says_so_in_its_log(failures, caplog, set_clock):
    set_clock("2013-04-03T06:00:00+00:00")
    assert failures.explain_failure(lambda: "done")() == "done"
    (said,) = logged(caplog)
    assert said.startswith("The clock is set to 2013-04-03T06:00:00+00:00 by ")
