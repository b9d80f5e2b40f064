"""When monitoring asks for attention, and how often for a new model: the section `monitoring` of a pipeline's YAML.

What each number does is told by `sluice_ml.monitoring` and the modules beside it; where those of `flights` come from, by docs/monitoring.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sluice.declare.contracts import Strict
from sluice.declare.field_types import Finite, Name


class Retraining(Strict):
    """How often a new model may be asked for: see `sluice_ml.retraining`."""

    # Requests in any seven days.
    per_week: int = Field(1, ge=1)
    # Days without a request after a candidate was refused; doubled with each refusal in a row, up to a bound.
    backoff_days: int = Field(7, ge=1)
    backoff_max_days: int = Field(56, ge=1)
    # Days for which a refused refresh, of a model that is only old, attests the champion.
    attest_days: int = Field(30, ge=1)
    # Refusals in a row after which a person is asked.
    refusals_to_person: int = Field(3, ge=1)
    # New models that may try to end a drop, and days without an alarm after which it is over.
    tries_per_drop: int = Field(2, ge=1)
    drop_over_days: int = Field(28, ge=1)

    @model_validator(mode="after")
    def _bound_is_a_bound(self) -> Retraining:
        if self.backoff_max_days < self.backoff_days:
            raise ValueError("backoff_max_days is less than backoff_days")
        return self


class Cusum(Strict):
    """When a loss of every day is more than chance: see `sluice_ml.cumulated`."""

    # What a day may lose without being counted: half of the loss that is to be found soonest.
    slack: Finite = Field(gt=0)
    # The sum that is an alarm.
    limit: Finite = Field(gt=0)


class Performance(Cusum):
    """The same of the model's lead over the baseline on the same rows, in AUC."""

    # Days from its first on that tell, beside its held-out days, what a model's lead is.
    lead_days: int = Field(28, ge=0)


class Calibration(Cusum):
    """The same of the mean score against the realised rate, in log-odds."""

    # How far one day alone may be off.
    day: Finite = Field(gt=0)


class Outliers(Strict):
    """Rows that do not belong to their day: see `sluice_ml.outliers`; docs/monitoring.md tells where the shares come from."""

    # Of the held-out rows of a training, as many are outliers; null fits no detector.
    share: float | None = Field(0.02, gt=0, lt=0.5)
    # Share of a day's rows that warns: with `persistence_days` days in a row, and of one day alone.
    warn: float = Field(0.1, gt=0, le=1)
    day: float = Field(0.2, gt=0, le=1)

    @model_validator(mode="after")
    def _one_day_needs_more(self) -> Outliers:
        if self.day < self.warn:
            raise ValueError(
                f"outliers.day ({self.day}) is below outliers.warn ({self.warn}): one day alone would warn before several do"
            )
        return self


class Monitoring(Strict):
    """When monitoring asks for attention."""

    # Rows that Evidently is run on, of each side.
    sample_rows: int = Field(ge=100)
    # Share of the model's importance that is in features whose values are distributed otherwise than in training.
    shift_warn: float = Field(gt=0, le=1)
    # A feature is broken whose share of missing values is this much above that of every day that the model learned from.
    broken_margin: float = Field(0.2, gt=0, le=1)
    # Source to the features that come from it, by which a broken pipe is named; others are named by the feature table.
    pipes: dict[Name, tuple[str, ...]] = {}
    performance: Performance
    calibration: Calibration
    # Share of a day's predictions whose outcome must be known, once its outcomes are published.
    min_coverage: float = Field(ge=0, le=1)
    persistence_days: int = Field(ge=1)
    # Rows (labelled ones, where the question is how good the model was) that a day needs to count.
    min_rows: int = Field(ge=1)
    outcome_wait_days: int = Field(ge=1)
    # Earlier days that one run measures, oldest first; what is left is measured by the next runs.
    days_per_run: int = Field(14, ge=1)
    max_model_age_days: int = Field(ge=1)
    # Days before a day that tell whether its shift is new or goes on; the same weekday of twice as many whether it is weekly.
    trailing_days: int = Field(14, ge=4)
    outliers: Outliers = Outliers()
    # Who scores each day beside the champion and is never replaced: the first champion, a version, or nobody.
    reference: Literal["first"] | Annotated[int, Field(ge=1)] | None = "first"
    # How much worse than it the champion may rank a day, in AUC, and the sum that is an alarm: docs/monitoring.md.
    against_reference: Cusum = Cusum(slack=0.02, limit=0.2)
    # Days before a monitored day that custom checks may read, each time copied for them: a year at most.
    custom_check_days: int = Field(7, ge=0, le=366)
    retraining: Retraining = Retraining()
