from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sluice_ml.coverage import summarise
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import BaselineModel, ModelMeta, ScoringModel
from sluice_ml.scoring import schema, score

AT = datetime(2013, 2, 28, 9, tzinfo=UTC)


def scored(rows, model, *, batch=1000, run_id="run-1", version=3, meta=None, name="flights_late_arrival"):
    return score(
        rows.to_batches(max_chunksize=batch),
        model,
        key="flight_id",
        name=name,
        version=version,
        meta=meta,
        feature_snapshot_id=77,
        run_id=run_id,
        scored_at=AT,
    )


@pytest.fixture
def model(candidate):
    return ScoringModel(candidate.content, candidate.meta, threads=2)


def test_score_batch_size_does_not_change_the_predictions(rows, model):
    assert scored(rows.slice(0, 500), model, batch=500).equals(scored(rows.slice(0, 500), model, batch=7))


def test_score_one_row_a_feature_row_with_its_evidence(rows, model):
    part = rows.slice(100, 300)
    found = scored(part, model)
    assert found.schema == schema("flight_id")
    assert found["flight_id"].equals(part["flight_id"])
    assert found["ds"].equals(part["ds"])
    assert np.array_equal(found["score"].to_numpy(), model.score(part))
    first = found.slice(0, 1).to_pylist()[0]
    assert (first["model_version"], first["is_baseline"], first["feature_snapshot_id"]) == ("3", False, 77)
    assert first["scored_at"] == AT


def test_score_prediction_ids_are_unique_the_same_in_a_run_and_other_in_another(rows, model):
    part = rows.slice(0, 300)
    first, again, other = (scored(part, model, run_id=run)["prediction_id"] for run in ("a", "a", "b"))
    assert len(first.unique()) == 300
    assert first.equals(again)
    assert not set(first.to_pylist()) & set(other.to_pylist())


def test_score_prediction_id_is_the_one_that_earlier_versions_gave(rows, model):
    """A run that is repeated after an upgrade makes the same predictions."""
    first = scored(rows.slice(0, 1), model, run_id="a", name="arrival")["prediction_id"][0].as_py()
    key = rows["flight_id"][0].as_py()
    assert first == hashlib.blake2b(f"arrival\0a\0{key}".encode(), digest_size=16).hexdigest()


def test_score_prediction_ids_of_two_models_in_one_run_are_two(rows, model):
    part = rows.slice(0, 300)
    first, other = (scored(part, model, name=name)["prediction_id"] for name in ("arrival", "departure"))
    assert not set(first.to_pylist()) & set(other.to_pylist())


def test_score_baseline_says_so_in_every_row(rows):
    found = scored(rows.slice(0, 20), BaselineModel("carrier_late_rate", 0.2), version=None)
    assert found["is_baseline"].to_pylist() == [True] * 20
    assert set(found["model_version"].to_pylist()) == {"baseline"}


def test_score_large_string_keys_are_accepted(rows, model):
    part = rows.slice(0, 5)
    large = part.set_column(0, "flight_id", part["flight_id"].cast(pa.large_string()))
    assert scored(large, model).equals(scored(part, model))


def test_score_no_rows_gives_an_empty_table_of_the_schema(rows, model):
    assert scored(rows.slice(0, 0), model).schema == schema("flight_id")


def test_score_rows_without_key_are_refused(rows, model):
    with pytest.raises(RowsUnusableError, match="flight_id"):
        scored(rows.drop_columns(["flight_id"]), model)


def put(rows, column, values):
    return rows.set_column(rows.schema.get_field_index(column), column, values)


def test_score_categories_never_met_are_told_and_counted(rows, model, candidate):
    part = rows.slice(0, 500).combine_chunks()
    new = put(
        part, "dest", pa.concat_arrays([pa.array(["QQQ"] * 20), part["dest"].combine_chunks().slice(20)])
    )
    found = scored(new, model, meta=candidate.meta)
    assert found["unseen_categories"].to_pylist() == ['{"dest": "QQQ"}'] * 20 + [None] * 480
    told = summarise(found)
    assert (told["unseen_rows"], told["unseen_share"], told["unseen"]) == (20, 0.04, {"dest=QQQ": 20})
    # What training met too seldom to learn is scored as `some other`, and is no surprise.
    rare = candidate.meta.rare["dest"][0]
    known = scored(put(part, "dest", pa.array([rare] * 500)), model, meta=candidate.meta)
    assert known["unseen_categories"].null_count == 500


def test_score_category_with_a_comma_in_it_is_one(rows, model, candidate):
    part = rows.slice(0, 10).combine_chunks()
    maker, odd = "BOEING, AND SONS", 'dest=A, "B"'
    new = put(part, "carrier", pa.array([maker] * 10))
    new = put(new, "dest", pa.array([odd] * 4 + part["dest"].to_pylist()[4:]))
    told = summarise(scored(new, model, meta=candidate.meta))
    assert told["unseen"] == {f"carrier={maker}": 10, f"dest={odd}": 4}


