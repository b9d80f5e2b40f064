"""Rows that show a model its test, or the future, stop the training and are named."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ml.errors import RowsLeakError, RowsUnusableError
from ml.leakage import require_before
from ml.training import fit


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
    assert fit(rows, coarse).meta.best_iteration >= 0


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
