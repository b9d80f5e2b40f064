"""Rows that show a model its test, or the future, stop the training and are named."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_ml.errors import RowsLeakError, RowsUnusableError
from sluice_ml.leakage import require_apart, require_before
from sluice_ml.training import fit


def moved(rows, count, day, spell, since=date.min):
    """Copies of the first labelled rows since a day on another day, under keys of their own."""
    copies = rows.filter(
        pc.and_(pc.is_valid(rows["is_late"]), pc.greater_equal(rows["ds"], pa.scalar(since)))
    ).slice(0, count)
    ids = [spell(key) for key in copies["flight_id"].to_pylist()]
    copies = copies.set_column(copies.schema.get_field_index("flight_id"), "flight_id", pa.array(ids))
    days = pa.array([day] * count, pa.date32())
    return ids, pa.concat_tables([rows, copies.set_column(copies.schema.get_field_index("ds"), "ds", days)])


@pytest.mark.parametrize("spell", [str.lower, lambda key: f" {key} ", lambda key: f"another {key}"])
def test_fit_copies_on_both_sides_of_the_split_are_refused_by_their_ids(rows, config, spell):
    ids, leaking = moved(rows, 50, date(2013, 3, 10), spell)
    with pytest.raises(RowsLeakError, match=r"50 of .* test rows are copies") as error:
        fit(leaking, config)
    assert all(key in error.value.what for key in ids)


def test_fit_copies_of_rows_that_training_stops_on_are_refused(rows, config, candidate):
    """A model that was chosen by rows has seen them as one that was fitted on them has."""
    valid = date.fromisoformat(candidate.meta.splits["valid"]["first"])
    ids, leaking = moved(rows, 50, date(2013, 3, 10), lambda key: f"another {key}", since=valid)
    with pytest.raises(RowsLeakError, match=r"50 of .* test rows are copies") as error:
        fit(leaking, config)
    assert all(key in error.value.what for key in ids)


def test_fit_copies_of_coarse_rows_are_no_leak(rows, config):
    # Two columns of whole numbers: days look alike, and equal content says nothing.
    coarse = dataclasses.replace(
        config, numeric=("departure_minute", "carrier_late_rate"), categorical=("origin",), rounds=5
    )
    rounded = pc.round(rows["carrier_late_rate"], 1)
    rows = rows.set_column(rows.schema.get_field_index("carrier_late_rate"), "carrier_late_rate", rounded)
    assert fit(rows, coarse).meta.rounds >= 1


def test_fit_one_test_row_that_equals_a_learned_row_by_chance_is_no_leak(rows, config):
    _, alike = moved(rows, 1, date(2013, 3, 10), lambda key: f"another {key}")
    assert fit(alike, config).meta.rounds >= 1


def test_fit_copies_with_another_label_are_refused(rows, config):
    ids, leaking = moved(rows, 60, date(2013, 3, 10), lambda key: f"another {key}")
    copied = pc.is_in(leaking["flight_id"], value_set=pa.array(ids))
    label = pc.if_else(copied, pc.invert(leaking["is_late"]), leaking["is_late"])
    leaking = leaking.set_column(leaking.schema.get_field_index("is_late"), "is_late", label)
    with pytest.raises(RowsLeakError, match=r"60 of .* test rows are copies"):
        fit(leaking, config)


def test_fit_a_learned_key_in_the_test_is_refused_though_it_is_one(rows, config):
    (key,), leaking = moved(rows, 1, date(2013, 3, 10), str)
    with pytest.raises(
        RowsLeakError, match=f"1 of .* test rows are copies: rows with the flight_id of .*{key}"
    ):
        fit(leaking, config)


def drawn(seed, days, rows_a_day, values, *, kinds=1):
    """Unrelated rows with so many different `values`; one day of `kinds` is of a kind that has a hundredth of them."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows_a_day)
    kind = random.integers(0, kinds, days)[day]
    few = random.integers(0, max(1, values // 100), len(day))
    value = np.where((kind == 0) & (kinds > 1), few, random.integers(0, values, len(day)))
    first = date(2013, 1, 1)
    return pa.table(
        {
            "id": [f"row {place}" for place in range(len(day))],
            "ds": pa.array([first + timedelta(int(each)) for each in day], pa.date32()),
            "value": value // 7,
            "rest": (value % 7).astype(str),
            "kind": kind,
        }
    )


def copied(rows, sources, targets):
    """The rows with the features of the rows at `sources` at `targets`."""
    places = np.arange(rows.num_rows)
    places[targets] = sources
    features = rows.select(["value", "rest", "kind"]).take(places)
    for name in features.column_names:
        rows = rows.set_column(rows.schema.get_field_index(name), name, features[name])
    return rows


def apart(rows, config, days=20):
    synthetic = dataclasses.replace(config, key="id", numeric=("value", "kind"), categorical=("rest",))
    learned = pc.less(rows["ds"], date(2013, 1, 1) + timedelta(days))
    require_apart(rows.filter(learned), rows.filter(pc.invert(learned)), synthetic)


SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    days=st.integers(23, 40),
    rows_a_day=st.integers(20, 300),
    values=st.sampled_from([1, 3, 30, 1_000, 30_000, 1_000_000, 30_000_000]),
    kinds=st.sampled_from([1, 1, 4, 12]),
)
def test_rows_that_are_equal_by_chance_are_no_leak(config, seed, days, rows_a_day, values, kinds):
    apart(drawn(seed, days, rows_a_day, values, kinds=kinds), config)


@settings(max_examples=20, deadline=None)
@given(
    seed=SEEDS,
    values=st.sampled_from([100_000, 10_000_000]),
    source=st.integers(0, 19),
    day=st.integers(20, 29),
)
def test_a_copied_day_is_refused_and_named(config, seed, values, source, day):
    rows = drawn(seed, 30, 200, values)
    whole = np.arange(200)
    with pytest.raises(RowsLeakError) as error:
        apart(copied(rows, 200 * source + whole, 200 * day + whole), config)
    assert f"most copies are of {date(2013, 1, 1) + timedelta(day)} (200 rows)" in error.value.where
    assert f"row {200 * day}" in error.value.what


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_one_copied_row_of_a_hundred_is_refused_with_what_chance_explains(config, seed):
    rows, random = drawn(seed, 30, 500, 1_000_000_000), np.random.default_rng(seed)
    sources, targets = (
        random.choice(10_000, 50, replace=False),
        10_000 + random.choice(5_000, 50, replace=False),
    )
    with pytest.raises(RowsLeakError, match=r"of 5000 rows 5\d are so, \S+ are expected by chance") as error:
        apart(copied(rows, sources, targets), config)
    assert all(f"row {target}" in error.value.what for target in targets[:5]) or "more" in error.value.what
    assert len(error.value.what) < 2_000


def test_keys_that_differ_in_case_by_chance_are_no_leak(config):
    # Ids of four letters and digits, in which case counts: a few of a thousand are equal without it.
    random, letters = np.random.default_rng(3), np.array(list("abcdefghijABCDEFGHIJ0123456789"))
    rows = drawn(1, 30, 200, 1_000_000_000)
    ids = list({"".join(random.choice(letters, 4)) for _ in range(8_000)})[: rows.num_rows]
    apart(rows.set_column(0, "id", pa.array(ids)), config)


def test_rows_known_too_late_are_refused_by_their_ids(config):
    morning = datetime(2013, 3, 1, 9, tzinfo=UTC)
    rows = pa.table(
        {
            "flight_id": ["good", "late", "future", "never said"],
            "as_of_at": [morning, morning, morning + timedelta(days=1), None],
            "departs_at": [morning + timedelta(hours=1), morning, morning + timedelta(days=2), morning],
        }
    )
    timed = dataclasses.replace(config, known_at="as_of_at", happens_at="departs_at")
    with pytest.raises(RowsLeakError, match=r"3 of 4 rows .*: late, future, never said"):
        require_before(rows, datetime(2013, 3, 2, tzinfo=UTC), timed)
    require_before(rows.slice(0, 1), datetime(2013, 3, 2, tzinfo=UTC), timed)


@pytest.mark.parametrize("missing", ["known_at", "happens_at"])
def test_rows_of_a_model_that_declares_no_instants_are_not_looked_at(config, missing):
    rows = pa.table({"flight_id": ["late"]})
    declared = {"known_at": "as_of_at", "happens_at": "departs_at", missing: None}
    require_before(rows, datetime(2013, 3, 2, tzinfo=UTC), dataclasses.replace(config, **declared))


def test_rows_that_lack_a_declared_instant_are_refused(config):
    timed = dataclasses.replace(config, known_at="as_of_at", happens_at="departs_at")
    with pytest.raises(RowsUnusableError, match="as_of_at"):
        require_before(pa.table({"flight_id": ["late"]}), datetime(2013, 3, 2, tzinfo=UTC), timed)
