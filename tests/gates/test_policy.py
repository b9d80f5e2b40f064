from __future__ import annotations

import pytest

from sluice.gates import policy
from sluice.gates.emptiness import Emptiness
from sluice.gates.verdict import RuleResult

DAY = {"2013-04-05": 981}


def result(rule: str, severity: str = "hold", *, passed: bool = False, broken: bool = False) -> RuleResult:
    return RuleResult(
        rule=rule,
        kind="unexpected_rows_expectation",
        columns=(),
        severity=severity,
        owner="someone",
        why="because",
        passed=passed,
        broken=broken,
        observed="3 of 981 rows fail",
    )


PASSED, FAILED, WARNED = result("a", passed=True), result("b"), result("c", "warn")
BROKEN, BROKEN_WARNING = result("d", broken=True), result("e", "warn", broken=True)


@pytest.mark.parametrize(
    ("results", "outcome"),
    [
        ([PASSED], "PASS"),
        ([PASSED, WARNED], "WARN"),
        ([PASSED, WARNED, FAILED], "HOLD"),
        ([PASSED, BROKEN], "ERROR"),
        ([PASSED, BROKEN_WARNING], "ERROR"),
        ([FAILED, BROKEN], "ERROR"),
        ([], "ERROR"),
    ],
)
def test_decide_results_give_the_worst_outcome(results, outcome):
    assert policy.decide(DAY, results)[0] == outcome


@pytest.mark.parametrize(
    ("share", "outcome", "words"), [(0.009, "WARN", "0.9%"), (0.01, "WARN", "1%"), (0.011, "HOLD", "1.1%")]
)
def test_decide_quarantine_rule_holds_above_its_limit(share, outcome, words):
    found = FAILED.model_copy(update={"severity": "quarantine", "limit": 0.01, "worst_share": share})
    said, reasons = policy.decide(DAY, [PASSED, found])
    assert said == outcome
    assert len(reasons) == 1
    assert f"{words} of a day's rows, and 1% may be set aside" in reasons[0]


@pytest.mark.parametrize("rows", [{}, {"2013-04-05": 0}, {"2013-04-05": 981, "2013-04-06": 0}])
def test_decide_missing_rows_is_error_even_if_all_rules_pass(rows):
    assert policy.decide(rows, [PASSED])[0] == "ERROR"


def test_decide_problem_is_error_even_if_all_rules_pass():
    assert policy.decide(DAY, [PASSED], ["The gate broke."]) == ("ERROR", ("The gate broke.",))


def test_decide_pass_gives_no_reason():
    assert policy.decide(DAY, [PASSED]) == ("PASS", ())


def test_decide_failures_are_named_holding_ones_first():
    reasons = policy.decide(DAY, [WARNED, FAILED])[1]
    assert reasons == ("Rule b failed: 3 of 981 rows fail.", "Rule c warns: 3 of 981 rows fail.")


def test_decide_many_empty_days_names_some_and_counts_the_rest():
    rows = {"2013-01-01": 1, **{f"2013-02-{day:02}": 0 for day in range(1, 9)}}
    (reason,) = policy.decide(rows, [PASSED])[1]
    assert reason.startswith("No rows for 2013-02-01, ")
    assert reason.endswith("2013-02-05 and 3 more.")


def test_decide_as_many_empty_days_as_are_named_are_not_counted():
    rows = {"2013-01-01": 1, **{f"2013-02-{day:02}": 0 for day in range(1, 6)}}
    (reason,) = policy.decide(rows, [PASSED])[1]
    assert reason.endswith("2013-02-04, 2013-02-05.")


def test_decide_problem_says_nothing_of_rows_and_rules_that_were_not_looked_at():
    assert policy.decide({}, [], ["The gate broke."]) == ("ERROR", ("The gate broke.",))


def test_decide_rules_that_broke_are_named_and_those_that_passed_are_not():
    said, reasons = policy.decide(DAY, [PASSED, BROKEN, FAILED])
    assert said == "ERROR"
    assert reasons == (
        "Rule d could not be evaluated: 3 of 981 rows fail.",
        "Rule b failed: 3 of 981 rows fail.",
    )


def test_decide_day_of_which_no_row_would_be_left_is_held():
    said, reasons = policy.decide(DAY, [PASSED], emptied=["2013-04-05"])
    assert said == "HOLD"
    assert reasons[0].startswith("No row would be left of 2013-04-05")


def test_decide_note_warns():
    assert policy.decide(DAY, [PASSED], noted=["A column was left out."]) == (
        "WARN",
        ("A column was left out.",),
    )


def test_decide_empty_days_are_no_error_where_they_are_known_and_held_where_a_person_has_to_say_so():
    rows = {"2013-04-05": 0}
    assert policy.decide(rows, [], empty=Emptiness(accepted=("2013-04-05",))) == ("PASS", ())
    held = Emptiness(held=("2013-04-05",), reasons=("No rows.",))
    assert policy.decide(rows, [PASSED], empty=held) == ("HOLD", ("No rows.",))
    assert policy.decide({**rows, "2013-04-06": 0}, [PASSED], empty=held) == (
        "ERROR",
        ("The batch has no rows.", "No rows."),
    )
    assert policy.decide({**rows, "2013-04-06": 3}, [PASSED], empty=held)[0] == "HOLD"
    said, reasons = policy.decide({**rows, "2013-04-06": 3, "2013-04-07": 0}, [PASSED], empty=held)
    assert (said, reasons[0]) == ("ERROR", "No rows for 2013-04-07.")


def test_decide_rows_without_rules_are_an_error_that_says_so():
    assert policy.decide(DAY, [])[1] == ("The suite has no rules.",)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "an unknown share"),
        (0.0, "0%"),
        (0.0009, "less than 0.1%"),
        (0.001, "0.1%"),
        (0.25, "25%"),
        (1.0, "100%"),
        (1.5, "150%"),
    ],
)
def test_percent_is_never_rounded_to_nothing(share, words):
    assert policy.percent(share) == words


def test_sentence_of_rows_that_are_set_aside_and_of_too_many():
    aside = FAILED.model_copy(update={"severity": "quarantine", "limit": 0.01, "worst_share": 0.003})
    assert policy.sentence(aside).startswith("Rows that fail rule b are set aside: ")
    too_many = aside.model_copy(update={"worst_share": 0.3})
    assert policy.sentence(too_many).startswith("Rule b failed for too many rows to set them aside: ")


@pytest.mark.parametrize("severity", ["warn", "quarantine"])
def test_decide_rule_that_passed_says_nothing_whatever_its_severity(severity):
    assert policy.decide(DAY, [PASSED, result("f", severity, passed=True)]) == ("PASS", ())
