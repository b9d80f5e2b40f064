"""The robustness curve: corruptions at a rate, and that a gate fires before the predictions are harmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from xml.etree import ElementTree

import pytest

from sluice.core.settings import settings
from sluice.declare import spec
from sluice_lab.mutation import champion, curve, curve_report, run, year
from sluice_lab.mutation.corruptions import CORRUPTIONS
from sluice_lab.mutation.curve import Curve, Measured, Point
from sluice_lab.mutation.unguarded import Day
from sluice_ml.metrics import Estimate

FIRST, TRAINED, DAYS = "2013-01-01", "2013-04-01", ("2013-04-02", "2013-04-03")
# Below the second rate one rule alone sees this corruption.
NAME, RATES = "missing_late_in_the_day", (0.1, 1.0)


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_a_corruption_hits_the_share_it_is_asked_for_and_always_the_same_rows(flights, name):
    corruption = CORRUPTIONS[name]

    def damaged(rate: float) -> tuple[int, set[int], list[dict]]:
        draft = run.clean_draft(flights, corruption.source, "2013-04-09", Random(1))
        clean = [draft.row(i) for i in range(draft.size)]
        hit = corruption.apply(draft, rate)
        rows = [draft.row(i) for i in range(draft.size)]
        return hit, {i for i in range(draft.size) if rows[i] != clean[i]}, rows

    few, few_rows, once = damaged(0.05)
    many, many_rows, _ = damaged(0.5)
    assert 1 <= few < many
    assert len(few_rows) <= few
    assert len(many_rows) <= many
    assert few_rows < many_rows
    assert damaged(0.05)[2] == once
    assert damaged(0.0001)[0] >= 1


def _curve(points: list[tuple[float, str, float]]) -> Curve:
    """Of points (rate, gate, fall)."""
    corruption = CORRUPTIONS[NAME]
    return Curve(
        corruption,
        tuple(
            Point(
                NAME,
                rate,
                (Day("2013-04-09", 1, gate, "HOLD" if gate else "PASS", ("few_gaps",) if gate else ()),),
                0.7 - fall,
                Estimate(fall, fall, fall),
                0.0,
            )
            for rate, gate, fall in points
        ),
    )


@pytest.mark.parametrize(
    ("points", "gate", "harm", "in_time"),
    [
        ([(0.1, "", 0.0), (1.0, "", 0.005)], None, None, True),
        ([(0.1, "raw gate", 0.0), (1.0, "raw gate", 0.1)], 0.1, 1.0, True),
        ([(0.1, "", 0.0), (1.0, "contract", 0.1)], 1.0, 1.0, True),
        ([(0.1, "", 0.02), (1.0, "raw gate", 0.1)], 1.0, 0.1, False),
        ([(0.1, "", 0.02), (1.0, "", 0.1)], None, 0.1, False),
    ],
)
def test_a_gate_must_not_be_later_than_the_harm(points, gate, harm, in_time):
    found = _curve(points)
    assert (found.gate_rate, found.harm_rate, found.fires_in_time) == (gate, harm, in_time)


def test_what_fails_is_listed_and_the_chart_shows_the_gate(tmp_path):
    late = _curve([(0.1, "", 0.02), (1.0, "raw gate", 0.1)])
    measured = Measured(1, DAYS, 1900, Estimate(0.7, 0.67, 0.73), (late,))
    curve_report.write(measured, tmp_path)
    told = (tmp_path / "report.md").read_text()
    assert f"- {NAME}: harm from 10% on, a gate from 100% on." in told
    assert "| **NO** |" in told
    points = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [(one["rate"], one["clean_auc"]["value"]) for one in points] == [(0.1, 0.7), (1.0, 0.7)]
    chart = ElementTree.parse(tmp_path / "curve.svg").getroot()
    circles = chart.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2
    upright = [
        one for one in chart.iter("{http://www.w3.org/2000/svg}line") if one.get("x1") == one.get("x2")
    ]
    assert [one.get("x1") for one in upright] == [circles[1].get("cx")]


@pytest.fixture(scope="module")
def champion_home(new_home) -> str:
    """A home with three clean months, what is made of them, and a champion."""
    with new_home("curve") as folder:
        # Outcomes land a day later.
        year.ensure(print, first=FIRST, last="2013-04-04")
        champion.train(spec.load(year.PIPELINE), TRAINED)
    return str(folder)


@pytest.fixture
def trained(champion_home, monkeypatch) -> Iterator[spec.Pipeline]:
    monkeypatch.setenv("SLUICE_HOME", champion_home)
    settings.cache_clear()
    yield spec.load(year.PIPELINE)
    settings.cache_clear()


def _measured(flights: spec.Pipeline) -> Curve:
    found = curve.measure(flights, 1, DAYS, [CORRUPTIONS[NAME]], rates=RATES)
    assert found.clean.low < found.clean.value < found.clean.high
    return found.curves[0]


def _gate_fires_before_harm(found: Curve) -> bool:
    assert found.harm_rate == RATES[1], found.points
    return found.gate_rate is not None and found.gate_rate < found.harm_rate


@pytest.mark.slow
@pytest.mark.long
def test_a_gate_fires_before_harm(trained, proofs):
    found = _measured(trained)
    proofs("robustness", NAME, gate=found.gate_rate, harm=found.harm_rate)
    assert _gate_fires_before_harm(found), found.points


@pytest.mark.slow
@pytest.mark.long
def test_a_rule_that_is_turned_off_is_seen(trained, weakened):
    weakened("weather", few_gaps={"slack": 1.0})
    assert not _gate_fires_before_harm(_measured(trained))
