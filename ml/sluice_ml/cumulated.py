"""Is the model worse than it was? Small daily losses, added up until they are more than chance.

A day's difficulty moves its AUC by more than a real loss does, so that no limit for one day can tell the two apart. Two things
help. The champion is compared with the baseline on the same rows of the same day: an easy or a hard day is so for both (paired
differences). And the differences are cumulated, less a slack, by Page's CUSUM (E. S. Page, Continuous inspection schemes,
Biometrika 41, 1954): the sum is pulled back to zero by ordinary days, and grows with a lasting loss, also one of every second day.

With a slack of half the loss that is to be found the CUSUM finds it soonest (D. C. Montgomery, Introduction to Statistical Quality
Control, chapter 9). The limit is what decides how often there is a false alarm; both are declared in the pipeline's YAML, and
docs/monitoring.md tells how those of `flights` were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sluice_ml.config import CusumConfig
from sluice_ml.monitored_day import DayNumbers


@dataclass(frozen=True)
class Cusum:
    """Where a sum stands after the newest day.

    `since` is the first day of the run that it grew from, and `days` how many days that run has; "" and 0 where the sum is zero.
    `limit` is what makes it an alarm.
    """

    value: float
    limit: float
    since: str = ""
    days: int = 0

    @property
    def is_alarm(self) -> bool:
        return self.value >= self.limit


def cumulate(losses: Iterable[tuple[str, float]], config: CusumConfig) -> Cusum:
    """Cumulate losses by day, in the order of days.

    The sum stops at twice the limit, so that an alarm lasts over single good days, and is over when good days have made up for as
    much as made it one, however long its cause lasted.
    """
    value, since, days = 0.0, "", 0
    for ds, loss in losses:
        value = min(2 * config.limit, value + loss - config.slack)
        if value <= 0:
            value, since, days = 0.0, "", 0
        else:
            since, days = since or ds, days + 1
    return Cusum(value, config.limit, since, days)


def lead(day: DayNumbers) -> float | None:
    """How much the model's AUC of a day is above the baseline's of the same rows; None where one of them is not known."""
    return None if day.auc is None or day.baseline_auc is None else day.auc - day.baseline_auc


def over_reference(day: DayNumbers, measure: Literal["auc", "brier"] = "auc") -> float | None:
    """A day's AUC, or Brier score, less that of the frozen reference on the same rows; None where one is not known, and of the reference itself."""
    mine, its = getattr(day, measure), getattr(day, f"reference_{measure}")
    if mine is None or its is None or day.model_version == day.reference_version:
        return None
    return float(mine - its)


def of_reference(days: Sequence[DayNumbers], config: CusumConfig) -> Cusum:
    """Cumulate how much worse than the frozen reference the model ranks the same rows, on days of the newest reference.

    Two models of one question find the same days hard: the difference varies by a quarter of what the lead over the baseline does. What both
    lose is not in it.
    """
    known = [(day, ahead) for day in days if (ahead := over_reference(day)) is not None]
    newest = known[-1][0].reference_version if known else ""
    return cumulate(((day.ds, -ahead) for day, ahead in known if day.reference_version == newest), config)


def usual_lead(days: Sequence[DayNumbers], held_out: float, held_out_days: int, own_days: int) -> float:
    """What a model's lead is, from its held-out days and its first `own_days` days that count.

    The held-out days are few, and a day's lead is far from the next one's: what they say alone is off by as much as a loss that is to be found.
    """
    known = [ahead for day in days if (ahead := lead(day)) is not None][:own_days]
    return (held_out * held_out_days + sum(known)) / (held_out_days + len(known))


def of_performance(days: Sequence[DayNumbers], usual: float, config: CusumConfig) -> Cusum:
    """Cumulate how much less the model leads the baseline than it usually does."""
    known = [(day.ds, day_lead) for day in days if (day_lead := lead(day)) is not None]
    return cumulate(((ds, usual - day_lead) for ds, day_lead in known), config)


def calibration_gap(day: DayNumbers) -> float | None:
    """Log-odds of the realised rate less those of the mean score, over rows with an outcome; None where there is none.

    It is calibration in the large: 0 where as many came true as were expected, positive where more did. On log-odds a mean score
    of 0.03 against 0.20 is as far off as one of 0.20 against 0.67; half a row is added on both sides, so that a rate of zero or one has odds.
    """
    if day.label_rate is None or day.expected_rate is None or not day.labelled:
        return None

    def log_odds(rate: float) -> float:
        hits = rate * day.labelled
        return math.log((hits + 0.5) / (day.labelled - hits + 0.5))

    return log_odds(day.label_rate) - log_odds(day.expected_rate)


def of_calibration(days: Sequence[DayNumbers], config: CusumConfig) -> tuple[Cusum, Cusum]:
    """Cumulate how far the scores are too low, and how far they are too high."""
    gaps = [(day.ds, gap) for day in days if (gap := calibration_gap(day)) is not None]
    return cumulate(gaps, config), cumulate(((ds, -gap) for ds, gap in gaps), config)
