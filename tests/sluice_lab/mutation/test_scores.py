"""Predictions that are damaged after they were scored: what is done to them, and that their gate and its rules see it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest

from sluice.core.partitions import days_between
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.spec import PREDICTIONS
from sluice_lab.mutation import material, scores, year
from sluice_lab.mutation.command import GOALS
from sluice_lab.mutation.draft import NotApplicableError
from sluice_lab.mutation.mutators import SCORE_MUTATORS
from sluice_lab.mutation.predictions import Predictions
from sluice_lab.mutation.report import Report
from tests.sluice_lab.mutation.conftest import DERIVED_WINDOW

pytestmark = pytest.mark.slow

WINDOW = DERIVED_WINDOW
SEED, SAMPLE = 1, 12


@pytest.fixture
def flights(scored_home, monkeypatch) -> Iterator[spec.Pipeline]:
    monkeypatch.setenv("SLUICE_HOME", scored_home)
    settings.cache_clear()
    yield spec.load(year.PIPELINE)
    settings.cache_clear()


@pytest.fixture(scope="module")
def applied(scored_home):
    """Function: a mutator on the first of a few draws that it can do something with, of one day that is read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUICE_HOME", scored_home)
        settings.cache_clear()
        clean = scores.published(spec.load(year.PIPELINE), WINDOW[1], Random(0))
        other = cache(clean.other)

        def apply(name: str, first: int = 0) -> tuple[Predictions, str]:
            for seed in range(first, first + 20):
                made = Predictions(clean.table, clean.beside, Random(seed), other)
                try:
                    return made, SCORE_MUTATORS[name].apply(made)
                except NotApplicableError:
                    continue
            raise AssertionError(f"{name} has nothing to damage on {WINDOW[1]}")

        yield apply
    settings.cache_clear()


@pytest.mark.parametrize("name", sorted(SCORE_MUTATORS))
def test_mutator_changes_the_rows_and_its_seed_decides_how(applied, name):
    made, said = applied(name)
    again, _ = applied(name)
    assert said
    assert repr(made.written()) == repr(again.written())
    # What is drawn can by chance be what is there already: one of three draws shows.
    draws = [made, *(applied(name, 20 * n)[0] for n in (1, 2))]
    assert any(one.written() != one.table.to_pylist() for one in draws)
    if SCORE_MUTATORS[name].meant_harmless:
        assert all(
            material.derived_share(["flight_id"], one.table.to_pylist(), one.written()) == 0 for one in draws
        )


def test_a_sample_is_held_and_clean_days_pass(flights, proofs):
    tried = [scores.mutate(flights, SEED, number, window=WINDOW) for number in range(SAMPLE)]
    drawn = [scores.clean(flights, SEED, number, window=WINDOW) for number in range(3)]
    report = Report(SEED, tuple(tried), tuple(drawn), "score")
    proofs("mutation", "scores", material=len(report.counted), caught=f"{report.caught_share:.1%}")
    assert {case.run_day for case in drawn} == set(days_between(*WINDOW))
    assert report.false_alarms == []
    assert len(report.counted) >= SAMPLE / 2
    assert report.caught_share >= GOALS["score"], "\n".join(report.lines())


def test_a_rule_that_is_gone_is_seen_and_the_clean_days_stay(flights, weakened):
    """No other rule looks at the ids of predictions."""
    number = next(n for n in range(200) if (scores.choose(SCORE_MUTATORS, SEED, n).name) == "ids_twice")
    pointers = [settings().home / name for name in ("catalog.db", "ledger.db")]
    before = [path.read_bytes() for path in pointers]
    held = scores.mutate(flights, SEED, number, window=WINDOW)
    assert (held.stage, held.outcome, held.rules) == (
        "predictions gate",
        "HOLD",
        ("prediction_id_is_unique",),
    )
    weakened(PREDICTIONS, keep={"complete"})
    missed = scores.mutate(flights, SEED, number, window=WINDOW)
    assert (missed.stage, missed.did) == ("missed", held.did)
    assert [path.read_bytes() for path in pointers] == before


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_predictions_of_a_champion_are_held_and_clean_days_are_not(make_home, tmp_path, monkeypatch, proofs):
    home = tmp_path / "home"
    make_home(home)
    monkeypatch.setenv("SLUICE_HOME", str(home))
    settings.cache_clear()
    scores.prepare(print)
    flights = spec.load(year.PIPELINE)
    tried = tuple(scores.mutate(flights, SEED, number) for number in range(2 * len(SCORE_MUTATORS)))
    drawn = tuple(scores.clean(flights, SEED, number) for number in range(60))
    report = Report(SEED, tried, drawn, "score")
    settings.cache_clear()
    proofs("mutation", "scores of a champion", caught=f"{report.caught_share:.1%}")
    assert len({case.run_day for case in drawn}) == 60
    assert report.false_alarms == []
    assert report.caught_share >= GOALS["score"], "\n".join(report.lines())
