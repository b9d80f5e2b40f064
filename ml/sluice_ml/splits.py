"""Which rows a model learns from, which choose its rounds, and which test it, and in which order.

The order is by day and key, whatever order the rows came in; the parts are whole days in time order, so that no model is
measured on a day that it has seen a part of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice_ml.config import ModelConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import require

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Every day of the week must have been seen.
_MIN_TRAIN_DAYS = 7
# Values rarer than this in training share one category, so that the model learns what "some other" means before it
# meets one that it has never seen.
_MIN_CATEGORY_ROWS = 30


def labelled(rows: pa.Table, config: ModelConfig) -> tuple[pa.Table, int]:
    """The rows whose label is known, in the one order that training uses, and how many others there were."""
    import pyarrow as pa
    import pyarrow.compute as pc

    require(rows, [config.key, "ds", config.label, config.baseline, *config.features])
    if rows.schema.field(config.label).type != pa.bool_():
        raise RowsUnusableError(
            f"The label is {rows.schema.field(config.label).type}, not bool.",
            where=config.label,
            todo="give the label as true, false or null",
        )
    used = rows.filter(pc.is_valid(rows[config.label])).sort_by(
        [("ds", "ascending"), (config.key, "ascending")]
    )
    repeated = used.num_rows - used.group_by(["ds", config.key]).aggregate([]).num_rows
    if repeated:
        raise RowsUnusableError(
            f"{repeated} rows repeat a key of their day.",
            where=config.key,
            todo="find the join that multiplies rows",
        )
    return used, rows.num_rows - used.num_rows


@dataclass(frozen=True)
class Parts:
    """All days that are used; those before the test days; the test days; and the rolling blocks among the former.

    Each block is the days of one block, behind all days before them.
    """

    used: pa.Table
    learn: pa.Table
    test: pa.Table
    blocks: tuple[tuple[pa.Table, pa.Table], ...]


def least_days(config: ModelConfig) -> int:
    """The fewest days with labels that a model is trained from."""
    return _MIN_TRAIN_DAYS + config.valid_days + config.test_days


def split(rows: pa.Table, config: ModelConfig) -> Parts:
    """Whole days, in time order; of a short history there are fewer blocks than declared, and one at least."""
    days = days_of(rows)[-config.training_days :]
    least = least_days(config)
    if len(days) < least:
        raise RowsUnusableError(
            f"{len(days)} days with labels; {_MIN_TRAIN_DAYS} to train on, {config.valid_days} to choose the rounds on and "
            f"{config.test_days} to test on are needed.",
            where=f"{days[0]} to {days[-1]}" if days else "no day has a label",
            todo="wait for more outcomes, or load history",
        )
    learn, test = days[: -config.test_days], days[-config.test_days :]
    count = min(config.valid_blocks, (len(learn) - _MIN_TRAIN_DAYS) // config.valid_days)
    starts = [len(learn) - (count - place) * config.valid_days for place in range(count)]
    return Parts(
        used=_of_days(rows, days),
        learn=_of_days(rows, learn),
        test=_of_days(rows, test),
        blocks=tuple(
            (_of_days(rows, learn[:start]), _of_days(rows, learn[start : start + config.valid_days]))
            for start in starts
        ),
    )


def _of_days(rows: pa.Table, days: list) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    return rows.filter(pc.is_in(rows["ds"], value_set=pa.array(days, pa.date32()))).combine_chunks()


def vocabulary_of(train: pa.Table, config: ModelConfig) -> dict[str, list[str]]:
    """The values of each categorical column that are frequent enough to be learned, in code order."""
    return _values(train, config, lambda rows: rows >= _MIN_CATEGORY_ROWS)


def rare_of(train: pa.Table, config: ModelConfig) -> dict[str, list[str]]:
    """The others: met in training, and no surprise when they come again."""
    return _values(train, config, lambda rows: rows < _MIN_CATEGORY_ROWS)


def _values(train: pa.Table, config: ModelConfig, wanted: Callable[[int], bool]) -> dict[str, list[str]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {}
    for name in config.categorical:
        counts = pc.value_counts(pc.cast(train[name], pa.string()).drop_null()).to_pylist()
        found[name] = sorted(item["values"] for item in counts if wanted(item["counts"]))
    return found


def label_of(rows: pa.Table, config: ModelConfig) -> np.ndarray:
    return rows[config.label].to_numpy()


def weights_of(label: np.ndarray, config: ModelConfig) -> np.ndarray | None:
    """What each row weighs in training; None where all weigh the same."""
    import numpy as np

    without, with_label = config.class_weights
    return None if without == with_label == 1 else np.where(label, with_label, without)


def days_of(rows: pa.Table) -> list:
    return sorted(rows["ds"].unique().to_pylist())
