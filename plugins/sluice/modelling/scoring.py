"""Stage of the predictions: the champion, what stands in for it, or the baseline while there is none, scores the day's
published features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sluice import clock
from sluice.errors import DeliveryMissingError, SpecInvalidError, TableMissingError
from sluice.lake.inputs import Clock, Model, Snapshot
from sluice.modelling import scorer
from sluice.spec import PREDICTIONS

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest
    from sluice.spec import Pipeline


def stage_predictions(spec: Pipeline, run_days: Sequence[str], run: dict[str, str]) -> Manifest:
    """Score the features of one day and stage the predictions.

    Raises:
        SpecInvalidError: more than one day was asked for; a prediction is made once, on its day.
        TableMissingError: the features of the day are not published.
        ModelDamagedError, ModelUnknownError, RowsUnusableError: the champion cannot score, and what `model.fallback`
            declares in its place cannot either.
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
    choice = scorer.choose(spec, features.column_names)
    chosen = choice.model
    scorer.record(spec, choice, day, run)
    model = chosen.model if chosen else BaselineModel(declared.baseline, declared.baseline_default)
    predictions = score(
        features.to_batches(max_chunksize=declared.score_batch_rows),
        model,
        key=declared.key,
        name=declared.name,
        version=choice.version,
        meta=chosen.meta if chosen else None,
        feature_snapshot_id=snapshot,
        run_id=run["run_id"],
        input_age_days=_input_age(spec, shown),
    )
    stands_in = {"stands_in_for": choice.champion, "problems": list(choice.problems)}
    inputs: list[dict[str, Any]] = [
        # The snapshot will be expired: the batch says which rows they were.
        Snapshot(table=table, snapshot_id=snapshot, first=day, last=day, batches={day: shown}).record(),
        {
            **Model(name=declared.name, version=choice.version, promoted=choice.since).record(),
            **(stands_in if choice.problems else {}),
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
