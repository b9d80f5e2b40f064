"""What can be said of the newest monitored days, each with a name and a sentence; here, of days that say nothing of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from sluice_ml.config import MonitoringConfig
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.retraining import Cause

# Days that a sentence names one by one, the newest.
_NAMED = 5

Action = Literal["nothing", "warn", "retrain"]
Name = Literal[
    "left out",  # days that say nothing about the model
    "broken pipe",  # features came without their values: of the data, never of the model
    "input shift",  # the features are distributed otherwise than in training
    "input shift with loss",  # and the model is worse than it was
    "concept change",  # the model is worse, and the features are as they were
    "worse than reference",  # the model ranks worse than the one that is never replaced, on the same rows
    "label shift",  # more or fewer come true than the scores say, and the model ranks as it did
    "no champion",  # all candidates were refused until now: the baseline scores
    "old model",
    "outliers",  # rows that do not belong to their day
    "few outcomes",
    "no outcomes",
    "no reference",  # the frozen reference cannot score
    "custom check",  # a query of the pipeline's own failed, or could not be computed
]


@dataclass(frozen=True)
class Finding:
    """Something about the newest days; `cause` is what a new model would be asked for because of it.

    `about` tells findings of one name apart: the source of a broken pipe, what of a model is worse, and on which side.
    """

    name: Name
    action: Literal["nothing", "warn"]
    sentence: str
    cause: Cause | None = None
    about: str = ""


def says_something(day: DayNumbers) -> bool:
    """Whether what a day looks like may be held against, or for, the model that scored it."""
    return not (day.released or day.made_late or day.input_age_days or day.broken)


def of_left_out(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[Finding]:
    """Name the days of late that do not count: what rests on released data, what was late, and what was made from stale input."""
    late = [day for day in days if days_between(day.ds, newest.ds) <= config.outcome_wait_days]
    found = []
    if released := [day for day in late if day.released]:
        named = [day.ds if day.auc is None else f"{day.ds} (AUC {day.auc:.3f})" for day in released]
        what = "; ".join(dict.fromkeys(line for day in released for line in day.released))
        found.append(
            Finding(
                "left out",
                "warn",
                f"Left out of the judgement of the model: {', '.join(named)}. Rows of these days rest on released data: {what}.",
            )
        )
    if made_late := [day.ds for day in late if day.made_late]:
        found.append(
            Finding(
                "left out",
                "nothing",
                f"Predicted after their time, and so in no measure: {listed(made_late)}.",
            )
        )
    if stale := [day.ds for day in late if day.input_age_days]:
        found.append(
            Finding(
                "left out",
                "warn",
                f"Left out of the judgement of the model: {listed(stale)}, predicted from older data than they should have had.",
            )
        )
    return found


def of_outcomes(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[Finding]:
    """Name days of which too few outcomes are known, although they are published, or none after the time that they may take."""
    found = []
    few = [
        f"{day.ds} ({day.labelled} of {day.rows}, {day.coverage:.0%}, after {counted_days(day.maturity_days)})"
        for day in days
        if day.has_outcomes
        and day.coverage < config.min_coverage
        and days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if few:
        found.append(
            Finding(
                "few outcomes",
                "warn",
                f"Few outcomes are known (less than {config.min_coverage:.0%}): {listed(few)}. What is measured on these days "
                "is about the rows that have one.",
            )
        )
    overdue = overdue_days(days, newest, config)
    if overdue:
        sentence = f"No outcomes of {listed(overdue)} after {config.outcome_wait_days} days."
        found.append(Finding("no outcomes", "warn", sentence))
    return found


def of_reference(days: Sequence[DayNumbers], newest: DayNumbers) -> list[Finding]:
    """Warn on the first day that the frozen reference cannot score, and go on saying so: it changes nothing of the predictions."""
    if not newest.reference_failed:
        return []
    before = next((day for day in reversed(days) if day.ds < newest.ds), None)
    goes_on = bool(
        before and before.reference_failed and before.reference_version == newest.reference_version
    )
    sentence = (
        f"The frozen reference, version {newest.reference_version}, could not score {newest.ds}: {newest.reference_problem.rstrip('.')}. "
        "Whether training again has helped is not known of such days: restore it, or declare another `monitoring.reference`."
    )
    return [Finding("no reference", "nothing" if goes_on else "warn", sentence)]


def of_custom_checks(days: Sequence[DayNumbers], run_day: str) -> list[Finding]:
    """Name the checks that failed or could not be computed on the day of the run, and on those that were measured in it."""
    told = [day for day in days if day.ds == run_day or days_between(day.ds, run_day) == day.maturity_days]
    return [Finding("custom check", "warn", sentence) for day in told for sentence in _of_checks(day)]


def _of_checks(day: DayNumbers) -> Iterator[str]:
    for check in day.custom_checks:
        if check.state == "FAIL":
            yield f"Custom check {check.name} failed on {day.ds}: {check.said}. {check.sentence}"
        elif check.state == "ERROR":
            yield f"Custom check {check.name} of {day.ds} {check.said.removesuffix('.')}. Nothing is known of: {check.sentence}"


def overdue_days(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[str]:
    """Days whose outcomes should have been published by the newest day."""
    return [
        day.ds
        for day in days
        if not day.has_outcomes
        and not day.made_late
        and days_between(day.ds, newest.ds) >= config.outcome_wait_days
    ]


def listed(days: Sequence[str]) -> str:
    """The newest of these days, and how many more there are."""
    more = f" and {len(days) - _NAMED} more" if len(days) > _NAMED else ""
    return f"{', '.join(days[-_NAMED:])}{more}"


def counted_days(number: int) -> str:
    """A number of days in words."""
    return f"{number} day{'' if number == 1 else 's'}"


def days_between(first: str, last: str) -> int:
    """Days from one day to another (YYYY-MM-DD)."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
