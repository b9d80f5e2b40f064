from __future__ import annotations

import pickle
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from sluice_ml import training
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import BaselineModel, ModelMeta, ScoringModel, encode
from sluice_ml.numbers import LARGEST, keep_representable


@pytest.fixture
def model(candidate):
    return ScoringModel(candidate.content, candidate.meta, threads=2)


def put(rows, column, values):
    return rows.set_column(rows.schema.get_field_index(column), column, pa.array(values))


def test_score_batch_equals_its_rows_one_by_one(model, rows):
    batch = rows.slice(4000, 60)
    single = np.concatenate([model.score(batch.slice(place, 1)) for place in range(batch.num_rows)])
    assert np.array_equal(model.score(batch), single)


def test_score_is_a_probability_of_float64(model, rows):
    score = model.score(rows.combine_chunks().to_batches()[0])
    assert score.dtype == np.float64
    assert 0 <= score.min() < score.max() <= 1


def test_score_large_string_and_dictionary_columns_score_the_same(model, rows):
    batch = rows.slice(0, 50)
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        other = put(batch, "dest", batch["dest"].cast(kind).combine_chunks())
        assert np.array_equal(model.score(batch), model.score(other))


def test_score_values_never_seen_are_all_one_category(model, rows):
    batch = rows.slice(0, 40)
    first, second = (model.score(put(batch, "dest", [name] * 40)) for name in ("QQQ", "a place far away"))
    assert np.array_equal(first, second)
    assert np.isfinite(first).all()


def test_score_missing_column_is_named(model, rows):
    with pytest.raises(RowsUnusableError, match="wind_gust"):
        model.score(rows.drop_columns(["wind_gust"]))


def test_encode_nulls_known_and_unknown_values_are_told_apart():
    rows = pa.table({"n": pa.array([1, None, 2**40], pa.int64()), "c": ["b", None, "x"]})
    matrix = encode(rows, ("n",), ("c",), {"c": ["a", "b"]})
    assert matrix.dtype == np.float32
    assert matrix[0].tolist() == [1.0, 1.0]
    assert np.isnan(matrix[1]).all()
    assert matrix[2].tolist() == [float(2**40), 2.0]


@pytest.mark.parametrize("value", [1.7e308, -1e39, float("inf")])
def test_encode_number_that_float32_cannot_hold_is_refused_with_its_day(value):
    rows = pa.table({"n": [1.0, value], "ds": pa.array([date(2013, 4, 1), date(2013, 4, 2)])})
    with pytest.raises(RowsUnusableError, match="1 rows of 2013-04-02 have a n that is infinite") as caught:
        encode(rows, ("n",), (), {})
    assert "replay the day" in caught.value.todo


def test_encode_largest_number_of_float32_is_held_and_a_model_can_be_trained_on_it(rows, config):
    name = config.numeric[0]
    values = rows[name].to_pylist()
    values[:2] = [LARGEST, -LARGEST]
    assert np.isfinite(encode(put(rows, name, values), (name,), (), {})[:2]).all()
    assert training.fit(put(rows, name, values), config).content


def test_keep_representable_leaves_out_what_no_model_can_hold_and_says_of_which_day():
    first, second = date(2013, 4, 1), date(2013, 4, 2)
    rows = pa.table(
        {
            "ds": pa.array([first, first, second, second, second, second]),
            "x": [1.0, None, 1.7e308, LARGEST, float("nan"), 2.0],
            "y": [1.0, float("-inf"), 1.0, -LARGEST, 1e39, 2.0],
            "n": pa.array([2**62] * 6, pa.int64()),
        }
    )
    kept, left_out = keep_representable(rows, ["x", "y", "n"])
    assert kept["x"].to_pylist() == [1.0, LARGEST, 2.0]
    assert left_out == {"2013-04-01 y": 1, "2013-04-02 x": 2, "2013-04-02 y": 1}
    assert keep_representable(kept, ["x", "y", "n"]) == (kept, {})


def test_baseline_null_takes_the_default_and_scores_stay_in_range():
    rows = pa.table({"rate": [0.25, None, 1.5, -0.1]})
    assert BaselineModel("rate", 0.2).score(rows).tolist() == [0.25, 0.2, 1.0, 0.0]


def test_meta_written_and_read_is_the_same(candidate):
    text = candidate.meta.to_json()
    read = ModelMeta.from_json(text)
    assert read.to_json() == text


def test_meta_read_from_its_file_scores_the_same(candidate, model, rows):
    read = ScoringModel(candidate.content, ModelMeta.from_json(candidate.meta.to_json()), threads=2)
    assert np.array_equal(read.score(rows), model.score(rows))


def test_meta_of_another_format_is_refused(candidate):
    text = candidate.meta.to_json().replace('"format": 1', '"format": 2')
    with pytest.raises(ValueError, match="format 2; this code reads 1"):
        ModelMeta.from_json(text)


def test_error_survives_a_process_boundary_with_its_parts():
    error = pickle.loads(pickle.dumps(RowsUnusableError("No rows.", where="ds", todo="wait")))
    assert (error.what, error.where, error.todo) == ("No rows.", "ds", "wait")
    assert str(error) == "No rows. Where: ds. Next: wait."
