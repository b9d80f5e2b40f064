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
_ALL = ""


@dataclass(frozen=True)
class Found:
    """`share` of the rows are flagged; `columns` are those in which most of these are far off, the most frequent first."""

    share: float
    columns: tuple[str, ...]


def fit(learned: pa.Table, held_out: pa.Table, config: ModelConfig) -> dict[str, Any]:
    """Learn how far rows are from their group's median of the day, and the limit; JSON-safe, {} where nothing is declared.

    Args:
        learned: rows of the training days, with `ds`, the numbers and the segments of `config`.
        held_out: rows of later days, of which `config.outlier_share` shall lie above the limit.
    """
    import numpy as np

    if config.outlier_share is None or not config.numeric:
        return {}
    groups = [name for name in config.segments if name in config.categorical]
    spread = learned.select(list(config.numeric)).to_pandas().astype("float64").std().fillna(0.0).to_numpy()
    fitted: dict[str, Any] = {
        "numeric": list(config.numeric),
        "groups": {},
        "least": (_EXACT * spread).tolist(),
    }
    for group in groups or [_ALL]:
        values, far = _distances(learned, config.numeric, group)
        by_value = {value: _reach(far[values == value]) for value in np.unique(values)}
        fitted["groups"][group] = {_ALL: _reach(far, least=1), **by_value}
    scores = np.sort(_relative(held_out, fitted), axis=1)[:, -min(2, len(config.numeric))]
    return {
        **fitted,
        "share": config.outlier_share,
        "limit": float(np.quantile(scores, 1 - config.outlier_share)),
    }


def find(rows: pa.Table, fitted: Mapping[str, Any]) -> Found:
    """Flag the rows of whole days.

    Args:
        rows: with `ds` and the columns that `fit` was given.
    """
    import numpy as np

    far = _relative(rows, fitted)
    second = min(2, far.shape[1])
    flagged = np.sort(far, axis=1)[:, -second] > fitted["limit"]
    farthest = np.argsort(far[flagged], axis=1)[:, -second:].ravel()
    named = Counter(fitted["numeric"][place] for place in farthest)
    return Found(float(flagged.mean()), tuple(name for name, _ in named.most_common()))


def _relative(rows: pa.Table, fitted: Mapping[str, Any]) -> np.ndarray:
    """How far each number is from its group's median of the day, in reaches of the group: (rows, numbers), the larger of all groups."""
    import numpy as np

    largest = np.zeros((rows.num_rows, len(fitted["numeric"])))
    for group, reaches in fitted["groups"].items():
        values, far = _distances(rows, fitted["numeric"], group)
        for value in np.unique(values):
            place = values == value
            known = [
                own if own is not None else of_all
                for own, of_all in zip(reaches.get(value, reaches[_ALL]), reaches[_ALL], strict=True)
            ]
            reach = np.array([np.inf if one is None else one for one in known])
            relative = far[place] / np.maximum(reach, np.maximum(fitted["least"], np.finfo("float64").tiny))
            largest[place] = np.fmax(largest[place], relative)
    return largest


def _distances(
    rows: pa.Table, numeric: list[str] | tuple[str, ...], group: str
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each row, (rows,) text, and how far its numbers are from the group's median of the day, (rows, numbers); NaN where it has none."""
    import numpy as np

    numbers: pd.DataFrame = rows.select(list(numeric)).to_pandas().astype("float64")
    # A missing value is a group, too.
    column = rows[group].to_pandas() if group else None
    values = (
        np.full(rows.num_rows, _ALL, dtype=object)
        if column is None
        else column.map(lambda value: f"={value}", na_action="ignore")
        .fillna("missing")
        .to_numpy(dtype=object)
    )
    by = numbers.groupby([rows["ds"].to_pandas().to_numpy(), values])
    far = np.abs(numbers.to_numpy() - by.transform("median").to_numpy())
    far[by.transform("size").to_numpy() < _LEAST_ROWS] = np.nan
    return values.astype(str), far


def _reach(far: np.ndarray, least: int = _LEAST_DISTANCES) -> list[float | None]:
    """How far rows usually are, by number; None where too few distances are known."""
    import numpy as np

    known = [column[~np.isnan(column)] for column in far.T]
    return [float(np.quantile(one, _REACH)) if len(one) >= least else None for one in known]
