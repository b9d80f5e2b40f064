"""Realised performance: which days count, what is said of few, and what happened when; and the chart of it."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from sluice import ledger
from sluice.declare import spec
from sluice.ledger import model_records, records
from sluice.models import realised
from sluice.models.realised import Mark
from sluice.web import performance_chart
from sluice_ml.metrics import mean_of_days

NEWEST = date(2013, 6, 30)


def day(back: int) -> str:
    return (NEWEST - timedelta(days=back)).isoformat()


@pytest.fixture
def flights(home):
    return spec.load("flights")


@pytest.fixture
def measure(flights, measured_day):
    """Function: record what monitoring makes of the day that is so many days back."""

    def measure(back: int, auc: float | None = 0.7, baseline: float | None = 0.6, **changed: object) -> None:
        known = {"labelled": 890, "auc": auc, "baseline_auc": baseline}
        numbers = measured_day(day(back), **{"model_version": "3", **known, **changed})
        about = {"pipeline": "flights", "subject": flights.model.name, "partition": day(back)}
        ledger.append(model_records.Monitored(**numbers.as_dict()), **about)

    return measure


def test_means_are_of_the_days_that_count_with_their_interval(flights, measure):
    aucs = [0.70, 0.72, 0.65, 0.71, 0.69, 0.73, 0.68, 0.74, 0.66, 0.70]
    for back, auc in enumerate(aucs):
        measure(back, auc, 0.6)
    for back, changed in enumerate(
        (
            {"made_late": True, "auc": None, "baseline": None},
            {"input_age_days": 1},
            {"released": ("a word",)},
            {"broken": {"weather": ("wind_gust_mph",)}},
            {"labelled": flights.monitoring.min_rows - 1},
            {"model_version": "baseline"},
        ),
        start=20,
    ):
        measure(back, **{"auc": 0.99, "baseline": 0.6, **changed})
    measure(30, None, None)
    measure(31, 0.99, None)
    measure(32, None, None, labelled=0)
    measure(realised.DAYS, 0.99, 0.6)

    found = realised.read(flights, [])

    assert (found.counted, found.needed, len(found.days)) == (10, 10, realised.DAYS)
    assert (found.days[0].ds, found.days[-1].ds) == (day(realised.DAYS - 1), day(0))
    assert found.auc == mean_of_days(np.array(aucs[::-1]), 0.95)
    assert found.lead is not None
    assert found.lead.value == pytest.approx(np.mean(aucs) - 0.6)
    measured = {one.ds for one in found.days if one.version}
    assert measured == {day(back) for back in (*range(10), *range(20, 26), 30, 31, 32)}
    assert {one.ds: one.unknown for one in found.days if one.unknown} == {
        day(20): "made late, and in no measure of the model",
        day(30): "its outcomes are all of one kind",
        day(31): "the baseline's AUC was not recorded",
        day(32): "its outcomes are not known yet",
    }


def test_a_day_that_was_measured_again_counts_once_with_its_newest_numbers(flights, measure):
    for back in range(10):
        measure(back)
    measure(3, 0.8)
    found = realised.read(flights, [])
    assert found.counted == 10
    assert {one.auc for one in found.days if one.ds == day(3)} == {0.8}


def test_of_too_few_days_nothing_is_said_and_nothing_is_drawn(flights, measure):
    assert realised.read(flights, []).days == ()
    for back in range(9):
        measure(back)
    few = realised.read(flights, [])
    assert (few.counted, few.auc, few.lead, performance_chart.draw(few)) == (9, None, None, None)
    measure(9)
    assert performance_chart.draw(realised.read(flights, [])) is not None


def test_estimates_and_what_has_a_limit_are_drawn_and_only_days_that_count_can_be_beyond_it(flights, measure):
    as_said = {"label_rate": 0.2, "expected_rate": 0.2, "shift": 0.1}
    for back in range(1, 12):
        measure(back, **as_said)
    measure(0, None, None, labelled=0, shift=0.9, estimated_auc=0.68)
    measure(12, label_rate=0.9, expected_rate=0.1, shift=0.1)
    measure(13, label_rate=0.9, expected_rate=0.1, shift=0.95, released=("a word",))
    for loss in (0.2, 1.2):
        sums = {"performance": loss, "scores_too_low": 0.3, "scores_too_high": loss}
        decided = model_records.Decided(action="warn", numbers={"sums": sums})
        ledger.append(decided, pipeline="flights", subject=flights.model.name, partition=day(1))

    charts = {chart.heading: chart for chart in performance_chart.draw_all(realised.read(flights, []))}

    beyond = {
        name: [bar.title for bar in chart.bars if bar.outcome == "HOLD"] for name, chart in charts.items()
    }
    assert beyond == {
        "AUC": [],
        "Loss against the baseline, added up": [f"{day(1)}: Loss against the baseline, added up 120%."],
        "Calibration, added up": [f"{day(1)}: Calibration, added up -120%."],
        "Calibration": [f"{day(12)}: Calibration +4.38."],
        "Importance of drifted features": [f"{day(0)}: Importance of drifted features 90%."],
    }
    assert [len(chart.bars) for chart in charts.values()] == [12, 1, 12, 1, 13]
    assert [dot.title for dot in charts["AUC"].dots] == [f"{day(0)}: AUC 0.680 estimated."]
    drift, height = charts["Importance of drifted features"], performance_chart.HEIGHT
    assert drift.limits == [(pytest.approx(height * (1 - 0.7 / (1.1 * 0.9))), "limit 70%")]
    assert drift.bars[-1].height == pytest.approx(height / 1.1)
    assert [said for _, said in charts["Calibration"].limits] == ["limit -3.20", "limit +3.20"]


def test_each_day_says_what_was_held_asked_for_and_decided(flights, measure):
    measure(0)
    about = {"pipeline": "flights", "partition": day(2)}
    ledger.append(records.Held(outcome="HOLD", batch_id="b"), subject="arrivals", **about)
    asked = model_records.RetrainRequested(causes=("age", "performance"))
    ledger.append(asked, subject=flights.model.name, **about)
    happened = [(day(1), Mark("promoted", "version 3")), (day(500), Mark("refuse", "version 1"))]

    found = realised.read(flights, happened)

    assert {one.ds: list(one.marks) for one in found.days if one.marks} == {
        day(2): [Mark("held", "arrivals"), Mark("retrain_requested", "age, performance")],
        day(1): [Mark("promoted", "version 3")],
    }


def test_bars_of_days_that_count_go_from_the_baseline_to_the_model_and_differ_where_it_is_below(
    flights, measure
):
    for back in range(12):
        measure(back, 0.70, 0.60)
    measure(12, 0.55, 0.65)
    measure(13, 0.99, 0.40, input_age_days=1)
    chart = performance_chart.draw(realised.read(flights, [(day(0), Mark("promoted", "version 3"))]))

    assert chart is not None
    assert (round(chart.low, 2), round(chart.high, 2), chart.width) == (0.55, 0.7, realised.DAYS * 6)
    below, *above = chart.bars
    assert len(above) == 12
    a_tenth = performance_chart.HEIGHT / (0.7 - 0.55) / 10
    for bar, outcome, top, height in (
        (below, "HOLD", 0.5 * a_tenth, a_tenth),
        (above[0], "PASS", 0.0, a_tenth),
    ):
        assert (bar.outcome, bar.y, bar.height) == (
            outcome,
            pytest.approx(top),
            pytest.approx(height),
        )
    assert below.title == (
        f"{day(12)}: AUC 0.550 of version 3, 0.650 of the baseline (-0.100), 890 of 900 outcomes."
    )
    assert chart.marks == [(chart.width - 3, "promoted", f"{day(0)}: became champion (version 3)")]
