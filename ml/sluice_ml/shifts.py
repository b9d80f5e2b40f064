"""What is said of a day's inputs: a broken pipe, or a shift.

A feature without its values is a fault of whatever delivers them. It is named with its source, and neither trains a model nor is held
against one. A shift is that the values are there and are distributed otherwise: how large it is, is told by the share of
the model's importance that is in the shifted features, so that what the model hardly uses hardly counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from sluice_ml.config import MonitoringConfig
from sluice_ml.findings import Finding, listed
from sluice_ml.monitored_day import DayNumbers

# Features that a sentence names.
_NAMED = 8
# Columns that are named of outliers.
_FAR_OFF = 4


def of_pipes(newest: DayNumbers) -> list[Finding]:
    """Name the sources whose features came without values on the newest day."""
    return [
        Finding(
            "broken pipe",
            "warn",
            f"Broken pipe: {source}. On {newest.ds} {_features(columns)} came without values, or all with one, as on no day that the "
            "model learned from. Look at what delivers them; the day says nothing about the model.",
            about=source,
        )
        for source, columns in newest.broken.items()
    ]


def of_inputs(days: Sequence[DayNumbers], config: MonitoringConfig) -> list[Finding]:
    """Name a shift of the inputs that lasts, or that the newest day alone shows.

    Args:
        days: those of one model that count, in their order.
    """
    shifts = [(day, day.shift) for day in days if day.shift is not None and day.rows >= config.min_rows]
    last = shifts[-config.persistence_days :]
    if not last or last[-1][1] < config.shift_warn:
        return []
    newest, size = last[-1]
    which = f"features with {size:.0%} of the model's importance (limit {config.shift_warn:.0%}): {_features(newest.drifted)}{since(newest)}"
    if len(last) == config.persistence_days and all(shift >= config.shift_warn for _, shift in last):
        sentence = f"Input shift, on each of {listed([day.ds for day, _ in last])}, at last of {which}."
        return [Finding("input shift", "warn", sentence)]
    return [Finding("input shift", "nothing", f"Input shift on {newest.ds} alone, of {which}.")]


def of_outliers(days: Sequence[DayNumbers], config: MonitoringConfig) -> list[Finding]:
    """Name a share of foreign rows that lasts, or that no ordinary day has.

    Args:
        days: the measured ones in their order, also those that say nothing about the model: this is about rows.
    """
    last = [(day, day.outlier_share if day.rows >= config.min_rows else None) for day in days][
        -config.persistence_days :
    ]
    newest, share = last[-1]
    if share is None:
        return []
    lasts = len(last) == config.persistence_days and all(
        each is not None and each >= config.outliers_warn for _, each in last
    )
    if share < config.outliers_day and not lasts:
        return []
    when, limit = (
        (f"on each of {listed([day.ds for day, _ in last])}, at last", config.outliers_warn)
        if lasts
        else (f"on {newest.ds}", config.outliers_day)
    )
    sentence = (
        f"Outliers: {when} {share:.0%} of the rows do not belong to their day (limit {limit:.0%}): their numbers are not those of their "
        f"group. Look at how rows are joined and keyed; most are far off in {_features(newest.outlier_columns[:_FAR_OFF])}."
    )
    return [Finding("outliers", "warn", sentence)]


def since(day: DayNumbers) -> str:
    """Which of a day's drifted features are new, go on, or come back with the weekday, in parentheses; "" where it cannot be told."""
    words = {
        "new": "unlike the days before",
        "lasting": "as in the days before",
        "weekly": "as on this weekday before",
    }
    said = [
        f"{about}: {_features(names)}"
        for kind, about in words.items()
        if (names := [name for name in day.drifted if day.shifted_since.get(name) == kind])
    ]
    return f" ({'; '.join(said)})" if said else ""


def smallest_seen(day: DayNumbers) -> str:
    """The smallest shift that could have been seen on a day, in a sentence; "" where nothing was compared."""
    if not day.smallest_shifts:
        return ""
    ordered = sorted(day.smallest_shifts.items(), key=lambda item: item[1])
    (best, least), (worst, most) = ordered[0], ordered[-1]
    return (
        f"The smallest shift that could have been seen: {least:.2f} in {best}, {ordered[len(ordered) // 2][1]:.2f} in the median "
        f"feature, {most:.2f} in {worst} (numbers in standard deviations, categories as Jensen-Shannon distance)."
    )


def _features(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
