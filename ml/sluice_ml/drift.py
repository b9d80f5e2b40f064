"""When has a feature drifted?

One day is never like ten weeks: it has one weekday and one weather, so any fixed distance
flags half of all features every day. A day is therefore compared with days: a feature has drifted when it is farther from
the reference than each of `_ORDINARY_DAYS` days of the reference itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice_ml.config import ModelConfig
from sluice_ml.splits import days_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Of 20 ordinary days one in 21 is the farthest by chance: some 5% of the features of a quiet day.
_ORDINARY_DAYS = 20
# Evidently's default for both distances; no feature is so steady that less is worth a word.
_LEAST_DISTANCE = 0.1


def frame_of(rows: pa.Table, model: ModelConfig) -> pd.DataFrame:
    """The features as Evidently takes them: floats with NaN, and strings."""
    frame = rows.select(list(model.features)).to_pandas()
    return frame.astype(
        {**dict.fromkeys(model.numeric, "float64"), **dict.fromkeys(model.categorical, "object")}
    )


def find_left_out(
    current: pd.DataFrame, past: pd.DataFrame, model: ModelConfig
) -> tuple[dict[str, str], list[str]]:
    """Features that cannot be compared, with the reason; and those of them that are a finding in themselves."""
    reasons, emptied = {}, []
    for name in model.features:
        if not past[name].notna().any():
            reasons[name] = "no value in the reference"
        elif not current[name].notna().any():
            reasons[name] = f"no value today; {past[name].notna().mean():.0%} of the reference have one"
            if past[name].notna().mean() > 0.5:
                emptied.append(name)
        elif len({*past[name].unique(), *current[name].unique()}) == 1:
            reasons[name] = "one and the same value in all rows"
    return reasons, emptied


def find_limits(
    past: pd.DataFrame, reference: pa.Table, names: list[str], model: ModelConfig
) -> dict[str, float]:
    """How far from the reference an ordinary day of it can be, by feature, in the distance that the drift page uses."""
    import numpy as np
    import pyarrow.compute as pc
    from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    days = days_of(reference)
    drawn = np.random.default_rng(model.seed).permutation(len(days))[:_ORDINARY_DAYS]
    limits = dict.fromkeys(names, _LEAST_DISTANCE)
    for day in (days[place] for place in drawn):
        frame = frame_of(reference.filter(pc.equal(reference["ds"], day)), model)
        for name in names:
            test, kind = (
                (jensenshannon_stat_test, ColumnType.Categorical)
                if name in model.categorical
                else (wasserstein_stat_test, ColumnType.Numerical)
            )
            values = frame[name].dropna()
            if len(values):
                # A day is only far if it is farther than this: the next number up.
                distance = np.nextafter(test(past[name].dropna(), values, kind, None).drift_score, np.inf)
                limits[name] = max(limits[name], float(distance))
    return limits