def test_score_rows_of_segments_seldom_seen_are_not_supported(rows, model, candidate):
    seen = candidate.meta.coverage["carrier"]
    few = next(name for name, segment in seen.items() if segment["rows"] < 100)
    many = max(seen, key=lambda name: seen[name]["rows"])
    part = rows.slice(0, 3).combine_chunks()
    carriers = pa.array([few, many, "ZZ"])
    found = scored(put(part, "carrier", carriers), model, meta=candidate.meta)
    assert found["is_supported"].to_pylist() == [False, True, False]
    assert summarise(found)["unsupported_rows"] == 2


def test_score_order_of_categories_leaves_the_predictions_as_they_were(rows, model, candidate):
    part = rows.slice(0, 400).combine_chunks()
    turned = part.take(np.random.default_rng(3).permutation(400))
    for name in candidate.meta.categorical:
        values = sorted(set(turned[name].to_pylist()), reverse=True)
        codes = pc.index_in(turned[name].combine_chunks(), value_set=pa.array(values))
        turned = put(turned, name, pa.DictionaryArray.from_arrays(codes, pa.array(values)))
    first, second = (scored(one, model, meta=candidate.meta).sort_by("flight_id") for one in (part, turned))
    assert first.combine_chunks().equals(second.combine_chunks())


# What is written beside the score, from rows made by hand and the rule: nothing is trained.


def handmade() -> pa.Table:
    return pa.table(
        {
            "flight_id": ["a", "b", "c"],
            "ds": pa.array([date(2013, 3, 1)] * 3, pa.date32()),
            "late_rate": [0.1, None, 0.9],
            "carrier": ["UA", "AA", "ZZ"],
        }
    )


def told(**given) -> pa.Table:
    about = {
        "key": "flight_id",
        "name": "late",
        "version": None,
        "feature_snapshot_id": 77,
        "run_id": "run-1",
        "scored_at": AT,
    }
    return score(handmade().to_batches(), BaselineModel("late_rate", 0.2), **{**about, **given})


def test_score_of_the_rule_without_further_word_is_fresh_and_in_time():
    found = told()
    assert found.drop_columns(["prediction_id", "scored_at"]).to_pylist() == [
        {
            "flight_id": key,
            "ds": date(2013, 3, 1),
            "score": pytest.approx(score),
            "model_name": "late",
            "model_version": "baseline",
            "is_baseline": True,
            "scored_as": "baseline",
            "is_supported": True,
            "unseen_categories": None,
            "feature_snapshot_id": 77,
            "run_id": "run-1",
            "input_age_days": 0,
            "is_stale": False,
            "made_late": False,
        }
        for key, score in (("a", 0.1), ("b", 0.2), ("c", 0.9))
    ]
    assert set(found["scored_at"].to_pylist()) == {AT}
    assert {len(each) for each in found["prediction_id"].to_pylist()} == {32}


def test_score_of_a_version_with_older_inputs_says_which_how_old_and_that_it_is_late():
    found = told(version=0, input_age_days=1, made_late=True)
    row = found.to_pylist()[0]
    assert (row["model_version"], row["is_baseline"], row["scored_as"]) == ("0", False, "champion")
    assert told(version=1, scored_as="previous")["scored_as"].to_pylist() == ["previous"] * 3
    assert (row["input_age_days"], row["is_stale"], row["made_late"]) == (1, True, True)


def test_score_by_a_trained_model_says_what_training_had_not_seen():
    seen = {"UA": {"rows": 500, "supported": True}, "AA": {"rows": 3, "supported": False}}
    meta = ModelMeta(
        format=1,
        name="late",
        numeric=("late_rate",),
        categorical=("carrier",),
        vocabulary={"carrier": ["UA"]},
        splits={},
        unlabelled_rows=0,
        rows_sha256="",
        metrics={},
        config={},
        libraries={},
        rare={"carrier": ["AA"]},
        coverage={"carrier": seen},
    )
    found = told(version=3, meta=meta)
    assert found["is_supported"].to_pylist() == [True, False, False]
    assert found["unseen_categories"].to_pylist() == [None, None, '{"carrier": "ZZ"}']


def test_score_of_a_batch_without_its_key_or_day_is_refused_and_names_it():
    for column in ("flight_id", "ds"):
        batches = handmade().drop_columns([column]).to_batches()
        given = {"key": "flight_id", "name": "late", "version": None, "feature_snapshot_id": 7, "run_id": "r"}
        given |= {"scored_at": AT}
        with pytest.raises(RowsUnusableError, match=column):
            score(batches, BaselineModel("late_rate", 0.2), **given)


def test_score_of_no_batches_has_the_columns_of_predictions():
    given = {"key": "flight_id", "name": "late", "version": None, "feature_snapshot_id": 7, "run_id": "r"}
    given |= {"scored_at": AT}
    assert score([], BaselineModel("late_rate", 0.2), **given).schema == schema("flight_id")
