"""Whether a model is worse than it was, and what that is called.

Three sums are looked at (`sluice_ml.cumulated`): how much less the model leads the baseline on the same rows than it usually does,
how much worse than the frozen reference it ranks them, and how far the mean score is from the realised rate. One day alone is an
alarm only where its mean score is further off than any ordinary day's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sluice_ml.config import MonitoringConfig
from sluice_ml.cumulated import (
    Cusum,
    calibration_gap,
    lead,
    of_calibration,
    of_performance,
    of_reference,
    over_reference,
)
from sluice_ml.findings import Finding, Name, counted_days
from sluice_ml.monitored_day import DayNumbers


@dataclass(frozen=True)
class Sums:
    """What is cumulated of a model; `performance` is None where there is no champion whose lead is known."""

    performance: Cusum | None
    reference: Cusum
    too_low: Cusum
    too_high: Cusum

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe: each sum as a share of what makes it an alarm."""
        return {
            "performance": self.performance and self.performance.value / self.performance.limit,
            "reference": self.reference.value / self.reference.limit,
            "scores_too_low": self.too_low.value / self.too_low.limit,
            "scores_too_high": self.too_high.value / self.too_high.limit,
        }


def cumulate_all(days: Sequence[DayNumbers], champion_lead: float | None, config: MonitoringConfig) -> Sums:
    """Cumulate the days of one model that count, in their order.

    Args:
        champion_lead: how much the model usually leads the baseline, None where there is no champion.
    """
    return Sums(
        None if champion_lead is None else of_performance(days, champion_lead, config.performance),
        of_reference(days, config.against_reference),
        *of_calibration(days, config.calibration),
    )


def found(
    days: Sequence[DayNumbers],
    sums: Sums,
    champion_lead: float | None,
    config: MonitoringConfig,
    *,
    inputs_shifted: bool,
) -> list[Finding]:
    """Name what the sums and the newest of the days come to."""
    if not days or champion_lead is None:
        # Whoever declared the baseline answers for it; there is no model to train again.
        return []
    made = []
    ranks_worse = sums.performance is not None and sums.performance.is_alarm
    if ranks_worse and sums.performance is not None:
        name: Name = "input shift with loss" if inputs_shifted else "concept change"
        made.append(
            Finding(
                name,
                "warn",
                _performance(name, days, sums.performance, champion_lead),
                "performance",
                "order",
            )
        )
    if sums.reference.is_alarm:
        made.append(
            Finding(
                "worse than reference",
                "warn",
                _against_reference(days, sums.reference),
                "performance",
                "reference",
            )
        )
    for off, side, cause in (
        (sums.too_low, "too low: more came true than they say", "below"),
        (sums.too_high, "too high: fewer came true than they say", "above"),
    ):
        if off.is_alarm:
            name = "concept change" if ranks_worse else "label shift"
            mean = _mean_rates(days, off)
            made.append(
                Finding(
                    name,
                    "warn",
                    f"{_capital(name)}: since {off.since}, on {counted_days(off.days)} that count, the scores are {side}. {mean} "
                    f"A mean score that stays {cause} the realised rate is wrong as a probability, whatever the order of the rows.",
                    "calibration",
                    cause,
                )
            )
    newest = days[-1]
    gap = calibration_gap(newest)
    if gap is not None and abs(gap) > config.calibration_day:
        made.append(
            Finding(
                "label shift",
                "warn",
                f"Label shift on {newest.ds} alone: the mean score is {newest.expected_rate:.1%}, and {newest.label_rate:.1%} came "
                f"true. No ordinary day is as far off: {abs(gap):.1f} in log-odds (limit {config.calibration_day:.1f}).",
                about=f"{'below' if gap > 0 else 'above'} on one day",
            )
        )
    return made


def _performance(name: Name, days: Sequence[DayNumbers], off: Cusum, champion_lead: float) -> str:
    leads = [ahead for day in days if (ahead := lead(day)) is not None][-off.days :]
    about = {
        "concept change": "the inputs are as they were, and the model ranks worse",
        "input shift with loss": "the inputs have shifted, and the model ranks worse",
    }[name]
    return (
        f"{_capital(name)}: {about}. Since {off.since}, on {counted_days(off.days)} that count, its AUC is "
        f"{sum(leads) / len(leads):+.3f} against the baseline's on the same rows; usually that is {champion_lead:+.3f}."
    )


def _against_reference(days: Sequence[DayNumbers], off: Cusum) -> str:
    known = [(day, ahead) for day in days if (ahead := over_reference(day)) is not None][-off.days :]
    return (
        f"Worse than the reference: since {off.since}, on {counted_days(off.days)} that count, its AUC is "
        f"{sum(ahead for _, ahead in known) / len(known):+.3f} against that of version {known[-1][0].reference_version}, which is never "
        "replaced, on the same rows. Both meet the same days: what was learned since, or how it is served, makes the difference."
    )


def _mean_rates(days: Sequence[DayNumbers], off: Cusum) -> str:
    part = [day for day in days if calibration_gap(day) is not None][-off.days :]
    rows = sum(day.labelled for day in part)
    expected = sum((day.expected_rate or 0.0) * day.labelled for day in part) / rows
    came_true = sum((day.label_rate or 0.0) * day.labelled for day in part) / rows
    return f"The mean score is {expected:.1%}, and {came_true:.1%} came true."


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
