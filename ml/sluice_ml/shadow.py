"""A challenger beside the champion: both have scored the same rows before anybody knew what would become of them.

It is judged as a candidate is (`sluice_ml.promotion`), by the paired differences of each day's AUC and the same interval and margins;
only the days are others: not held-out ones, but days on which the challenger was scored in shadow and the champion was published.
They are looked at once, when as many as are declared have outcomes: who looks every day sees a winner by chance sooner or later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sluice_ml.config import ModelConfig
from sluice_ml.model import require
from sluice_ml.monitored_day import places
from sluice_ml.promotion import Comparison, Days, Must

if TYPE_CHECKING:
    import pyarrow as pa

# The challenger's score of a row.
SCORE = "score_challenger"


def pair(published: pa.Table, scored: pa.Table, outcomes: pa.Table, model: ModelConfig) -> pa.Table:
    """Join what was published of a day, the challenger's scores and the outcomes: `ds`, `score`, SCORE and the label.

    Rows whose outcome is not known, or that one of the two did not score, are left out.

    Args:
        published: the predictions that readers see; scored: the key and SCORE; outcomes: the key and the label. Each has a
            key at most once.

    Raises:
        RowsUnusableError: a column is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require(published, [model.key, "ds", "score"])
    require(scored, [model.key, SCORE])
    require(outcomes, [model.key, model.label])
    rows = published.select(["ds", "score"])
    rows = rows.append_column(SCORE, scored[SCORE].take(places(published, scored, model.key)))
    label = pc.cast(outcomes[model.label], pa.bool_()).take(places(published, outcomes, model.key))
    return rows.append_column(model.label, label).drop_null()


def compare(rows: pa.Table, model: ModelConfig, *, days: int, must: Must, against: str) -> Comparison:
    """Compare a challenger with what was published. Pure.

    Args:
        rows: as `pair` returns, of all days that count.
        days: how many with both outcomes are needed; with fewer the outcome is `insufficient_data`.
        must: beat it (another recipe), or keep up with it (the same one, newer days).
        against: who is champion: "champion", or "baseline" where there is none.
    """
    judged = Days(rows, model.label, replace(model, comparison_days=days))
    return judged.compare(against, rows[SCORE].to_numpy(), rows["score"].to_numpy(), must)
