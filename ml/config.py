"""What training, promotion and monitoring are told, as plain frozen values.

No field has a default: everything that decides a result is written in the pipeline's YAML and recorded with the model.
The fields are those of the YAML's `model` and `monitoring` sections, flattened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How one model is trained, and when it may be promoted.

    `key` and `label` are columns of the training rows; `baseline` is the column that serves as the score where there is
    no champion, with `baseline_default` where it is null. The last `test_days` of the last `training_days` are held out,
    the `valid_days` before them stop the boosting. `resamples` and `confidence` are those of every interval.
    """

    name: str
    key: str
    label: str
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    baseline: str
    baseline_default: float
    training_days: int
    valid_days: int
    test_days: int
    seed: int
    rounds: int
    early_stopping_rounds: int
    params: Mapping[str, float | int | str | bool]
    resamples: int
    confidence: float
    threads: int

    @property
    def features(self) -> tuple[str, ...]:
        """The model's columns, in the order of its matrix."""
        return (*self.numeric, *self.categorical)

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe, for the record kept with a model."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    """When monitoring asks for attention: the YAML's `monitoring` section, field by field."""

    sample_rows: int
    drift_share_warn: float
    drift_share_retrain: float
    auc_drop_warn: float
    auc_drop_retrain: float
    persistence_days: int
    min_rows: int
    outcome_wait_days: int
    max_model_age_days: int
