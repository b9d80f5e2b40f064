from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from sluice_ml import boosting
from sluice_ml.errors import RowsUnusableError
from sluice_ml.metrics import concordance
from sluice_ml.model import ScoringModel, encode, load
from sluice_ml.promotion import decide
from sluice_ml.training import fit


def shuffled(rows, seed):
    return rows.take(np.random.default_rng(seed).permutation(rows.num_rows))


def test_fit_same_rows_in_another_order_gives_the_same_bytes(rows, config, candidate):
    again = fit(shuffled(rows, 1), config)
    assert again.sha256 == candidate.sha256
    assert again.content == candidate.content
    assert again.meta.to_json() == candidate.meta.to_json()


def test_fit_one_row_less_gives_other_bytes(rows, config, candidate):
    known = rows["is_late"].is_valid().index(True).as_py()
    again = fit(rows.filter(pc.not_equal(rows["flight_id"], rows["flight_id"][known])), config)
    assert again.sha256 != candidate.sha256
    assert again.meta.rows_sha256 != candidate.meta.rows_sha256


def test_fit_other_thread_count_predicts_the_same(rows, config, candidate):
    alone = fit(rows, dataclasses.replace(config, threads=1))
    scores = [ScoringModel(made.content, made.meta, threads=1).score(rows) for made in (alone, candidate)]
    assert np.abs(scores[0] - scores[1]).max() < 1e-6


def test_fit_parts_are_whole_days_in_time_order(rows, config, candidate):
    train, valid, test, refit = (candidate.meta.splits[name] for name in ("train", "valid", "test", "refit"))
    assert (train["first"], test["last"]) == ("2013-02-13", "2013-03-14")
    assert (train["days"], valid["days"], test["days"], refit["days"]) == (20, 8, 10, 30)
    assert train["first"] < valid["first"] < valid["last"] == train["last"] < test["first"]
    assert (refit["first"], refit["last"]) == (train["first"], test["last"])
    known = rows.num_rows - rows["is_late"].null_count
    assert train["rows"] + test["rows"] == refit["rows"] == known
    assert candidate.meta.unlabelled_rows == rows["is_late"].null_count > 0


def test_fit_only_the_last_training_days_are_used(rows, config):
    made = fit(rows, dataclasses.replace(config, training_days=25))
    assert made.meta.splits["train"]["first"] == "2013-02-18"


def test_fit_labels_of_the_test_days_do_not_touch_the_judged_model(rows, config, candidate):
    held = pc.greater_equal(rows["ds"], pa.scalar(candidate.test["ds"][0].as_py()))
    turned = pc.if_else(held, pc.invert(rows["is_late"]), rows["is_late"])
    made = fit(rows.set_column(rows.schema.get_field_index("is_late"), "is_late", turned), config)
    assert made.meta.judged_sha256 == candidate.meta.judged_sha256
    assert made.meta.rounds == candidate.meta.rounds
    assert made.meta.metrics["candidate"]["auc"]["value"] < 0.5
    # The one that serves learned them, and is not the one that was judged any more.
    assert made.sha256 != candidate.sha256
    assert made.meta.agreement < candidate.meta.agreement


def test_fit_metrics_are_those_of_the_scores_it_returns(candidate):
    for name in ("candidate", "baseline", "linear", "boosted"):
        found = candidate.meta.metrics[name]["auc"]
        score = candidate.test[f"score_{name}"].to_numpy()
        assert found["value"] == pytest.approx(roc_auc_score(candidate.test["is_late"].to_numpy(), score))
        assert found["low"] < found["value"] < found["high"]
        assert 0 <= score.min() <= score.max() <= 1


def test_fit_registered_bytes_agree_with_the_judged_model_as_recorded(candidate):
    served = load(candidate.content, candidate.meta, threads=2).score(candidate.test)
    judged = candidate.test["score_candidate"].to_numpy()
    assert concordance(judged, served) == candidate.meta.agreement
    label = candidate.test["is_late"].to_numpy()
    change = log_loss(label, served) - log_loss(label, judged)
    assert candidate.meta.refit_loss_change == pytest.approx(change)
    assert change < 0
    assert not np.array_equal(judged, served)


def test_fit_a_refit_on_other_labels_fits_the_test_days_worse_than_what_was_judged(rows, config, monkeypatch):
    """As a fault of the second fit would make it: its labels are not those of its rows."""
    real, fitted = boosting.fit, []

    def faulty(matrix, label, *rest):
        fitted.append(len(label))
        # The last fit is that of the model that serves.
        mixed = np.random.default_rng(1).permutation(label) if len(fitted) == 2 else label
        return real(matrix, mixed, *rest)

    monkeypatch.setattr(boosting, "fit", faulty)
    made = fit(rows, config)
    assert fitted[1] > fitted[0]
    assert made.meta.refit_loss_change > 0
    decision = decide(made, None, config)
    assert decision.outcome == "refuse"
    assert "fits the held-out days worse" in " ".join(decision.reasons)


def test_fit_the_judged_recipe_on_all_days_is_what_serves(rows, config, candidate):
    known = rows.filter(pc.is_valid(rows["is_late"])).sort_by(
        [("ds", "ascending"), ("flight_id", "ascending")]
    )
    matrix = encode(known, config.numeric, config.categorical, candidate.meta.vocabulary)
    again = boosting.fit(matrix, known["is_late"].to_numpy(), config, candidate.meta.rounds)
    assert again == candidate.content


def test_fit_judged_vocabulary_knows_nothing_of_the_test_days(rows, config, candidate):
    first = candidate.test["ds"][0].as_py()
    renamed = pc.if_else(pc.greater_equal(rows["ds"], first), "ZZ", rows["carrier"])
    made = fit(rows.set_column(rows.schema.get_field_index("carrier"), "carrier", renamed), config)
    assert made.meta.judged_sha256 == candidate.meta.judged_sha256
    assert "ZZ" in made.meta.vocabulary["carrier"]
    assert "ZZ" not in candidate.meta.vocabulary["carrier"]


def without(rows, column):
    return rows.drop_columns([column])


def one_class(rows):
    return rows.set_column(rows.schema.get_field_index("is_late"), "is_late", pa.repeat(False, rows.num_rows))


def as_number(rows):
    return rows.set_column(
        rows.schema.get_field_index("is_late"), "is_late", rows["is_late"].cast(pa.int64())
    )


def few_days(rows):
    return rows.filter(pc.less(rows["ds"], rows["ds"][0].as_py() + timedelta(20)))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda rows: without(rows, "pressure"), "no column pressure"),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 3)]), "repeat a key of their day"),
        (one_class, "same label"),
        (as_number, "int64, not bool"),
        (few_days, "20 days with labels; 7 to train on, 4 to choose the rounds on and 10 to test on"),
        (lambda rows: rows.slice(0, 0), "0 days with labels"),
    ],
)
def test_fit_unusable_rows_are_refused_with_the_reason(rows, config, damage, says):
    with pytest.raises(RowsUnusableError, match=says):
        fit(damage(rows), config)
