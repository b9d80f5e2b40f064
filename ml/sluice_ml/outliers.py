"""Rows that do not belong to their day: how far a row's numbers are from those of its own group on its own day.

A day has one weather and one season, so that fixed ranges of a number flag whole days: what is looked at is the distance from the median of
the row's group (its carrier, its airport) on its day, which moves with the day. As long as most rows of a group are right, its
median is. How far rows usually are is learned with the model, by group; and a row is flagged by its second largest distance, because one
number alone may be rare and right. The limit of that is the quantile of the held-out days above which the declared share of their rows lies.
What is found of foreign rows, and on how many good ones, was measured: docs/monitoring.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from sluice_ml.config import ModelConfig

# Of its distances in training a group's reach is this quantile: its largest one is often a single wrong row.
_REACH = 0.999
# Distances without which a group has no reach of its own, but that of all; and rows of a day without which it has no median of its own.
_LEAST_DISTANCES, _LEAST_ROWS = 500, 20
# A number that is the same in all rows of a group reaches as far as float32 is exact, as a share of its spread over all rows.
_EXACT = 1e-6
# Days without which a reach is that of their weather: of 20 days one of four detectors warned on clean days (docs/monitoring.md).
_LEAST_DAYS = 28
# Rows that could be judged, of which a quantile is a limit: of fewer it is the place of a few rows.
_LEAST_JUDGED = 500
_ALL = ""


@dataclass(frozen=True)
class Found:
    """`share` of the rows that could be judged are flagged; `columns` are those in which most of these are far off, the most frequent
    first."""

    share: float
    columns: tuple[str, ...]


def fit(learned: pa.Table, held_out: pa.Table, config: ModelConfig) -> dict[str, Any]:
    """Learn how far rows are from their group's median of the day, and the limit; JSON-safe.

    {} where nothing is declared, no number varies, fewer than 28 days are learned from, or too few held-out rows are in groups that are large enough to be judged by: a
    limit that hardly any row was measured by would flag all, or none.

    Args:
        learned: rows of the training days, with `ds`, the numbers and the segments of `config`.
        held_out: rows of later days, of which `config.outlier_share` shall lie above the limit.
    """
    import numpy as np

    if config.outlier_share is None or not config.numeric:
        return {}
    groups = [name for name in config.segments if name in config.categorical]
    spread = learned.select(list(config.numeric)).to_pandas().astype("float64").std().fillna(0.0)
    # What never varied says nothing of how far it may.
    varied = spread[spread > 0]
    if varied.empty or len(learned["ds"].unique()) < _LEAST_DAYS:
        return {}
    fitted: dict[str, Any] = {
        "numeric": list(varied.index),
        "groups": {},
        "least": (_EXACT * varied.to_numpy()).tolist(),
    }
    for group in groups or [_ALL]:
        values, far = _distances(learned, fitted["numeric"], group)
        by_value = {value: _reach(far[values == value]) for value in np.unique(values)}
        own = {value: reach for value, reach in by_value.items() if any(one is not None for one in reach)}
        fitted["groups"][group] = {**own, _ALL: _reach(far, least=1)}
    scores = _second(_relative(held_out, fitted))
    judged = scores[~np.isnan(scores)]
    limit = float(np.quantile(judged, 1 - config.outlier_share)) if len(judged) >= _LEAST_JUDGED else 0.0
    return {**fitted, "share": config.outlier_share, "limit": limit} if limit > 0 else {}


def find(rows: pa.Table, fitted: Mapping[str, Any]) -> Found | None:
    """Flag the rows of whole days.

    Returns: None where no row can be judged, or a column that the model learned by is not there any more.

    Args:
        rows: with `ds` and the columns that `fit` was given.
    """
    import numpy as np

    needed = {*fitted["numeric"], *fitted["groups"]} - {_ALL}
    if not needed <= {*rows.column_names}:
        return None
    far = _relative(rows, fitted)
    scores = _second(far)
    judged = ~np.isnan(scores)
    if not judged.any():
        return None
    flagged = judged & (scores > fitted["limit"])
    farthest = np.argsort(np.nan_to_num(far[flagged], nan=-1.0), axis=1)[:, -min(2, far.shape[1]) :].ravel()
    named = Counter(fitted["numeric"][place] for place in farthest)
    return Found(float(flagged.sum() / judged.sum()), tuple(name for name, _ in named.most_common()))


def _second(far: np.ndarray) -> np.ndarray:
    """The second largest of the distances of each row, (rows,), the only one where there is but one number; NaN where too few are known."""
    import numpy as np

    if not far.shape[1]:
        return np.full(len(far), np.nan)
    # NaN sorts last.
    ordered = -np.sort(-far, axis=1)
    return ordered[:, min(2, far.shape[1]) - 1]


def _relative(rows: pa.Table, fitted: Mapping[str, Any]) -> np.ndarray:
    """How far each number is from its group's median of the day, in reaches of the group: (rows, numbers), the larger of all groups;
    NaN where no group has a median or a reach."""
    import numpy as np

    largest = np.full((rows.num_rows, len(fitted["numeric"])), np.nan)
    for group, reaches in fitted["groups"].items():
        values, far = _distances(rows, fitted["numeric"], group)
        for value in np.unique(values):
            place = values == value
            known = [
                own if own is not None else of_all
                for own, of_all in zip(reaches.get(value, reaches[_ALL]), reaches[_ALL], strict=True)
            ]
            reach = np.array([np.nan if one is None else one for one in known])
            relative = far[place] / np.maximum(reach, fitted["least"])
            largest[place] = np.fmax(largest[place], relative)
    return largest


def _distances(
    rows: pa.Table, numeric: list[str] | tuple[str, ...], group: str
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each row, (rows,) text, and how far its numbers are from the group's median of the day, (rows, numbers); NaN where it has none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers: pd.DataFrame = rows.select(list(numeric)).to_pandas().astype("float64")
    values = np.full(rows.num_rows, _ALL, dtype=object)
    if group:
        # A missing value is a group, too. As text like `encode` makes it, whether or not a value is missing elsewhere.
        names = pc.cast(rows[group], pa.string()).to_pylist()
        values = np.array(["missing" if name is None else f"={name}" for name in names], dtype=object)
    by = numbers.groupby([rows["ds"].to_pandas().to_numpy(), values])
    far = np.abs(numbers.to_numpy() - by.transform("median").to_numpy())
    far[by.transform("size").to_numpy() < _LEAST_ROWS] = np.nan
    return values.astype(str), far


def _reach(far: np.ndarray, least: int = _LEAST_DISTANCES) -> list[float | None]:
    """How far rows usually are, by number; None where too few distances are known."""
    import numpy as np

    known = [column[~np.isnan(column)] for column in far.T]
    return [float(np.quantile(one, _REACH)) if len(one) >= least else None for one in known]
