"""Features in, predictions out, batch by batch: memory stays flat however large the day is.

A prediction says which model made it from which features in which run, and carries an id that the same run gives it again:
a repeated run makes the same predictions, not more of them.
"""

from __future__ import annotations

import hashlib
from binascii import hexlify
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Literal

from sluice_ml.coverage import supported, unseen
from sluice_ml.model import ModelMeta, Scorer, require

if TYPE_CHECKING:
    import pyarrow as pa

# The model version of a prediction that no trained model made.
BASELINE = "baseline"
# On which step of the ladder a prediction was made; the last makes none.
Step = Literal["champion", "previous", "baseline", "abstain"]


def schema(key: str) -> pa.Schema:
    """Columns of the predictions; `key` is the column that names the thing predicted."""
    import pyarrow as pa

    return pa.schema(
        {
            "prediction_id": pa.string(),
            key: pa.string(),
            "ds": pa.date32(),
            "score": pa.float64(),
            "model_name": pa.string(),
            "model_version": pa.string(),
            "is_baseline": pa.bool_(),
            "scored_as": pa.string(),
            "is_supported": pa.bool_(),
            "unseen_categories": pa.string(),
            "feature_snapshot_id": pa.int64(),
            "run_id": pa.string(),
            "scored_at": pa.timestamp("us", tz="UTC"),
            "input_age_days": pa.int64(),
            "is_stale": pa.bool_(),
            "made_late": pa.bool_(),
        }
    )


def score(
    batches: Iterable[pa.RecordBatch],
    model: Scorer,
    *,
    key: str,
    name: str,
    version: int | None,
    scored_as: Step | None = None,
    meta: ModelMeta | None = None,
    feature_snapshot_id: int,
    run_id: str,
    scored_at: datetime,
    input_age_days: int = 0,
    made_late: bool | None = False,
) -> pa.Table:
    """Score batches of features (with `key` and `ds`), in their order.

    Args:
        version: the registered version, None where `model` is the baseline.
        scored_as: the step of the ladder; by default `baseline` without a version, and `champion` with one.
        meta: what is known of a trained model, None for the baseline: a rule supports all rows and has seen no categories.
        scored_at: an aware instant.
        input_age_days: days that the oldest input of the features is behind; 0 where all of it is fresh.
        made_late: whether the predictions are made after their time; None where that is not known.

    Returns:
        One row a feature row, with the columns of `schema(key)`.

    Raises:
        RowsUnusableError: a batch lacks the key, `ds` or a feature of the model.
    """
    import pyarrow as pa

    shape = schema(key)
    repeated = made_by(
        name=name,
        version=version,
        scored_as=scored_as or (BASELINE if version is None else "champion"),
        feature_snapshot_id=feature_snapshot_id,
        run_id=run_id,
        input_age_days=input_age_days,
        made_late=made_late,
    ) | {"scored_at": scored_at}

    @cache
    def everywhere(rows: int) -> dict[str, pa.Array]:
        """What is the same in all rows: batches are of one size but for the last, and share it."""
        return {
            name: pa.repeat(pa.scalar(value, shape.field(name).type), rows)
            for name, value in repeated.items()
        }

    scored = []
    for batch in batches:
        require(batch, [key, "ds"])
        rows = batch.num_rows
        columns = {
            "prediction_id": _identify(name, run_id, batch[key].to_pylist()),
            # A lake may hand out the same column as large_string.
            key: batch[key].cast(pa.string()),
            "ds": batch["ds"],
            "score": pa.array(model.score(batch)),
            "is_supported": supported(batch, meta) if meta else pa.repeat(pa.scalar(True), rows),
            "unseen_categories": unseen(batch, meta) if meta else pa.nulls(rows, pa.string()),
            **everywhere(rows),
        }
        scored.append(pa.RecordBatch.from_arrays([columns[column] for column in shape.names], schema=shape))
    return pa.Table.from_batches(scored, schema=shape)


def made_by(
    *,
    name: str,
    version: int | None,
    scored_as: str | None,
    feature_snapshot_id: int | None,
    run_id: str,
    input_age_days: int,
    made_late: bool | None,
) -> dict[str, str | int | bool | None]:
    """What every prediction of a batch says of what made it, by column; the arguments are those of `score`."""
    return {
        "model_name": name,
        "model_version": BASELINE if version is None else str(version),
        "is_baseline": version is None,
        "scored_as": scored_as,
        "feature_snapshot_id": feature_snapshot_id,
        "run_id": run_id,
        "input_age_days": input_age_days,
        "is_stale": input_age_days > 0,
        "made_late": made_late,
    }


def _identify(name: str, run_id: str, keys: Iterable[object]) -> pa.StringArray:
    """The ids of predictions, 32 letters each. What they have in common is hashed once, and no text is made of one alone: that touches memory
    twice as often."""
    import pyarrow as pa

    common, ids = hashlib.blake2b(f"{name}\0{run_id}\0".encode(), digest_size=16), bytearray()
    for key in keys:
        one = common.copy()
        one.update(str(key).encode())
        ids += one.digest()
    letters = pa.py_buffer(hexlify(ids))
    return pa.Array.from_buffers(pa.binary(32), letters.size // 32, [None, letters]).cast(pa.string())
