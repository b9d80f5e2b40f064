"""Evidently's pages of one day, the day's numbers, and one page that says what they mean.

Evidently draws drift, summary and classification; the numbers that decide are few and kept apart (`sluice_ml.monitoring`). Every
page is one file that loads nothing from elsewhere. Both sides are sampled, because Evidently takes seconds for ten thousand
rows and minutes for a million.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig, MonitoringConfig
from sluice_ml.drift import find_left_out, find_limits, frame_of
from sluice_ml.errors import RowsUnusableError
from sluice_ml.metrics import METRICS, compare, interval
from sluice_ml.model import require
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.monitored_day_page import CLASSIFICATION, DRIFT, SUMMARY, write

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


def measure(
    rows: pa.Table,
    reference: pa.Table,
    *,
    model: ModelConfig,
    config: MonitoringConfig,
    folder: Path,
    compared: DayNumbers | None = None,
) -> DayNumbers:
    """Render Evidently's pages of one day into `folder` (HTML and JSON) and return the day's numbers.

    Args:
        rows: one day, as `sluice_ml.monitoring.assemble` returns it.
        reference: what the day is compared with, `ds` and the features: the days that the champion was trained on.
        compared: numbers of an earlier call for the same rows and folder, before their outcomes were known. The features
            have not changed since: their pages stay, and only what the outcomes add is rendered.

    Raises:
        RowsUnusableError: there are no rows, more than one day or model version, or a column is missing.
    """
    require(rows, ["ds", "score", "model_version", model.label, *model.features])
    require(reference, ["ds", *model.features])
    if not rows.num_rows or not reference.num_rows:
        raise RowsUnusableError(
            f"{rows.num_rows} rows to compare with {reference.num_rows}.",
            where=str(folder),
            todo="give rows of both",
        )
    stamps = rows.select(["ds", "model_version"]).group_by(["ds", "model_version"]).aggregate([]).to_pylist()
    if len(stamps) > 1:
        raise RowsUnusableError(
            f"{len(stamps)} days or model versions: {stamps[:3]}.",
            where=str(folder),
            todo="give the rows of one",
        )
    # Evidently asks at every report whether it may send usage data.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    folder.mkdir(parents=True, exist_ok=True)
    drift: dict[str, Any] = (
        {name: getattr(compared, name) for name in _DRIFT_FIELDS}
        if compared is not None
        else _compare(rows, reference, model, config, folder)
    )
    label, score = _known(rows, model)
    quality = _quality(label, score, model)
    _classification_page(label, score, config.sample_rows, folder, wanted=quality["auc"] is not None)
    return DayNumbers(
        ds=stamps[0]["ds"].isoformat(),
        model_version=str(stamps[0]["model_version"]),
        rows=rows.num_rows,
        labelled=len(label),
        coverage=len(label) / rows.num_rows,
        score_mean=float(rows["score"].to_numpy().mean()),
        input_age_days=rows["input_age_days"][0].as_py() if "input_age_days" in rows.column_names else 0,
        **quality,
        **drift,
    )


# What `_compare` finds, in the words of DayNumbers.
_DRIFT_FIELDS = ("compared", "drift_share", "drifted", "left_out", "sampled_rows", "reference_rows")


def _compare(
    rows: pa.Table, reference: pa.Table, model: ModelConfig, config: MonitoringConfig, folder: Path
) -> dict[str, Any]:
    """Render the pages about the features; returns the `_DRIFT_FIELDS`."""
    from threadpoolctl import threadpool_limits

    current = frame_of(_sample(rows, config.sample_rows, model.seed), model)
    past = frame_of(_sample(reference, config.sample_rows, model.seed), model)
    left_out, emptied = find_left_out(current, past, model)
    # The vectors are short: more BLAS threads than one only wait for each other, and doubled the CPU time.
    with threadpool_limits(1):
        limits = find_limits(
            past, reference, [name for name in model.features if name not in left_out], model
        )
        distances = _features_pages(current, past, limits, config.drift_share_warn, model, folder)
    drifted = tuple(sorted([*emptied, *(name for name, value in distances.items() if value >= limits[name])]))
    compared = len(limits) + len(emptied)
    share = len(drifted) / compared if compared else 0.0
    found = (compared, share, drifted, left_out, len(current), len(past))
    return dict(zip(_DRIFT_FIELDS, found, strict=True))


def _sample(rows: pa.Table, most: int, seed: int) -> pa.Table:
    import numpy as np

    if rows.num_rows <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).choice(rows.num_rows, most, replace=False)))


def _features_pages(
    current: pd.DataFrame,
    past: pd.DataFrame,
    limits: Mapping[str, float],
    drift_share: float,
    model: ModelConfig,
    folder: Path,
) -> dict[str, float]:
    """Evidently's drift and summary pages; returns the distance of each compared feature."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    shape = DataDefinition(numerical_columns=list(model.numeric), categorical_columns=list(model.categorical))
    sides = Dataset.from_pandas(current, shape), Dataset.from_pandas(past, shape)
    _save(Report([DataSummaryPreset()], include_tests=False).run(*sides), SUMMARY, folder)
    if not limits:
        for ending in ("html", "json"):
            (folder / f"{DRIFT}.{ending}").unlink(missing_ok=True)
        return {}
    drift = DataDriftPreset(
        columns=list(limits),
        drift_share=drift_share,
        num_method="wasserstein",
        cat_method="jensenshannon",
        per_column_threshold=dict(limits),
    )
    metrics = _save(Report([drift], include_tests=False).run(*sides), DRIFT, folder)["metrics"]
    return {item["config"]["column"]: float(item["value"]) for item in metrics if "column" in item["config"]}


