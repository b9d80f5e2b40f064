"""Finding a prediction by what a reader has of it: its id or its key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchDamagedError, BatchUnknownError, PredictionUnknownError
from sluice.core.partitions import Partition
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, tables
from sluice.ledger import records
from sluice.models import scorer

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest


def find(spec: Pipeline, wanted: str, day: str | None) -> tuple[Manifest, str, dict[str, Any]]:
    """The batch, the day and the row of a prediction.

    Args: as of `why.read`.

    Raises:
        PredictionUnknownError: no published prediction is called that.
    """
    names = (spec.model.key, "prediction_id")
    found = {one for name in names for one in tables.days_with(spec.pipeline, PREDICTIONS, name, wanted)}
    key = spec.model.key
    for one in sorted(found, reverse=True) if day is None else found & {day}:
        batch_id = tables.published(spec.pipeline, PREDICTIONS, one, one)[one].batch_id
        made = batches.load(spec.pipeline, PREDICTIONS, batch_id)
        for name in names:
            if (rows := only(batches.read(made, one), {name: wanted})).num_rows:
                return made, one, rows.to_pylist()[0]
    if replaced := _replaced(spec, wanted, day):
        return replaced
    shown = tables.published(spec.pipeline, PREDICTIONS, day, day) if day else {}
    nobody = "".join(
        f" Nobody has scored {one}: {why}"
        for one, seen in shown.items()
        if (why := scorer.why_nobody_scored(spec, seen.batch_id))
    )
    raise PredictionUnknownError(
        f"No published prediction of {spec.pipeline} has the id or the {key} {wanted!r}.{nobody}",
        where=f"{spec.pipeline}.{PREDICTIONS}{f', {day}' if day else ''}",
        allowed=f"a prediction_id, or a {key} of a day that is published{_example(spec)}",
        todo=f"take one from the table {spec.pipeline}.{PREDICTIONS}, as it is written there",
    )


def _example(spec: Pipeline) -> str:
    """A key of the newest day that has predictions, where values may be shown; "" where there is none."""
    days = tables.published(spec.pipeline, PREDICTIONS) if spec.may_quote(PREDICTIONS) else {}
    newest = max((day for day, shown in days.items() if shown.rows), default=None)
    if newest is None:
        return ""
    made = batches.load(spec.pipeline, PREDICTIONS, days[newest].batch_id)
    return f", such as {batches.read(made, newest)[spec.model.key][0].as_py()!r} of {newest}"


def _replaced(spec: Pipeline, wanted: str, day: str | None) -> tuple[Manifest, str, dict[str, Any]] | None:
    """The batch, the day and the row of a prediction that readers had before its day was published again, by its id."""
    seen = {one.batch_id for one in tables.published(spec.pipeline, PREDICTIONS).values()}
    days = Partition.parse(day) if day else None
    for entry in ledger.entries(records.Published, pipeline=spec.pipeline, subject=PREDICTIONS, days=days):
        if entry.record.batch_id in seen:
            continue
        try:
            made = batches.load(spec.pipeline, PREDICTIONS, entry.record.batch_id)
            rows = only(batches.read(made, one := str(entry.partition)), {"prediction_id": wanted})
        except (BatchUnknownError, BatchDamagedError):
            continue  # cleared away
        if rows.num_rows:
            return made, one, rows.to_pylist()[0]
    return None


def only(rows: pa.Table, values: Mapping[str, str]) -> pa.Table:
    """The rows whose columns, as text, have some values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, value in values.items():
        rows = rows.filter(pc.equal(pc.cast(rows[name], pa.string()), value))
    return rows
