"""When monitoring asks for attention, and how often for a new model: the section `monitoring` of a pipeline's YAML.

What each number does is told by `sluice_ml.monitoring` and the modules beside it; where those of `flights` come from, by docs/monitoring.md.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from sluice.declare.contracts import Strict


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


class Monitoring(Strict):
    """When monitoring asks for attention."""

    # Rows that Evidently is run on, of each side.
    sample_rows: int = Field(ge=100)
    drift_share_warn: float = Field(gt=0, le=1)
    drift_share_retrain: float = Field(gt=0, le=1)
    auc_drop_warn: float = Field(gt=0, lt=1)
    auc_drop_retrain: float = Field(gt=0, lt=1)
    persistence_days: int = Field(ge=1)
    # Rows (labelled ones, where the question is how good the model was) that a day needs to count.
    min_rows: int = Field(ge=1)
    outcome_wait_days: int = Field(ge=1)
    # Earlier days that one run measures, oldest first; what is left is measured by the next runs.
    days_per_run: int = Field(14, ge=1)
    max_model_age_days: int = Field(ge=1)
    retraining: Retraining = Retraining()
