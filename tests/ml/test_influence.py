"""A burst of labels moves the training set only so far, and always in the same way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml.influence import cap
from sluice_ml.training import fit


def burst(rows, day, count, **values):
    """`count` more rows of a day, all late, under keys of their own."""
    of_day = rows.filter(pc.equal(rows["ds"], day))
    more = of_day.take(np.arange(count) % of_day.num_rows)
    values = {"flight_id": [f"burst {place}" for place in range(count)], "is_late": [True] * count, **values}
    for name, column in values.items():
        more = more.set_column(more.schema.get_field_index(name), name, pa.array(column))
    return pa.concat_tables([rows, more])


@pytest.fixture
def day(rows):
    return rows["ds"][0].as_py()


def test_cap_of_ordinary_days_cuts_nothing(rows, config, candidate):
    assert cap(rows, config)[1] == {}
    assert candidate.meta.capped == {}


def test_fit_learns_from_a_flooded_day_no_more_than_its_share(rows, config, day):
    flooded = burst(rows, day, 6000)
    meta = fit(flooded, config).meta
    cut = meta.capped[day.isoformat()]
    assert cut["rows"] > 6000
    # The share is of all rows that the serving model may learn from, as they came in.
    assert cut["kept"] == int(config.max_day_share * meta.splits["refit"]["rows"])


def test_cap_of_one_value_keeps_the_same_rows_in_any_order(rows, config, day):
    carriers = ["US"] * 1500
    flooded = burst(rows, day, 1500, carrier=carriers)
    narrow = dataclasses.replace(config, max_day_share=1.0, max_value_share=0.4)
    kept, cut = cap(flooded, narrow)
    [(where, numbers)] = cut.items()
    assert where == f"{day} carrier US"
    of_day = flooded.filter(pc.equal(flooded["ds"], day)).num_rows
    assert numbers["kept"] == int(0.4 * of_day) < numbers["rows"]
    again, _ = cap(flooded.take(np.random.default_rng(1).permutation(flooded.num_rows)), narrow)
    assert sorted(kept["flight_id"].to_pylist()) == sorted(again["flight_id"].to_pylist())


def test_cap_below_an_even_share_cuts_nothing(rows, config):
    narrow = dataclasses.replace(config, max_day_share=0.001, capped_column=None)
    assert cap(rows, narrow)[1] == {}
