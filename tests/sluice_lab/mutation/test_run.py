"""The mutation run itself: a sample in every `make test`, all of it in `make test-all`, and that it sees a weak gate."""

from __future__ import annotations

from collections import Counter

import pytest

from sluice.core.settings import settings
from sluice.declare import spec
from sluice_lab.mutation import run, year
from sluice_lab.mutation.command import GOALS
from sluice_lab.mutation.report import Report
from tests.sluice_lab.mutation.conftest import WINDOW

SAMPLE_SEED, SAMPLE, DRAWS = 1, 12, 6
# A seed that no rule was tuned on.
SEED, ALL = 5150, 200


def _record(proofs, report: Report) -> None:
    counted = report.counted
    for kind in sorted({case.kind for case in counted}):
        mine = [case for case in counted if case.kind == kind]
        stages = dict(Counter(case.stage.replace(" ", "_") for case in mine))
        proofs("mutation", kind, **stages)
    proofs(
        "mutation",
        "all kinds",
        material=len(counted),
        caught=f"{report.caught_share:.1%}",
        missed=len(report.missed),
    )
    for case in report.draws:
        proofs("clean draw", f"{case.source} {case.run_day}", violations=case in report.false_alarms)


def test_a_sample_is_caught_and_clean_days_pass(flights, proofs):
    tried = [
        run.mutate(flights, SAMPLE_SEED, number, derived=False, window=WINDOW) for number in range(SAMPLE)
    ]
    drawn = [run.clean(flights, SAMPLE_SEED, number, window=WINDOW) for number in range(DRAWS)]
    report = Report(SAMPLE_SEED, tuple(tried), tuple(drawn))
    _record(proofs, report)
    assert report.false_alarms == []
    assert len(report.counted) >= SAMPLE / 2
    assert report.caught_share >= GOALS["files"], "\n".join(report.lines())


def test_a_mutation_leaves_the_clean_year_as_it_was(flights):
    pointers = [settings().home / name for name in ("catalog.db", "ledger.db")]
    before = [path.read_bytes() for path in pointers]
    run.mutate(flights, SAMPLE_SEED, 0, derived=False, window=WINDOW)
    assert [path.read_bytes() for path in pointers] == before


def test_a_gate_without_its_rules_is_seen(flights, weakened):
    for table in flights.sources:
        weakened(table, keep={"flights_a_day", "hours_a_day", "register_complete"})
    tried = [
        run.mutate(flights, SAMPLE_SEED, number, derived=False, window=WINDOW) for number in range(SAMPLE)
    ]
    report = Report(SAMPLE_SEED, tuple(tried), ())
    assert report.caught_share < GOALS["files"]
    assert report.missed


def test_a_band_that_is_too_narrow_is_a_false_alarm(flights, weakened):
    weakened("schedule", rows_fit_the_weekday={"slack": 0.0001, "width": 0.0})
    drawn = [run.clean(flights, SAMPLE_SEED, 6 * n, window=WINDOW) for n in range(2)]
    report = Report(SAMPLE_SEED, (), tuple(drawn))
    assert {case.source for case in drawn} == {"schedule"}
    assert report.false_alarms


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all_kinds_are_caught_and_no_clean_day_is_held(new_home, proofs):
    with new_home("all"):
        year.ensure(print)
        flights = spec.load(year.PIPELINE)
        tried = tuple(run.mutate(flights, SEED, number) for number in range(ALL))
        drawn = tuple(run.clean(flights, SEED, number) for number in range(ALL))
        report = Report(SEED, tried, drawn)
        _record(proofs, report)
    assert report.false_alarms == []
    assert report.caught_share >= GOALS["files"], "\n".join(report.lines())
