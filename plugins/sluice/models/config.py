"""The pipeline's YAML in the words of `ml`, and the one registry of this installation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice import ledger, schedule
from sluice.core import clock, strict_yaml
from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ledger import model_records

if TYPE_CHECKING:
    from sluice.declare.contracts import Strict
    from sluice.declare.gate import Gate
    from sluice_ml.config import GateConfig, ModelConfig, MonitoringConfig, TuningConfig
    from sluice_ml.registry import LoadedModel, Registry, Version


def model_config(spec: Pipeline) -> ModelConfig:
    from sluice_ml.config import ModelConfig

    declared = spec.model
    return ModelConfig(
        name=declared.name,
        key=declared.key,
        label=declared.label,
        categorical=declared.features.categorical,
        numeric=declared.features.numeric,
        increasing=declared.features.increasing,
        decreasing=declared.features.decreasing,
        baseline=declared.baseline,
        baseline_default=declared.baseline_default,
        training_days=declared.training_days,
        valid_days=declared.valid_days,
        valid_blocks=declared.valid_blocks,
        test_days=declared.test_days,
        seed=declared.seed,
        rounds=declared.rounds,
        params=declared.params,
        class_weights=(declared.class_weights.get(False, 1.0), declared.class_weights.get(True, 1.0)),
        resamples=declared.promotion.resamples,
        confidence=declared.promotion.confidence,
        simpler_margin=declared.promotion.simpler_margin,
        refresh_margin=declared.promotion.refresh_margin,
        comparison_days=declared.promotion.comparison_days,
        segments=declared.coverage.segments,
        segment_min_rows=declared.coverage.min_rows,
        max_day_share=declared.influence.day,
        capped_column=declared.influence.column,
        max_value_share=declared.influence.value,
        known_at=declared.known_at,
        happens_at=declared.happens_at,
        accepted_findings=declared.accepted_findings,
        outlier_share=spec.monitoring.outliers.share,
        threads=settings().threads,
        gate=_gate_config(declared.gate, shows_values=spec.may_quote(None)),
    )


def _gate_config(declared: Gate, *, shows_values: bool) -> GateConfig:
    from sluice_ml import config

    def of(kind: type, check: Strict | None, **more: object) -> Any:
        return kind(**check.model_dump(), **more) if check else None

    point = declared.operating_point
    return config.GateConfig(
        min_outcomes=declared.min_outcomes,
        shows_values=shows_values,
        constant=of(config.ConstantConfig, declared.constant),
        calibration=of(config.CalibrationConfig, declared.calibration),
        learned_gap=of(config.LearnedGapConfig, declared.learned_gap),
        slices=of(config.SlicesConfig, declared.slices),
        flips=of(config.FlipsConfig, declared.flips, threshold=point),
        value=of(config.ValueConfig, declared.value, threshold=point),
        resources=of(config.ResourcesConfig, declared.resources),
        fairness=of(config.FairnessConfig, declared.fairness, threshold=point),
    )


def monitoring_config(spec: Pipeline) -> MonitoringConfig:
    from sluice_ml.config import CusumConfig, MonitoringConfig, RetrainingConfig

    declared = spec.monitoring
    return MonitoringConfig(
        sample_rows=declared.sample_rows,
        shift_warn=declared.shift_warn,
        broken_margin=declared.broken_margin,
        pipes=declared.pipes,
        persistence_days=declared.persistence_days,
        min_rows=declared.min_rows,
        min_coverage=declared.min_coverage,
        outcome_wait_days=declared.outcome_wait_days,
        max_model_age_days=declared.max_model_age_days,
        performance=CusumConfig(slack=declared.performance.slack, limit=declared.performance.limit),
        lead_days=declared.performance.lead_days,
        against_reference=CusumConfig(**declared.against_reference.model_dump()),
        calibration=CusumConfig(slack=declared.calibration.slack, limit=declared.calibration.limit),
        calibration_day=declared.calibration.day,
        trailing_days=declared.trailing_days,
        outliers_warn=declared.outliers.warn,
        outliers_day=declared.outliers.day,
        retraining=RetrainingConfig(**declared.retraining.model_dump()),
    )


def tuning_config(spec: Pipeline) -> TuningConfig:
    """Raises SpecInvalidError where no search is declared."""
    from sluice_ml.config import BoundsConfig, TuningConfig

    declared = spec.model.tuning
    if declared is None:
        raise SpecInvalidError(
            f"{spec.pipeline} declares no search for parameters.",
            where=f"model in dags/pipelines/{spec.pipeline}.yml",
            allowed="a budget: `tuning: {cpu_minutes: 30}`",
            todo="declare it, and run this again",
        )
    space = {name: BoundsConfig(**bounds.model_dump()) for name, bounds in declared.space.items()}
    return TuningConfig(cpu_minutes=declared.cpu_minutes, trials=declared.trials, space=space)


def check_model(spec: Pipeline) -> None:
    """Check that the columns that the model uses exist, and that XGBoost knows and takes its parameters.

    Raises:
        SpecInvalidError: lists what does not exist, each with its key.
    """
    found = [*_missing_columns(spec), *_wrong_parameters(spec), *_too_short(spec), *_too_early(spec)]
    if found:
        raise SpecInvalidError(
            strict_yaml.in_a_line(found),
            where=str(settings().pipelines / f"{spec.pipeline}.yml"),
            todo="correct the name or the value of each key",
        )


def _wrong_parameters(spec: Pipeline) -> Iterator[str]:
    """Parameters that XGBoost does not know or take, those of both ends of a search among them."""
    from sluice_ml import parameters

    params = spec.model.params
    space = spec.model.tuning.space if spec.model.tuning else {}
    tried = [
        params,
        *({**params, **{name: getattr(space[name], end) for name in space}} for end in ("low", "high")),
    ]
    found: dict[str, None] = {}
    for each in tried[: 3 if space else 1]:
        for said in parameters.problems(each):
            # XGBoost's own sentences begin with the name, or have it somewhere.
            named = {
                name: place.start() for name in each if (place := re.search(rf"\b{re.escape(name)}\b", said))
            }
            name = min(named, key=named.__getitem__, default="")
            section = "model.tuning.space" if name in space else "model.params"
            found[f"{section}.{name}: {said}" if name else f"{section}: {said}"] = None
    yield from found
    if spec.model.class_weights and any("base_score" in each for each in tried):
        yield (
            "model.params.base_score: it is no log-odds that model.class_weights could be taken back from: leave one of them out"
        )


def _too_short(spec: Pipeline) -> Iterator[str]:
    """Days of training that cannot be split into those that are learned, validated on and tested on."""
    from sluice_ml import splits

    model = spec.model
    if model.training_days < (least := splits.least_days(model_config(spec))):
        yield (
            f"model.training_days is {model.training_days}, and a training needs {least}: {model.test_days} test_days, "
            f"{model.valid_days} valid_days and a week to learn from"
        )


def _too_early(spec: Pipeline) -> Iterator[str]:
    """A deadline of the predictions that is over before the run of their day starts."""
    if spec.clock == "feed" or not spec.model.deadline:
        return
    start = schedule.next_due(spec, clock.utc_now())
    if pipeline_clock.scoring_deadline(spec, start.date()) <= start:
        yield (
            f"model.deadline {spec.model.deadline} is not after {start:%H:%M}, when the run of a day starts by the schedule: "
            "every prediction would be made late"
        )


def _missing_columns(spec: Pipeline) -> Iterator[str]:
    from sluice.gates.suites import columns_of

    model, features = spec.model, spec.model.features
    fairness = model.gate.fairness
    used: dict[str, dict[str, tuple[str | None, ...]]] = {
        model.features_table: {
            "features.categorical": features.categorical,
            "features.numeric": features.numeric,
            "baseline": (model.baseline,),
            "key": (model.key,),
            "known_at": (model.known_at,),
            "happens_at": (model.happens_at,),
            "gate.fairness.column": (fairness.column if fairness else None,),
        },
        model.outcomes_table: {"key": (model.key,), "label": (model.label,)},
    }
    for table, keys in used.items():
        columns = list(columns_of(spec, table))
        for key, names in keys.items():
            for name in names:
                if name is not None and name not in columns:
                    yield f"model.{key}: {strict_yaml.no_such(name, f'column of {table}', columns)}"


def registry() -> Registry:
    from sluice_ml.registry import Registry

    return Registry(settings().mlflow_url, settings().models_address)


def load_version(name: str, version: int) -> LoadedModel:
    """A version ready to score: its files are those that were registered, and those that the ledger says were trained.

    Raises:
        ConnectionError: the registry does not answer.
        ModelDamagedError, ModelUnknownError: as `Registry.load`; damaged is also what is not the file that the ledger names.
    """
    found = registry().load(name, version, threads=settings().threads)
    _require_recorded(found.registered)
    return found


def _require_recorded(version: Version) -> None:
    """Refuse a model or its description that is another than the ledger recorded when the version was trained.

    The registry's own hashes lie beside its files: who exchanges both exchanges the model unseen.

    Raises:
        ModelDamagedError: it is another file.
    """
    from sluice_ml.errors import ModelDamagedError

    trained = ledger.entries(model_records.Trained, subject=version.name)
    recorded = next((one for one in trained if one.record.version == version.version), None)
    if recorded is None:
        return
    # Earlier versions of Sluice recorded the first, or neither.
    for tag in ("sha256", "meta_sha256"):
        expected, found = getattr(recorded.record, tag), version.tags.get(tag, "")
        if expected and expected != found:
            raise ModelDamagedError(
                f"Version {version.version} of {version.name} in the registry is not the model that was trained as it.",
                where=f"entry {recorded.seq} of the ledger: {tag} {expected}; registry: {found}",
                todo="find out who changed the registry; restore it from a backup, or roll back to another version",
            )
