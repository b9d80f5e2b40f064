"""Evidently's reports of one day, and the day's numbers.

Evidently computes and draws drift, summary and classification; the numbers that decide are few and kept apart
(`sluice_ml.monitoring`). What is kept of a report is Evidently's snapshot: its page is 4 MB, most of it the same every day, and is
rendered when somebody opens it (`sluice_ml.snapshots`). Both sides are sampled, because Evidently takes seconds for ten thousand rows and
minutes for a million.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice_ml import outliers, snapshots
from sluice_ml.config import ModelConfig, MonitoringConfig
from sluice_ml.drift import (
    find_broken,
    find_left_out,
    find_limits,
    frame_of,
    name_since,
    values_by_day,
    weigh,
)
from sluice_ml.errors import RowsUnusableError
from sluice_ml.measuring import known, quality
from sluice_ml.model import require
from sluice_ml.monitored_day import BASELINE_SCORE, DayNumbers
from sluice_ml.snapshots import CLASSIFICATION, DRIFT, SUMMARY

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
    importance: Mapping[str, float] | None = None,
    compared: DayNumbers | None = None,
    maturity_days: int = 0,
    detector: Mapping[str, Any] | None = None,
    recent: pa.Table | None = None,
) -> DayNumbers:
    """Keep Evidently's reports of one day in `folder` and return the day's numbers.

    Args:
        rows: one day, as `sluice_ml.monitored_day.assemble` returns it.
        reference: what the day is compared with, `ds` and the features: the days that the champion was trained on.
        importance: feature to its share in the model; empty where no model scores.
        compared: numbers of an earlier call for the same rows and folder, before their outcomes were known. The features
            have not changed since: their reports stay, and only what the outcomes add is computed.
        maturity_days: days from the day to now.
        recent: rows of the days before it, as `reference`; None where a shift is not to be named by them.
        detector: of outliers, as it came with the model (`sluice_ml.outliers.fit`); None or {} where none did.

    Raises:
        RowsUnusableError: there are no rows, more than one day or model version, or a column is missing.
    """
    require(rows, ["ds", "score", BASELINE_SCORE, "model_version", model.label, *model.features])
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
        else {
            **_compare(rows, reference, recent, model, config, folder, importance or {}),
            **_outliers(rows, detector),
        }
    )
    label, score, _ = known(rows, model)
    measured = quality(rows, model)
    _classification(label, score, config.sample_rows, folder, wanted=measured["auc"] is not None)
    return DayNumbers(
        ds=stamps[0]["ds"].isoformat(),
        model_version=str(stamps[0]["model_version"]),
        rows=rows.num_rows,
        labelled=len(label),
        coverage=len(label) / rows.num_rows,
        score_mean=float(rows["score"].to_numpy().mean()),
        input_age_days=rows["input_age_days"][0].as_py() if "input_age_days" in rows.column_names else 0,
        **measured,
        **drift,
        maturity_days=maturity_days,
    )


def _outliers(rows: pa.Table, detector: Mapping[str, Any] | None) -> dict[str, Any]:
    if not detector:
        return {}
    found = outliers.find(rows, detector)
    if found is None:
        return {}
    return {"outlier_share": found.share, "outlier_columns": found.columns}


# What `_compare` finds, in the words of DayNumbers.
_DRIFT_FIELDS = (
    "compared",
    "drift_share",
    "drifted",
    "left_out",
    "sampled_rows",
    "reference_rows",
    "broken",
    "shift",
    "smallest_shifts",
    "outlier_share",
    "outlier_columns",
    "shifted_since",
)


def _compare(
    rows: pa.Table,
    reference: pa.Table,
    recent: pa.Table | None,
    model: ModelConfig,
    config: MonitoringConfig,
    folder: Path,
    importance: Mapping[str, float],
) -> dict[str, Any]:
    """Keep the reports about the features; returns the `_DRIFT_FIELDS`."""
    from threadpoolctl import threadpool_limits

    current = frame_of(_sample(rows, config.sample_rows, model.seed), model)
    past = frame_of(_sample(reference, config.sample_rows, model.seed), model)
    usual = values_by_day(reference, model)
    broken = find_broken(rows, usual, model, margin=config.broken_margin, pipes=config.pipes)
    left_out = find_left_out(current, past, model)
    # The vectors are short: more BLAS threads than one only wait for each other, and doubled the CPU time.
    with threadpool_limits(1):
        limits = find_limits(
            past, reference, [name for name in model.features if name not in left_out], model
        )
        distances = _features(current, past, limits, config.shift_warn, model, folder)
        drifted = tuple(sorted(name for name, value in distances.items() if value >= limits[name]))
        since = (
            name_since(
                current,
                recent,
                limits,
                drifted,
                model,
                day=rows["ds"][0].as_py(),
                trailing_days=config.trailing_days,
            )
            if recent is not None and recent.num_rows
            else {}
        )
    return {
        "compared": len(limits),
        "drift_share": len(drifted) / len(limits) if limits else 0.0,
        "drifted": drifted,
        "left_out": left_out,
        "sampled_rows": len(current),
        "reference_rows": len(past),
        "broken": broken,
        "shift": weigh(drifted, limits, importance),
        "smallest_shifts": limits,
        "shifted_since": since,
    }


def _sample(rows: pa.Table, most: int, seed: int) -> pa.Table:
    import numpy as np

    if rows.num_rows <= most:
        return rows
    return rows.take(np.sort(np.random.default_rng(seed).choice(rows.num_rows, most, replace=False)))


def _features(
    current: pd.DataFrame,
    past: pd.DataFrame,
    limits: Mapping[str, float],
    drift_share: float,
    model: ModelConfig,
    folder: Path,
) -> dict[str, float]:
    """Evidently's drift and summary reports; returns the distance of each compared feature."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    shape = DataDefinition(numerical_columns=list(model.numeric), categorical_columns=list(model.categorical))
    sides = Dataset.from_pandas(current, shape), Dataset.from_pandas(past, shape)
    snapshots.save(Report([DataSummaryPreset()], include_tests=False).run(*sides), folder, SUMMARY)
    if not limits:
        snapshots.remove(folder, DRIFT)
        return {}
    drift = DataDriftPreset(
        columns=list(limits),
        drift_share=drift_share,
        num_method="wasserstein",
        cat_method="jensenshannon",
        per_column_threshold=dict(limits),
    )
    metrics = snapshots.save(Report([drift], include_tests=False).run(*sides), folder, DRIFT)["metrics"]
    return {item["config"]["column"]: float(item["value"]) for item in metrics if "column" in item["config"]}


def _classification(label: np.ndarray, score: np.ndarray, most: int, folder: Path, *, wanted: bool) -> None:
    """Evidently's classification report of the rows with an outcome; none, and none left over, where it is not wanted."""
    if not wanted:
        snapshots.remove(folder, CLASSIFICATION)
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
    run = Report([preset], include_tests=False).run(Dataset.from_pandas(frame, shape), None)
    snapshots.save(run, folder, CLASSIFICATION)
