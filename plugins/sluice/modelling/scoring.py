"""Stage of the predictions: the champion, or the baseline while there is none, scores the day's published features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sluice import clock, ledger
from sluice.errors import DeliveryMissingError, SpecInvalidError, TableMissingError
from sluice.lake.inputs import Clock, Model, Snapshot
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
    made_on = _clock(spec)
    table = declared.features_table
    snapshot = tables.snapshot_id(spec.pipeline, table)
    features = tables.scan(spec.pipeline, table, day, day, snapshot_id=snapshot)
    if snapshot is None or not features.num_rows:
        raise TableMissingError(
            f"{spec.pipeline}.{table} has no rows for {day}.",
            where=f"partition {day}",
            todo=f"run {spec.pipeline}_transform for this partition first",
        )
    shown = tables.published(spec.pipeline, table, day, day, snapshot_id=snapshot)[day].batch_id
    champion = registry().load(declared.name, threads=settings().threads)
    version = champion.version if champion else None
    model = champion.model if champion else BaselineModel(declared.baseline, declared.baseline_default)
    predictions = score(
        features.to_batches(max_chunksize=declared.score_batch_rows),
        model,
        key=declared.key,
        name=declared.name,
        version=version,
        meta=champion.meta if champion else None,
        feature_snapshot_id=snapshot,
        run_id=run["run_id"],
        input_age_days=_input_age(spec, shown),
    )
    inputs = [
        Snapshot(table=table, snapshot_id=snapshot, first=day, last=day, batches={day: shown}).record(),
        {
            **Model(name=declared.name, version=version, promoted=_promoted(spec, version)).record(),
            **summarise(predictions),
        },
        *made_on,
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


def _promoted(spec: Pipeline, version: int | None) -> int | None:
    """The number in the ledger of the promotion of a champion; 0 for the baseline, None where it is not known."""
    if version is None:
        return 0
    promotions = ledger.entries(kind="promoted", pipeline=spec.pipeline, subject=spec.model.name)
    return next((entry.seq for entry in promotions if entry.data["version"] == version), None)


def _clock(spec: Pipeline) -> list[dict[str, Any]]:
    """The pipeline's day, as an input: it tells a prediction from hindsight. None where no feed has set the clock."""
    try:
        return [Clock(today=clock.today(spec).isoformat()).record()]
    except DeliveryMissingError:
        return []


def _input_age(spec: Pipeline, batch_id: str) -> int:
    """Days that the oldest source behind a batch of features was behind when they were built."""
    from sluice.lake import batches

    inputs = batches.load(spec.pipeline, spec.model.features_table, batch_id).inputs
    return max((each["age_days"] for each in inputs if each["kind"] == "freshness"), default=0)
