"""A champion that cannot score any more, as it is compared with all the same: by the scores that it had published.

The rule kept here: what counts is what it made in time, from fresh inputs and under its own name, on days that it had not learned from. What stood in for it
was another model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.declare.spec import PREDICTIONS
from sluice.lake import tables
from sluice.models import due

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.ledger.model_records import Trained
    from sluice_ml.promotion import Champion


# Of a champion that an earlier version of this project trained: any day may be one that it knew.
UNKNOWN = "The last day that it learned from was not recorded, so its published scores do not count."


def champion(spec: Pipeline, trained: Trained, test: pa.Table, problem: str) -> Champion | None:
    """A version by its published scores of some rows; None where nothing was ever published of their days.

    Args:
        trained: what is recorded of its training, and with that the last day that it learned from.
        test: the held-out rows, with the key and `ds`.
        problem: why it cannot score them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from sluice_ml.promotion import Champion, RecordedScores

    key = spec.model.key
    if not test.num_rows or tables.snapshot_id(spec.pipeline, PREDICTIONS) is None:
        return None
    limits = pc.min_max(test["ds"]).as_py()
    first, last = (limits[name].isoformat() for name in ("min", "max"))
    columns = [key, "ds", "score", "model_name", "model_version", "is_stale", "made_late"]
    rows = tables.scan(spec.pipeline, PREDICTIONS, first, last, columns=columns)
    late = pa.array([*due.made_late(spec, first)], pa.string())
    marked = pc.or_(*(pc.fill_null(rows[name], False) for name in ("is_stale", "made_late")))
    mine = pc.and_(
        pc.and_(
            pc.equal(rows["model_name"], spec.model.name),
            pc.equal(rows["model_version"], str(trained.version)),
        ),
        pc.invert(pc.or_(marked, pc.is_in(pc.cast(rows["ds"], pa.string()), late))),
    )
    return Champion(
        RecordedScores(key, rows.filter(mine).select([key, "ds", "score"])),
        trained.learned_until,
        trained.recipe_sha256,
        recorded=problem,
    )