def _classification_page(
    label: np.ndarray, score: np.ndarray, most: int, folder: Path, *, wanted: bool
) -> None:
    """Evidently's classification page of the rows with an outcome; none, and none left over, where it is not wanted."""
    if not wanted:
        for ending in ("html", "json"):
            (folder / f"{CLASSIFICATION}.{ending}").unlink(missing_ok=True)
        return
    import pandas as pd
    from evidently import BinaryClassification, DataDefinition, Dataset, Report
    from evidently.presets import ClassificationPreset

    frame = pd.DataFrame({"label": label.astype(int), "score": score}).head(most)
    shape = DataDefinition(
        numerical_columns=[],
        categorical_columns=[],
        classification=[
            BinaryClassification(target="label", prediction_labels=None, prediction_probas="score")
        ],
    )
    # The product ranks; a cut is only needed to draw tables. At the mean score as many are called late as are expected.
    preset = ClassificationPreset(probas_threshold=float(score.mean()))
    _save(
        Report([preset], include_tests=False).run(Dataset.from_pandas(frame, shape), None),
        CLASSIFICATION,
        folder,
    )


def _known(rows: pa.Table, model: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Label and score of the rows whose outcome is known."""
    import pyarrow.compute as pc

    known = rows.filter(pc.is_valid(rows[model.label]))
    return known[model.label].to_numpy(), known["score"].to_numpy()


def _quality(label: np.ndarray, score: np.ndarray, model: ModelConfig) -> dict[str, Any]:
    import numpy as np

    names = ("label_rate", "auc", "auc_low", "auc_high", "log_loss", "brier")
    if not len(label):
        return dict.fromkeys(names)
    rate = {"label_rate": float(label.mean())}
    if label.all() or not label.any():
        return {**dict.fromkeys(names), **rate}
    rows = np.arange(len(label))
    values, samples = compare(label, {"": score}, rows, resamples=model.resamples, seed=model.seed)[""]
    found = dict(zip(METRICS, (float(value) for value in values), strict=True))
    auc = interval(found["auc"], samples[:, METRICS.index("auc")], model.confidence)
    return {
        **rate,
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "log_loss": found["log_loss"],
        "brier": found["brier"],
    }


def _save(snapshot: Any, name: str, folder: Path) -> dict[str, Any]:
    write(folder / f"{name}.html", snapshot.get_html_str(as_iframe=False))
    text = snapshot.json()
    write(folder / f"{name}.json", text)
    return json.loads(text)
