"""When has a feature drifted?

One day is never like ten weeks: it has one weekday and one weather, so any fixed distance
flags half of all features every day. A day is therefore compared with days: a feature has drifted when it is farther from
the reference than each of `_ORDINARY_DAYS` days of the reference itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Literal

from sluice_ml.config import ModelConfig
from sluice_ml.splits import days_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# Of 20 ordinary days one in 21 is the farthest by chance: some 5% of the features of a quiet day.
_ORDINARY_DAYS = 20
_HALF = 0.5
# Values of a day that may be equal by chance: on 11 August 2013 three airports had one wind speed (`sluice backtest flights`).
_BY_CHANCE = 3
# What a drifted feature is like: no day of late, the days of late, or these weekdays.
Since = Literal["new", "lasting", "weekly"]
# Evidently's default for both distances; no feature is so steady that less is worth a word.
_LEAST_DISTANCE = 0.1


def frame_of(rows: pa.Table, model: ModelConfig) -> pd.DataFrame:
    """The features as Evidently takes them: floats with NaN, and strings."""
    frame = rows.select(list(model.features)).to_pandas()
    return frame.astype(
        {**dict.fromkeys(model.numeric, "float64"), **dict.fromkeys(model.categorical, "object")}
    )


def find_left_out(current: pd.DataFrame, past: pd.DataFrame, model: ModelConfig) -> dict[str, str]:
    """Features that cannot be compared, with the reason."""
    reasons = {}
    for name in model.features:
        if not past[name].notna().any():
            reasons[name] = "no value in the reference"
        elif not current[name].notna().any():
            reasons[name] = f"no value today; {past[name].notna().mean():.0%} of the reference have one"
        elif len({*past[name].unique(), *current[name].unique()}) == 1:
            reasons[name] = "one and the same value in all rows"
    return reasons


def find_broken(
    rows: pa.Table,
    past: Mapping[str, pd.DataFrame],
    model: ModelConfig,
    *,
    margin: float,
    pipes: Mapping[str, Sequence[str]],
) -> dict[str, tuple[str, ...]]:
    """Features that came without values as on no day of the reference, or with one value where each such day had more than a few.

    Args:
        rows: all rows of the day, not a sample: a pipe that breaks for one airport of three is seen.
        past: `values_by_day` of the reference.
        pipes: source to its features.

    Returns:
        Source, or "features" where none is declared, to its broken features.
    """
    if any(len(days) < 2 for days in past.values()):
        return {}
    today = values_by_day(rows, model)
    source_of = {name: source for source, names in pipes.items() for name in names}
    whole = {source: _days_without(past, names) for source, names in pipes.items()}
    found: dict[str, list[str]] = {}
    for name in model.features:
        missing, values = today[name]["missing"].max(), today[name]["values"].min()
        usual = past[name].drop(index=whole.get(source_of.get(name, ""), []))
        # One that is missing more often than not says nothing by being missing: a calm day has no gust.
        is_usual = usual["missing"].mean() < _HALF
        most = usual["missing"].max()
        too_few = is_usual and missing > most and missing >= min(most + margin, 1.0)
        if too_few or (rows.num_rows > 1 and values == 1 and usual["values"].min() > _BY_CHANCE):
            found.setdefault(source_of.get(name, "features"), []).append(name)
    return {source: tuple(names) for source, names in found.items()}


def _days_without(past: Mapping[str, pd.DataFrame], names: Sequence[str]) -> list[date]:
    """Days of the reference on which none of these features has a value: a pipe that was broken before is no yardstick for it.

    The first day of a history is one, and would hide every later one.
    """
    missing = [past[name]["missing"] for name in names if name in past]
    days = missing[0].index[reduce(and_, (each == 1 for each in missing))] if missing else []
    return list(days) if missing and len(days) < len(missing[0]) else []


def values_by_day(rows: pa.Table, model: ModelConfig) -> dict[str, pd.DataFrame]:
    """Feature to a frame with the share of missing values and the number of distinct ones, a row a day."""
    frame = frame_of(rows, model)
    by = frame.groupby(rows["ds"].to_pandas().to_numpy(), sort=True)
    missing = frame.isna().groupby(rows["ds"].to_pandas().to_numpy(), sort=True).mean()
    values = by.nunique()
    return {
        name: missing[[name]].rename(columns={name: "missing"}).assign(values=values[name])
        for name in model.features
    }


def weigh(drifted: Collection[str], compared: Collection[str], importance: Mapping[str, float]) -> float:
    """Share of the compared features' importance that is in the drifted ones; all count alike where no importance is known."""
    weights = {name: importance.get(name, 0.0) for name in compared}
    if not any(weights.values()):
        weights = dict.fromkeys(compared, 1.0)
    total = sum(weights.values())
    return sum(weights[name] for name in drifted) / total if total else 0.0


def find_limits(
    past: pd.DataFrame, reference: pa.Table, names: list[str], model: ModelConfig
) -> dict[str, float]:
    """How far from the reference an ordinary day of it can be, by feature, in the distance that the drift page uses."""
    import numpy as np
    import pyarrow.compute as pc

    days = days_of(reference)
    drawn = np.random.default_rng(model.seed).permutation(len(days))[:_ORDINARY_DAYS]
    limits = dict.fromkeys(names, _LEAST_DISTANCE)
    for day in (days[place] for place in drawn):
        frame = frame_of(reference.filter(pc.equal(reference["ds"], day)), model)
        for name in names:
            values = frame[name].dropna()
            if len(values):
                # A day is only far if it is farther than this: the next number up.
                distance = np.nextafter(_distance(past[name].dropna(), values, name, model), np.inf)
                limits[name] = max(limits[name], float(distance))
    return limits


def name_since(
    current: pd.DataFrame,
    recent: pa.Table,
    limits: Mapping[str, float],
    drifted: Collection[str],
    model: ModelConfig,
    *,
    day: date,
    trailing_days: int,
) -> dict[str, Since]:
    """Tell which drifted features are new, go on, or come back with the weekday: what each is, where it can be told.

    Args:
        current: the rows of `day`, as `frame_of` gives them.
        recent: rows of the days before it, at least `trailing_days` of them.
        limits: the distances of `find_limits`: two days that are nearer than that are alike.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    before = [each for each in days_of(recent) if each < day]
    sides: dict[Since, list[date]] = {
        "lasting": [each for each in before if (day - each).days <= trailing_days],
        "weekly": [each for each in before if each.weekday() == day.weekday()],
    }
    found: dict[str, Since] = {}
    for since, days in sides.items():
        there = pc.is_in(recent["ds"], value_set=pa.array(days, recent["ds"].type))
        past = frame_of(recent.filter(there), model)
        for name in drifted:
            known, values = past[name].dropna(), current[name].dropna()
            if len(known) and len(values) and found.get(name, "new") == "new":
                alike = _distance(known, values, name, model) < limits[name]
                found[name] = since if alike else "new"
    return found


def _distance(past: pd.Series, values: pd.Series, name: str, model: ModelConfig) -> float:
    """As the drift page has it: of categories Jensen-Shannon's, of numbers Wasserstein's in standard deviations of the past."""
    from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    test, kind = (
        (jensenshannon_stat_test, ColumnType.Categorical)
        if name in model.categorical
        else (wasserstein_stat_test, ColumnType.Numerical)
    )
    return float(test(past, values, kind, None).drift_score)
