"""Rows that do not belong to their day: found among good ones, while a day that is other as a whole flags nobody."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml import outliers

PER_DAY, SHARE = 300, 0.02
NUMBERS = ("wind", "late_rate", "minute", "age")


@pytest.fixture(scope="module")
def declared(config):
    return dataclasses.replace(
        config, numeric=NUMBERS, categorical=("origin",), segments=("origin",), outlier_share=SHARE
    )


def days(first: int, count: int, *, warmer: float = 0.0, per_day: int = PER_DAY) -> pa.Table:
    """Days of two airports, each with its own wind of a day and its own rate; minute and age are of the row."""
    drawn = np.random.default_rng(first)
    rows = count * per_day
    place = np.arange(rows) // per_day
    origin = drawn.integers(0, 2, rows)
    wind = 10 * drawn.random((count, 2))[place, origin] + drawn.random(rows) + warmer
    return pa.table(
        {
            "ds": pa.array(
                [date(2013, 1, 1) + timedelta(days=int(first + one)) for one in place], pa.date32()
            ),
            "origin": np.array(["EWR", "JFK"])[origin],
            "wind": wind,
            "late_rate": np.array([0.2, 0.3])[origin] + warmer / 100,
            "minute": drawn.integers(300, 1400, rows),
            "age": np.where(drawn.random(rows) < 0.1, None, drawn.integers(0, 30, rows)).tolist(),
        }
    )


@pytest.fixture(scope="module")
def fitted(declared):
    return outliers.fit(days(0, 40), days(40, 10), declared)


def with_foreign(rows: pa.Table, share: float = 0.02) -> tuple[pa.Table, np.ndarray]:
    """Some rows under the other airport's name; and which."""
    foreign = np.random.default_rng(1).random(rows.num_rows) < share
    origin = rows["origin"].to_numpy(zero_copy_only=False)
    other = np.where(origin == "EWR", "JFK", "EWR")
    return rows.set_column(1, "origin", pa.array(np.where(foreign, other, origin))), foreign


def test_most_of_two_percent_foreign_rows_are_flagged_and_few_good_ones(fitted):
    rows, foreign = with_foreign(days(60, 10))
    far = outliers._second(outliers._relative(rows, fitted)) > fitted["limit"]
    assert far[foreign].mean() >= 0.8
    assert far[~foreign].mean() <= 2 * SHARE
    assert outliers.find(rows, fitted).share == far.mean()
    assert set(outliers.find(rows, fitted).columns[:2]) == {"late_rate", "wind"}


def test_day_that_is_other_as_a_whole_and_ordinary_days_flag_no_more_than_declared(fitted):
    for rows in (days(60, 10), days(60, 10, warmer=30.0)):
        assert outliers.find(rows, fitted).share <= 2 * SHARE


def test_what_is_learned_is_json_and_reads_back_the_same(fitted):
    rows, _ = with_foreign(days(60, 3), 0.1)
    assert outliers.find(rows, json.loads(json.dumps(fitted, allow_nan=False))) == outliers.find(rows, fitted)


@pytest.mark.parametrize("name", ["LGA", None])
def test_a_group_that_is_new_or_has_no_name_has_a_median_of_its_own_and_none_of_a_few_rows(fitted, name):
    rows = days(60, 1, per_day=600)
    at = pa.compute.equal(rows["origin"], "EWR")
    renamed = rows.set_column(
        1, "origin", pa.compute.if_else(at, pa.scalar(name, pa.string()), rows["origin"])
    )
    assert outliers.find(renamed, fitted).share <= 2 * SHARE
    few, _ = with_foreign(days(60, 1, per_day=19), 0.5)
    assert outliers.find(few, fitted) is None


