"""What a change of the scoring code changes: a published day, scored again by today's code with the model that had scored it.

The rule kept here: an upgrade of the code or of its libraries is seen in scores before readers see it. A batch of predictions records
a fingerprint of the code that scored it. Where that of the last publication is another one, its day is scored again from the same
features, and the gate holds the new batch where more has changed than is declared (`model.max_changed_by_code`).
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
from sluice.models.config import registry
from sluice_ml.errors import ModelDamagedError, ModelUnknownError, RowsUnusableError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest

# What scoring says of a row; all else in a prediction tells of its making.
_SAID = ("score", "is_supported", "unseen_categories")


def record(spec: Pipeline) -> dict[str, Any]:
    """For the manifest of predictions that are made now: the code that scores, and what it changes where it is another one."""
    from sluice_ml.recipe import SCORING

    code, last = SCORING[:16], tables.last_publication(spec.pipeline, PREDICTIONS)
    by_others = last is not None and any(made.fingerprint != code for made in inputs.of(last, inputs.Code))
    wanted = by_others and spec.max_changed_by_code(PREDICTIONS) < 1
    return inputs.Code(fingerprint=code, change=compare(spec) if wanted else None).record()


def compare(spec: Pipeline) -> CodeChange | None:
    """Score the last published day again, from its features, with the model that scored it and the code as it is now.

    Returns: what differs; None where nothing with rows is published, or it was cleared away.

    Raises:
        ConnectionError: the registry does not answer.
    """
    import pyarrow.parquet as pq

    from sluice_ml.recomputation import SAME_SCORE

    last = tables.last_publication(spec.pipeline, PREDICTIONS)
    if last is None:
        return None
    day, features = last.partitions[0], spec.model.features_table
    settings().work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{spec.pipeline}-code-", dir=settings().work) as name:
        folder = Path(name)
        columns = ["ds", spec.model.key, *_SAID]
        before, after = folder / "before.parquet", folder / "after.parquet"
        try:
            read = tables.local_files(tables.published_to(last, features), into=folder / "features")
            shown = tables.local_files({day: tables.published_as(last, day)}, into=folder / "predictions")
            pq.write_table(pq.read_table(shown, columns=columns, partitioning=None), before)
            scored = _score(spec, last, pq.read_table(read, partitioning=None))
        except RowsUnusableError as error:
            return CodeChange(day=day, problem=str(error))
        except (
            *(BatchUnknownError, TableMissingError, FileNotFoundError),
            *(ModelDamagedError, ModelUnknownError),
        ) as error:
            return CodeChange(day=day, problem=str(error), inputs_gone=True)
        pq.write_table(scored.select(columns), after)
        found = diff.compare(
            [str(before)],
            [str(after)],
            [spec.model.key],
            examples=spec.may_quote(PREDICTIONS),
            relative={"score": SAME_SCORE},
        )
        return CodeChange(day=day, rows=last.rows_by_partition[day] + found["added"], diff=found)


def _score(spec: Pipeline, last: Manifest, features: pa.Table) -> pa.Table:
    from sluice_ml.model import BaselineModel
    from sluice_ml.scoring import score

    declared, made_by = spec.model, inputs.of(last, inputs.Model)[0]
    loaded = made_by.version and registry().load(made_by.name, made_by.version, threads=settings().threads)
    return score(
        features.to_batches(max_chunksize=declared.score_batch_rows),
        loaded.model if loaded else BaselineModel(declared.baseline, declared.baseline_default),
        key=declared.key,
        name=made_by.name,
        version=made_by.version,
        meta=loaded.meta if loaded else None,
        feature_snapshot_id=0,
        run_id=last.run.run_id,
        scored_at=clock.utc_now(),
    )
