"""What a mutation run says of the probable causes: only of material damage that a gate held."""

from __future__ import annotations

from sluice_lab.mutation.report import Report
from sluice_lab.mutation.run import Case


def case(
    kind: str, cause: str, *, stage: str = "raw gate", outcome: str = "HOLD", share: float = 1.0
) -> Case:
    return Case(
        0,
        "arrivals",
        "2013-04-05",
        "a_mutator",
        kind,
        "done",
        stage,
        outcome,
        share,
        (),
        told=False,
        cause=cause,
    )


def test_named_counts_what_a_gate_held_as_right_wrong_or_not_clear():
    mutations = (
        case("units", "another unit"),
        case("units", "stale file"),
        case("units", "not clear"),
        case("noise", "another unit"),
        case("nulls", "", stage="derived gate"),
        case("units", "another unit", share=0.01),
        case("types", "", stage="contract", outcome="ContractBrokenError"),
        case("units", "", stage="missed", outcome="PASS"),
    )
    report = Report(1, mutations, ())
    assert {how: len(cases) for how, cases in report.named.items()} == {
        "right": 1,
        "wrong": 2,
        "not clear": 2,
    }
    lines = report.lines()
    assert (
        "Probable cause of the 5 that a gate held: right 1 (20.0%), wrong 2 (40.0%), not clear 2 (40.0%)."
        in lines
    )
    assert "| units | 3 | 1 | 1 | 1 |" in lines
    assert "| units: a_mutator | arrivals 2013-04-05 | done | stale file |" in lines


def test_named_says_nothing_of_predictions_which_have_no_causes():
    assert not any("Probable cause" in line for line in Report(1, (case("units", ""),), (), "score").lines())
