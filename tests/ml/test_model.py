from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest

from ml.errors import RowsUnusableError
from ml.model import BaselineModel, ModelMeta, ScoringModel, encode


@pytest.fixture
def model(candidate):
    return ScoringModel(candidate.ubj, candidate.meta, threads=2)


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


def test_baseline_null_takes_the_default_and_scores_stay_in_range():
    rows = pa.table({"rate": [0.25, None, 1.5, -0.1]})
    assert BaselineModel("rate", 0.2).score(rows).tolist() == [0.25, 0.2, 1.0, 0.0]


def test_meta_written_and_read_is_the_same(candidate):
    text = candidate.meta.to_json()
    read = ModelMeta.from_json(text)
    assert read.to_json() == text


def test_meta_read_from_its_file_scores_the_same(candidate, model, rows):
    read = ScoringModel(candidate.ubj, ModelMeta.from_json(candidate.meta.to_json()), threads=2)
    assert np.array_equal(read.score(rows), model.score(rows))


def test_meta_of_another_format_is_refused(candidate):
    text = candidate.meta.to_json().replace('"format": 1', '"format": 2')
    with pytest.raises(ValueError, match="format 2; this code reads 1"):
        ModelMeta.from_json(text)


def test_error_survives_a_process_boundary_with_its_parts():
    error = pickle.loads(pickle.dumps(RowsUnusableError("No rows.", where="ds", todo="wait")))
    assert (error.what, error.where, error.todo) == ("No rows.", "ds", "wait")
    assert str(error) == "No rows. Where: ds. Next: wait."