def test_without_segments_a_row_is_compared_with_its_day_and_of_one_number_that_one_counts(declared):
    alone = dataclasses.replace(declared, segments=(), numeric=("wind",))
    fitted = outliers.fit(days(0, 40), days(40, 10), alone)
    rows = days(60, 1)
    wind = rows["wind"].to_numpy().copy()
    wind[:6] += 1000
    assert outliers.find(rows, fitted).share <= 2 * SHARE
    found = outliers.find(rows.set_column(2, "wind", pa.array(wind)), fitted)
    assert (found.share, found.columns) == (pytest.approx(0.02, abs=0.02), ("wind",))
    assert found.share >= 0.02


def test_a_number_without_values_says_nothing_and_without_a_share_nothing_is_fitted(declared):
    nobody = pa.nulls(40 * PER_DAY, pa.float64())
    empty = days(0, 40).set_column(2, "wind", nobody)
    fitted = outliers.fit(empty, days(40, 10), declared)
    assert outliers.find(days(60, 5), fitted).share <= 2 * SHARE
    assert outliers.fit(days(0, 2), days(2, 2), dataclasses.replace(declared, outlier_share=None)) == {}


def test_a_column_that_is_gone_gives_no_share(fitted):
    assert outliers.find(days(60, 2).drop_columns(["age"]), fitted) is None
    assert outliers.find(days(60, 2).drop_columns(["origin"]), fitted) is None


def test_few_learned_days_fit_nothing(declared):
    assert outliers.fit(days(0, 27), days(40, 10), declared) == {}
    assert outliers.fit(days(0, 28), days(40, 10), declared) != {}


def test_groups_too_small_to_be_judged_by_fit_nothing_and_small_days_have_no_share(declared, fitted):
    assert outliers.fit(days(0, 40), days(40, 10, per_day=20), declared) == {}
    assert outliers.find(days(60, 1, per_day=12), fitted) is None


def test_rows_that_cannot_be_judged_are_no_good_ones(fitted):
    rows, _ = with_foreign(days(60, 10), 0.1)
    strangers = rows.slice(0, 15).set_column(1, "origin", pa.array(["LGA"] * 15))
    assert outliers.find(pa.concat_tables([rows, strangers]), fitted) == outliers.find(rows, fitted)


def test_a_number_that_never_varied_is_left_out_and_what_varies_later_mutes_nothing(declared):
    def with_constant(rows: pa.Table, values: np.ndarray) -> pa.Table:
        return rows.set_column(rows.column_names.index("age"), "age", pa.array(values))

    learned, held_out = days(0, 40), days(40, 10)
    fitted = outliers.fit(
        with_constant(learned, np.zeros(learned.num_rows)),
        with_constant(held_out, np.arange(held_out.num_rows, dtype="float64")),
        declared,
    )
    assert "age" not in fitted["numeric"]
    assert fitted["limit"] < 10


def test_a_missing_name_changes_no_other_group(declared):
    numbered = dataclasses.replace(declared, categorical=("gate",), segments=("gate",))

    def with_gate(rows: pa.Table, *, missing: bool) -> pa.Table:
        gates = [1 if name == "EWR" else 2 for name in rows["origin"].to_pylist()]
        return rows.append_column(
            "gate", pa.array([None if missing and not place else gate for place, gate in enumerate(gates)])
        )

    fitted = outliers.fit(
        with_gate(days(0, 40), missing=True), with_gate(days(40, 10), missing=False), numbered
    )
    assert set(fitted["groups"]["gate"]) == {"", "=1", "=2"}


def test_without_segments_a_sparse_number_is_judged_by_the_days_own(declared):
    sparse = dataclasses.replace(declared, segments=())
    learned = days(0, 28, per_day=40)
    known = [value if place % 10 == 0 else None for place, value in enumerate(learned["age"].to_pylist())]
    learned = learned.set_column(learned.column_names.index("age"), "age", pa.array(known, pa.int64()))
    fitted = outliers.fit(learned, days(40, 10), sparse)
    assert all(reach is not None for reach in fitted["groups"][""][""])
