from __future__ import annotations

import pytest

from sluice.gates import policy
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
    assert reasons == ("Rule b failed: 3 of 981 rows fail.", "Rule c failed: 3 of 981 rows fail.")


def test_decide_many_empty_days_names_some_and_counts_the_rest():
    rows = {"2013-01-01": 1, **{f"2013-02-{day:02}": 0 for day in range(1, 9)}}
    (reason,) = policy.decide(rows, [PASSED])[1]
    assert reason.startswith("No rows for 2013-02-01, ")
    assert reason.endswith("2013-02-05 and 3 more.")
