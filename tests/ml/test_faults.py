"""Faults that are injected do what they say, and a replay with them says when and how they were named."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml.backtest import replay
from sluice_ml.config import CusumConfig
from sluice_ml.faults import KINDS, RIGHT, Fault
from sluice_ml.findings import Finding
from sluice_ml.metrics import Ranked
from sluice_ml.training import fit
from tests.ml.conftest import COLUMNS, drawn

FIRST, LAST = date(2013, 2, 5), date(2013, 2, 20)
BEGINS = date(2013, 2, 12)
PIPES = {"sensor": ("risk",), "other": ("noise",)}


def fault(kind, *, last=LAST, **more) -> Fault:
    return Fault(kind=kind, first=BEGINS, last=last, **more)


def day_of(rows: int, rate: float = 0.2):
    draw = np.random.default_rng(1)
    label = draw.random(rows) < rate
    score = 1 / (1 + np.exp(-(draw.normal(size=rows) + label - 1.5)))
    return label, score


@pytest.mark.parametrize("size", [0.07, 0.13])
def test_fault_in_ranking_lowers_the_auc_by_its_size_and_leaves_the_scores_distributed_as_they_were(size):
    label, score = day_of(40_000)
    before = Ranked(label, score).measure()[0]
    made = fault("ranking", size=size).of_scores(score, before, BEGINS)
    assert before - Ranked(label, made).measure()[0] == pytest.approx(size, abs=0.01)
    assert np.array_equal(np.sort(made), np.sort(score))


def test_fault_in_ranking_larger_than_what_there_is_leaves_chance_and_of_chance_nothing_is_taken():
    label, score = day_of(40_000)
    made = fault("ranking", size=0.45).of_scores(score, 0.6, BEGINS)
    assert Ranked(label, made).measure()[0] == pytest.approx(0.5, abs=0.01)
    assert fault("ranking", size=0.1).of_scores(score, 0.49, BEGINS) is score
    assert fault("ranking", size=0.1).of_scores(score, None, BEGINS) is score


def test_fault_of_power_keeps_the_order():
    _, score = day_of(500)
    made = fault("power", size=6).of_scores(score, None, BEGINS)
    assert np.array_equal(np.argsort(made), np.argsort(score))
    assert made.mean() < score.mean() / 4


@pytest.mark.parametrize(("rate", "becomes"), [(0.2, 0.4), (0.7, 0.95)])
def test_fault_of_labels_makes_more_come_true_whatever_the_features(rate, becomes):
    label, score = day_of(40_000, rate)
    unknown = np.arange(len(label)) % 10 == 0
    rows = pa.table(
        {
            "ds": pa.repeat(pa.scalar(BEGINS), len(label)),
            "is_late": pa.array(label, mask=unknown),
            "score": score,
        }
    )
    made = fault("labels", size=2).of_rows(rows, "is_late", PIPES)
    known = made.filter(made["is_late"].is_valid())
    now, made_score = known["is_late"].to_numpy(), known["score"].to_numpy()
    assert now.mean() == pytest.approx(becomes, abs=0.01)
    assert now.sum() == label[~unknown].sum()
    assert made["is_late"].null_count == unknown.sum()
    before, after = (Ranked(*one).measure()[0] for one in ((label, score), (now, made_score)))
    assert before == pytest.approx(after, abs=0.02)


def test_fault_of_a_source_takes_its_features_and_no_others():
    made = fault("missing", source="sensor").of_rows(drawn(straight=True), "is_late", PIPES)
    assert made["risk"].null_count == made.num_rows
    assert made["noise"].null_count == 0


def test_fault_is_on_each_day_that_it_says():
    every_second = fault("power", size=6, every=2, last=BEGINS + timedelta(days=3))
    days = [BEGINS + timedelta(days=place) for place in range(-1, 6)]
    assert [every_second.is_on(day) for day in days] == [False, True, False, True, False, False, False]


@pytest.fixture(scope="module")
def policy(config):
    return dataclasses.replace(
        config,
        **COLUMNS,
        valid_days=5,
        valid_blocks=1,
        test_days=8,
        comparison_days=4,
        rounds=12,
        resamples=100,
        threads=1,
    )


@pytest.fixture(scope="module")
def watched(monitoring):
    return dataclasses.replace(monitoring, min_rows=50, pipes=PIPES)


@pytest.fixture(scope="module")
def replayed(policy, watched):
    faults = [
        fault("power", size=6),
        fault("missing", source="sensor"),
        fault("labels", size=2),
        fault("ranking", size=0.2),
        fault("ranking", size=1e-9),
    ]
    return list(run(policy, watched, faults))


def run(policy, watched, faults=()):
    rows = drawn(straight=False)
    return replay(rows, FIRST, LAST, model=policy, monitoring=watched, lag_days=1, train=fit, faults=faults)


def test_replay_names_each_fault_and_says_when(replayed):
    found = {(one.fault.kind, one.fault.size): one for day in replayed for one in day.injected}
    assert len(found) == 5
    # Its own morning; the first morning with outcomes.
    assert (found["missing", 0.0].name, found["missing", 0.0].delay_days) == ("broken pipe", 0)
    assert "sensor" in found["missing", 0.0].sentence
    assert (found["power", 6].name, found["power", 6].delay_days) == ("label shift", 1)
    assert found["ranking", 0.2].name == "concept change"
    assert 1 < found["ranking", 0.2].delay_days < 8
    assert found["labels", 2].name == "label shift"
    assert (found["ranking", 1e-9].on, found["ranking", 1e-9].delay_days) == (None, None)


def test_replay_is_the_same_with_faults_beside_it(replayed, policy, watched):
    alone = list(run(policy, watched))
    assert [dataclasses.replace(day, injected=()) for day in replayed] == alone


def test_replay_what_is_said_without_the_fault_does_not_find_it(policy, watched):
    """Every gap is an alarm here: it is so without the fault, too."""
    jumpy = dataclasses.replace(watched, calibration=CusumConfig(slack=-5.0, limit=0.01))
    last = BEGINS + timedelta(days=1)
    days = list(run(policy, jumpy, [fault("power", size=1.0001, last=last)]))
    assert any(one.name == "label shift" for day in days for one in day.alarms)
    (found,) = [one for day in days for one in day.injected]
    assert (found.on, found.wrong, found.outcome) == (None, (), "not found")


def test_replay_an_alarm_that_only_comes_earlier_is_said_to_come_without_the_fault(policy, watched):
    """Each day adds some five to the sum, with the fault more: the alarm comes a day or two earlier."""
    growing = dataclasses.replace(
        watched, calibration=CusumConfig(slack=-5.0, limit=42.0), calibration_day=99.0
    )
    (found,) = [one for day in run(policy, growing, [fault("power", size=6)]) for one in day.injected]
    assert found.on < found.without
    assert found.outcome.endswith(f"; but on {found.without} without it, too")


def test_replay_fault_of_the_first_day_is_found_of_the_champion_that_is_trained_on_it(policy, watched):
    early = dataclasses.replace(fault("power", size=6), first=FIRST)
    (found,) = [one for day in run(policy, watched, [early]) for one in day.injected]
    # Scored by the baseline on its first day: the second is the first that counts.
    assert (found.name, found.delay_days) == ("label shift", 2)


def test_replay_fault_of_a_later_champion_is_seen_beside_the_first_one(policy, watched):
    """Without a baseline to be compared with: only the reference is left."""
    alone = dataclasses.replace(watched, max_model_age_days=3, performance=CusumConfig(slack=1.0, limit=1.0))
    lenient = dataclasses.replace(policy, refresh_margin=0.5)
    days = list(run(lenient, alone, [fault("ranking", size=0.2)]))
    assert next(day.version for day in days if day.ds == BEGINS) > 1
    (found,) = [one for day in days for one in day.injected]
    assert (found.name, found.delay_days < 5) == ("worse than reference", True), found.outcome


def test_replay_fault_that_no_champion_meets_is_neither_found_nor_missed(policy, watched):
    strict = dataclasses.replace(policy, confidence=1 - 1e-12)
    (found,) = [one for day in run(strict, watched, [fault("power", size=6)]) for one in day.injected]
    assert found.outcome.startswith("nobody can say: no champion scored rows of it")


def test_broken_pipe_of_another_source_is_not_this_fault():
    ours, other = (Finding("broken pipe", "warn", "", about=source) for source in ("sensor", "other"))
    missing = fault("missing", source="sensor")
    assert (missing.is_named_by(ours), missing.is_named_by(other)) == (True, False)


def test_every_kind_has_a_right_name():
    assert set(RIGHT) == set(KINDS)
