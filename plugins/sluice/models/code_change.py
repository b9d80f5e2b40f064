"""What a change of the scoring code changes: a published day, scored again by today's code with the model that had scored it.

The rule kept here: an upgrade of the code or of its libraries is seen in scores before readers see it. A batch of predictions records
a fingerprint of the code that scored it. Where that of the last publication by the same model is another one, its day is scored again
from the same features, and the gate holds the new batch where more has changed than is declared (`model.max_changed_by_code`). The baseline
is a column, which no code changes unseen, and a model's first predictions have none to be compared with.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core import clock
from sluice.core.errors import BatchUnknownError, TableMissingError
from sluice.core.settings import settings
from sluice.declare.spec import PREDICTIONS
from sluice.lake import diff, inputs, tables
from sluice.lake.inputs import CodeChange
from sluice_ml.errors import RowsUnusableError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice_ml.registry import LoadedModel

# What scoring says of a row; all else in a prediction tells of its making.
_SAID = ("score", "is_supported", "unseen_categories")


def record(spec: Pipeline, model: LoadedModel | None) -> dict[str, Any]:
    """For the manifest of predictions that a model makes now: the code that scores, and what it changes where it is another one.

    Args:
        model: None where the baseline scores, or there is nothing to score.
    """
    from sluice_ml.recipe import SCORING

    code = SCORING[:16]
    last = _last(spec, model) if model and spec.max_changed_by_code(PREDICTIONS) < 1 else None
    by_others = last is not None and any(made.fingerprint != code for made in inputs.of(last, inputs.Code))
    return inputs.Code(
        fingerprint=code, change=compare(spec, model) if model and by_others else None
    ).record()


def compare(spec: Pipeline, model: LoadedModel) -> CodeChange | None:
    """Score the last day that a model's predictions are published of again, from its features, by the code as it is now.

    Returns: what differs; None where nothing by this model is published, or it was cleared away.
    """
    import pyarrow.parquet as pq

    from sluice_ml.recomputation import SAME_NEAR_ZERO, SAME_SCORE

    last = _last(spec, model)
    if last is None:
        return None
    day = last.partitions[0]
    settings().work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{spec.pipeline}-code-", dir=settings().work) as name:
        folder = Path(name)
        try:
            read = tables.local_files(
                tables.published_to(last, spec.model.features_table), into=folder / "features"
            )
            shown = tables.local_files({day: tables.published_as(last, day)}, into=folder / "predictions")
            scored = _score(spec, last, model, read)
        except RowsUnusableError as error:
            return CodeChange(day=day, problem=str(error))
        except (BatchUnknownError, TableMissingError, FileNotFoundError) as error:
            return CodeChange(day=day, problem=str(error), inputs_gone=True)
        published = pq.read_table(shown, partitioning=None)
        # Predictions of an earlier version do not say all of it.
        columns = [one for one in ("ds", spec.model.key, *_SAID) if one in published.column_names]
        before, after = folder / "before.parquet", folder / "after.parquet"
        pq.write_table(published.select(columns), before)
        pq.write_table(scored.select(columns), after)
        found = diff.compare(
            [str(before)],
            [str(after)],
            [spec.model.key],
            examples=spec.may_quote(PREDICTIONS),
            tolerances={"score": (SAME_SCORE, SAME_NEAR_ZERO)},
        )
        return CodeChange(day=day, rows=last.rows_by_partition[day] + found["added"], diff=found)


def _last(spec: Pipeline, model: LoadedModel) -> Manifest | None:
    return tables.last_publication(
        spec.pipeline, PREDICTIONS, lambda one: inputs.scored_by(one) == (spec.model.name, model.version)
    )


def _score(spec: Pipeline, last: Manifest, model: LoadedModel, features: list[str]) -> pa.Table:
    import pyarrow.dataset

    from sluice_ml.scoring import score

    declared, meta = spec.model, model.meta
    wanted = dict.fromkeys(("ds", declared.key, *meta.numeric, *meta.categorical, *meta.coverage))
    rows = pyarrow.dataset.dataset(features, format="parquet")
    return score(
        rows.to_batches(
            columns=[one for one in wanted if one in rows.schema.names], batch_size=declared.score_batch_rows
        ),
        model.model,
        key=declared.key,
        name=declared.name,
        version=model.version,
        meta=meta,
        feature_snapshot_id=0,
        run_id=last.run.run_id,
        scored_at=clock.utc_now(),
    )
