"""Stage of the predictions: the champion, what stands in for it, or the baseline while there is none, scores the day's
published features.

The rule kept here: where nobody can score and the pipeline declares that it then abstains, the day is published without rows: no
reader can take what is not there for a score, and each row that is not there is counted as left out for that reason. Predictions that
readers see are never replaced by none: then the run fails, as it does where nobody abstains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sluice import schedule
from sluice.core import clock
from sluice.core.errors import SpecInvalidError, TableMissingError
from sluice.core.partitions import date_of, day_of
from sluice.core.runs import Run
from sluice.declare import pipeline_clock
from sluice.declare.spec import PREDICTIONS
from sluice.lake.inputs import Clock, Model, Snapshot, age_days
from sluice.models import code_change, scorer

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice_ml.registry import LoadedModel


def stage_predictions(
    spec: Pipeline, run_days: Sequence[str], run: Run, *, by: scorer.Choice | None = None
) -> Manifest:
    """Score the features of one day and stage the predictions.

    Args:
        by: who scores, instead of the champion or what stands in for it; not recorded as such, because nobody is shown them.

    Raises:
        SpecInvalidError: more than one day was asked for; a prediction is made once, on its day.
        TableMissingError: the features of the day are not published.
        ModelDamagedError, ModelUnknownError, RowsUnusableError: the champion cannot score, and what `model.fallback`
            declares in its place cannot either; or it declares that nobody does, and readers see predictions of the day.
    """
    from sluice.lake import batches, missing, tables, waived
    from sluice.schedule import missing_history
    from sluice.waivers import inherited
    from sluice_ml.scoring import schema

    if len(run_days) != 1:
        raise SpecInvalidError(
            f"Predictions are made for one day at a time, not for {run_days[0]} to {run_days[-1]}.",
            where=f"{spec.pipeline}.{PREDICTIONS}",
            todo="run the score DAG once a day",
        )
    day, declared = run_days[0], spec.model
    made = _clock(spec, day)
    table = declared.features_table
    snapshot = tables.snapshot_id(spec.pipeline, table)
    shown = tables.published(spec.pipeline, table, day, day, snapshot_id=snapshot) if snapshot else {}
    if snapshot is None or day not in shown:
        raise TableMissingError(
            f"{spec.pipeline}.{table} has no published rows for {day}.",
            where=f"partition {day}",
            todo=f"run {spec.pipeline}_transform for this partition first",
        )
    batch_id = shown[day].batch_id
    inputs = [
        Snapshot(table=table, snapshot_id=snapshot, first=day, last=day, batches={day: batch_id}).record(),
        *([made.record()] if made else []),
    ]
    abstained: dict[str, int] = {}
    if shown[day].rows:
        predictions, made_by = _score(
            spec, day, run, snapshot, batch_id, late=made.made_late if made else None, by=by
        )
        inputs += made_by
        if not predictions.num_rows:
            abstained = {"nobody_scored": shown[day].rows}
    else:
        # Nothing to predict: no model is asked for, and the day is published as empty as its features.
        predictions = schema(declared.key).empty_table()
        inputs.append(code_change.record(spec, None))
    on_waivers = inherited.of_inputs(spec, PREDICTIONS, [day], inputs)
    lacking = missing_history.of_inputs(spec, PREDICTIONS, [day], inputs)
    where = f"{spec.pipeline}.{PREDICTIONS}"
    return batches.stage(
        spec.pipeline,
        PREDICTIONS,
        missing.mark(waived.mark(predictions, on_waivers, where), lacking, where),
        partitions=[day],
        received=predictions.num_rows + sum(abstained.values()),
        dropped=abstained,
        inputs=inputs,
        waived_inputs=on_waivers,
        missing_history=lacking,
        run=run,
        sort_by=[declared.key],
    )


def read_features(spec: Pipeline, day: str, snapshot: int) -> pa.Table:
    """The published features of a day as scoring reads them, which `parity` does, too: what is wrong with that is found by the gate."""
    from sluice.lake import tables

    return tables.scan(spec.pipeline, spec.model.features_table, day, day, snapshot_id=snapshot)


def serve(
    spec: Pipeline, features: pa.Table, chosen: LoadedModel | None, *, version: int | None, **about: Any
) -> pa.Table:
    """The predictions of features, in their order and in the batches that are declared; of `parity` as of every day.

    Args:
        chosen: who scores; None for the declared rule.
        about: what `sluice_ml.scoring.score` records of them.
    """
    from sluice_ml.model import BaselineModel
    from sluice_ml.scoring import score

    declared = spec.model
    return score(
        features.to_batches(max_chunksize=declared.score_batch_rows),
        chosen.model if chosen else BaselineModel(declared.baseline, declared.baseline_default),
        key=declared.key,
        name=declared.name,
        version=version,
        meta=chosen.meta if chosen else None,
        scored_at=clock.utc_now(),
        **about,
    )


def _score(
    spec: Pipeline,
    day: str,
    run: Run,
    snapshot: int,
    batch_id: str,
    *,
    late: bool | None,
    by: scorer.Choice | None,
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The predictions of a day, none where nobody can score and that is declared, and the model and the code that made them, as inputs
    to record.

    Args:
        late: whether their time is over: then the champion of that time makes them, and not today's.
    """
    from sluice.lake import batches, tables
    from sluice_ml.coverage import summarise

    declared = spec.model
    features = read_features(spec, day, snapshot)
    then = schedule.scoring_time(spec, date_of(day)) if late else None
    seen = tables.published(spec.pipeline, PREDICTIONS, day, day).get(day)
    choice = by or scorer.choose(
        spec, features.column_names, then=then, may_abstain=seen is None or not seen.rows
    )
    chosen = choice.model
    if by is None:
        scorer.record(spec, choice, day, run)
    predictions = serve(
        spec,
        features.slice(0, 0) if choice.abstains else features,
        chosen,
        version=choice.version,
        scored_as=choice.scored_as,
        feature_snapshot_id=snapshot,
        run_id=run.run_id,
        input_age_days=age_days(batches.load(spec.pipeline, declared.features_table, batch_id)),
        made_late=late,
    )
    stands_in = {"stands_in_for": choice.champion, "problems": list(choice.problems)}
    made_by = Model(
        name=declared.name, version=choice.version, promoted=choice.since, scored_as=choice.scored_as
    )
    model = {
        **made_by.record(),
        **(stands_in if choice.problems else {}),
        **({"without_champion": day} if late and choice.champion is None else {}),
        **summarise(predictions),
    }
    return predictions, [code_change.record(spec, chosen), model]


def _clock(spec: Pipeline, day: str) -> Clock | None:
    """When the predictions of a day are made: it tells a prediction from hindsight. None where no feed has set the clock."""
    at = date_of(day)
    late = pipeline_clock.is_late(spec, at)
    if late is None:
        return None
    today = day_of(pipeline_clock.today(spec))
    return Clock(today=today, day=day, deadline=pipeline_clock.scoring_deadline(spec, at), made_late=late)
