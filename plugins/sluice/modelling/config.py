"""The pipeline's YAML in the words of `ml`, and the one registry of this installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.settings import settings
from sluice.spec import Pipeline

if TYPE_CHECKING:
    from ml.config import ModelConfig, MonitoringConfig
    from ml.registry import Registry


def model_config(spec: Pipeline) -> ModelConfig:
    from ml.config import ModelConfig

    declared = spec.model
    return ModelConfig(
        name=declared.name,
        key=declared.key,
        label=declared.label,
        categorical=declared.features.categorical,
        numeric=declared.features.numeric,
        baseline=declared.baseline,
        baseline_default=declared.baseline_default,
        training_days=declared.training_days,
        valid_days=declared.valid_days,
        test_days=declared.test_days,
        seed=declared.seed,
        rounds=declared.rounds,
        early_stopping_rounds=declared.early_stopping_rounds,
        params=declared.params,
        resamples=declared.promotion.resamples,
        confidence=declared.promotion.confidence,
        segments=declared.coverage.segments,
        segment_min_rows=declared.coverage.min_rows,
        max_day_share=declared.influence.day,
        capped_column=declared.influence.column,
        max_value_share=declared.influence.value,
        known_at=declared.known_at,
        happens_at=declared.happens_at,
        accepted_findings=declared.accepted_findings,
        threads=settings().threads,
    )


def monitoring_config(spec: Pipeline) -> MonitoringConfig:
    from ml.config import MonitoringConfig

    return MonitoringConfig(**spec.monitoring.model_dump())


def registry() -> Registry:
    from ml.registry import Registry

    return Registry(settings().mlflow_url, f"file://{settings().home.resolve()}/models")
