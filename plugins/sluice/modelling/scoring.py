"""Stage of the predictions: the champion, or the baseline while there is none, scores the day's published features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.errors import SpecInvalidError, TableMissingError
from sluice.modelling.config import registry
from sluice.settings import settings
from sluice.spec import PREDICTIONS

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.spec import Pipeline


def stage_predictions(spec: Pipeline, run_days: Sequence[str], run: dict[str, str]) -> Manifest:
    """Score the features of one day and stage the predictions.

    Raises:
        SpecInvalidError: more than one day was asked for; a prediction is made once, on its day.
        TableMissingError: the features of the day are not published.
        ModelDamagedError: the champion's file is not the one that was registered.
    """
    from ml.coverage import summarise
    from ml.model import BaselineModel
    from ml.scoring import score
    from sluice.lake import batches, tables, waived
    from sluice.waivers import inherited

    if len(run_days) != 1:
        raise SpecInvalidError(
            f"Predictions are made for one day at a time, not for {run_days[0]} to {run_days[-1]}.",
            where=f"{spec.pipeline}.{PREDICTIONS}",
            todo="run the score DAG once a day",
        )
    day, declared = run_days[0], spec.model
    table = declared.features_table
    snapshot = tables.snapshot_id(spec.pipeline, table)
    features = tables.scan(spec.pipeline, table, day, day, snapshot_id=snapshot)
    if snapshot is None or not features.num_rows:
        raise TableMissingError(
            f"{spec.pipeline}.{table} has no rows for {day}.",
            where=f"partition {day}",
            todo=f"run {spec.pipeline}_transform for this partition first",
        )
    champion = registry().load(declared.name, threads=settings().threads)
    model = champion.model if champion else BaselineModel(declared.baseline, declared.baseline_default)
    predictions = score(
        features.to_batches(max_chunksize=declared.score_batch_rows),
        model,
        key=declared.key,
        name=declared.name,
        version=champion.version if champion else None,
        meta=champion.meta if champion else None,
        feature_snapshot_id=snapshot,
        run_id=run["run_id"],
        input_age_days=_input_age(spec, day, snapshot),
    )
    inputs = [
        {"kind": "snapshot", "table": table, "snapshot_id": snapshot},
        {
            "kind": "model",
            "name": declared.name,
            "version": champion.version if champion else None,
            **summarise(predictions),
        },
    ]
    on_waivers = inherited.of_inputs(spec, PREDICTIONS, [day], inputs)
    return batches.stage(
        spec.pipeline,
        PREDICTIONS,
        waived.mark(predictions, on_waivers, f"{spec.pipeline}.{PREDICTIONS}"),
        partitions=[day],
        received=predictions.num_rows,
        dropped={},
        inputs=inputs,
        waived_inputs=on_waivers,
        run=run,
        sort_by=[declared.key],
    )


def _input_age(spec: Pipeline, day: str, snapshot: int) -> int:
    """Days that the oldest source behind a day's features was behind when they were built."""
    from sluice.lake import batches, tables

    table = spec.model.features_table
    shown = tables.published(spec.pipeline, table, day, day, snapshot_id=snapshot)[day]
    inputs = batches.load(spec.pipeline, table, shown.batch_id).inputs
    return max((each["age_days"] for each in inputs if each["kind"] == "freshness"), default=0)
