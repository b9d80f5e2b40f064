"""Of a feature that is unlike the training days: whether that is new, goes on, or comes back with the weekday."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml import drift, shifts
from sluice_ml.monitored_day import DayNumbers

DAY, PER_DAY = date(2013, 4, 1), 200
LIMITS = {"speed": 0.3, "carrier": 0.3}


@pytest.fixture
def declared(config):
    return dataclasses.replace(config, numeric=("speed",), categorical=("carrier",))


def rows(days: dict[date, bool]) -> pa.Table:
    """Rows of days, which are shifted or are not."""
    drawn = np.random.default_rng(3)
    return pa.concat_tables(
        pa.table(
            {
                "ds": pa.array([day] * PER_DAY, pa.date32()),
                "speed": drawn.normal(size=PER_DAY) + (10 if shifted else 0),
                "carrier": drawn.choice(["AA", "UA"], PER_DAY, p=[0.95, 0.05] if shifted else [0.05, 0.95]),
            }
        )
        for day, shifted in days.items()
    )


@pytest.fixture
def since(declared):
    """Function: what a shifted DAY is after 28 days, of which those so many days back were shifted."""

    def told(shifted: set[int], drifted=("speed", "carrier"), days: int = 28) -> dict[str, str]:
        before = {DAY - timedelta(days=back): back in shifted for back in range(1, days + 1)}
        recent = rows(before) if before else rows({DAY: True}).slice(0, 0)
        current = drift.frame_of(rows({DAY: True}), declared)
        return drift.name_since(current, recent, LIMITS, drifted, declared, day=DAY, trailing_days=14)

    return told


@pytest.mark.parametrize(
    ("shifted", "name"),
    [(set(), "new"), (set(range(1, 15)), "lasting"), ({7, 14, 21, 28}, "weekly"), ({6, 13, 20, 27}, "new")],
    ids=["never before", "for two weeks", "each week", "on another weekday"],
)
def test_a_shift_has_the_name_of_the_days_that_are_like_it(since, shifted, name):
    assert since(shifted) == {"speed": name, "carrier": name}


def test_only_what_drifted_has_a_name_and_nothing_is_said_without_days_before(since):
    assert since(set(), drifted=()) == {}
    assert since(set(), drifted=("carrier",)) == {"carrier": "new"}
    assert since(set(), days=0) == {}


def test_a_feature_without_a_value_of_late_has_no_name(declared):
    empty = rows({DAY - timedelta(days=1): False})
    empty = empty.set_column(1, "speed", pa.nulls(PER_DAY, pa.float64()))
    current = drift.frame_of(rows({DAY: True}), declared)
    found = drift.name_since(
        current, empty, LIMITS, ("speed", "carrier"), declared, day=DAY, trailing_days=14
    )
    assert found == {"carrier": "new"}


def test_sentence_names_each_kind_with_its_features_and_is_in_the_finding(measured_day, monitoring):
    named = {"a": "new", "b": "lasting", "c": "weekly", "d": "new"}
    day: DayNumbers = measured_day(
        "2013-04-01", drifted=("a", "b", "c", "d", "e"), shifted_since=named, shift=0.9
    )
    said = "unlike the days before: a, d; as in the days before: b; as on this weekday before: c"
    assert shifts.since(day) == f" ({said})"
    (finding,) = shifts.of_inputs([day], monitoring)
    assert said in finding.sentence
    assert shifts.since(measured_day("2013-04-01", drifted=("a",))) == ""
