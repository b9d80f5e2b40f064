"""What training, promotion and monitoring are told, as plain frozen values.

No field has a default: everything that decides a result is written in the pipeline's YAML and recorded with the model.
The fields are those of the YAML's `model` and `monitoring` sections, flattened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ConstantConfig:
    """See `sluice_ml.checks.constant`."""

    share: float


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """See `sluice_ml.checks.calibration`."""

    level: float
    slope_low: float
    slope_high: float


@dataclass(frozen=True, kw_only=True)
class LearnedGapConfig:
    """See `sluice_ml.checks.learned_gap`."""

    auc: float


@dataclass(frozen=True, kw_only=True)
class SlicesConfig:
    """See `sluice_ml.checks.slices`."""

    columns: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    level: float
    auc: float


@dataclass(frozen=True, kw_only=True)
class FlipsConfig:
    """See `sluice_ml.checks.flips`."""

    threshold: float
    share: float


@dataclass(frozen=True, kw_only=True)
class ValueConfig:
    """See `sluice_ml.checks.value`: what an answer costs, by whether somebody acts and whether it comes true."""

    threshold: float
    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float
    margin: float


@dataclass(frozen=True, kw_only=True)
class FairnessConfig:
    """See `sluice_ml.checks.fairness`: how far groups of `column` may be apart; None is measured, and held to no limit."""

    column: str
    threshold: float
    opportunity: float
    selection: float | None


@dataclass(frozen=True, kw_only=True)
class ResourcesConfig:
    """See `sluice_ml.checks.resources`: at most so many megabytes (of 10^6 bytes), and at least so many rows a second."""

    model_mb: float
    rows_per_second: float
    memory_mb: float


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """The checks of the model gate by name (`sluice_ml.checks`); None is not checked.

    `min_outcomes`: rows of each outcome without which a check says nothing. `shows_values`: whether findings may name values of
    the rows; where these are about people, groups are numbered.
    """

    min_outcomes: int
    shows_values: bool
    constant: ConstantConfig | None
    calibration: CalibrationConfig | None
    learned_gap: LearnedGapConfig | None
    slices: SlicesConfig | None
    flips: FlipsConfig | None
    value: ValueConfig | None
    resources: ResourcesConfig | None
    fairness: FairnessConfig | None


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """How one model is trained, and when it may be promoted.

    `key` and `label` are columns of the training rows; `baseline` is the column that serves as the score where there is
    no champion, with `baseline_default` where it is null. The last `test_days` of the last `training_days` are held out;
    the last `valid_blocks` blocks of `valid_days` before them, each predicted from the days before it, choose the rounds
    (`rounds` at most) and the kind of model: a simpler one, where it is at most `simpler_margin` behind. `resamples` and
    `confidence` are those of every interval. `refresh_margin` and `comparison_days` decide on promotion
    (`sluice_ml.promotion`).

    The score never falls with a column of `increasing`, and never rises with one of `decreasing`, while all else stays the same.
    `class_weights` are how much a row weighs in training whose label is false, and whose label is true.

    `segments` are the columns by which coverage is counted (`sluice_ml.coverage`), supported from `segment_min_rows` training
    rows on. At most `max_day_share` of the training rows are of one day, and at most `max_value_share` of a day's of one
    value of `capped_column` (`sluice_ml.influence`). `known_at` and `happens_at` are the columns that say when a row's features
    were known and when it happens (`sluice_ml.leakage`). `accepted_findings` maps a finding of `sluice_ml.linting` to the reason for
    which it is accepted. Of the held-out rows `outlier_share` are outliers to the detector that is fitted with a model (`sluice_ml.outliers`); None fits
    none. `gate` is what must hold of a candidate besides (`sluice_ml.checks`).
    """

    name: str
    key: str
    label: str
    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    increasing: tuple[str, ...]
    decreasing: tuple[str, ...]
    baseline: str
    baseline_default: float
    training_days: int
    valid_days: int
    valid_blocks: int
    test_days: int
    seed: int
    rounds: int
    params: Mapping[str, float | int | str | bool]
    class_weights: tuple[float, float]
    resamples: int
    confidence: float
    simpler_margin: float
    refresh_margin: float
    comparison_days: int
    segments: tuple[str, ...]
    segment_min_rows: int
    max_day_share: float
    capped_column: str | None
    max_value_share: float
    known_at: str | None
    happens_at: str | None
    accepted_findings: Mapping[str, str]
    outlier_share: float | None
    threads: int
    gate: GateConfig

    @property
    def features(self) -> tuple[str, ...]:
        """The model's columns, in the order of its matrix."""
        return (*self.numeric, *self.categorical)

    @property
    def directions(self) -> tuple[int, ...]:
        """Of each feature: 1 where the score may not fall with it, -1 where it may not rise, 0 where it may do either."""
        return tuple((name in self.increasing) - (name in self.decreasing) for name in self.features)

    @property
    def weighted_odds(self) -> float:
        """By how much class weights move the log-odds of what is learned.

        Rows weighted w1 and w0 are as if there were that many of each: the odds that are learned are w1 / w0 times the true ones
        (Elkan, "The Foundations of Cost-Sensitive Learning", IJCAI 2001, theorem 2).
        """
        return math.log(self.class_weights[1] / self.class_weights[0])

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe, for the record kept with a model."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class BoundsConfig:
    """Between what a parameter is searched: whole numbers where both ends are, `log` by its order of magnitude."""

    low: float
    high: float
    log: bool


@dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """How long other parameters are searched for, and where: see `sluice_ml.tuning`."""

    cpu_minutes: float
    trials: int
    space: Mapping[str, BoundsConfig]


@dataclass(frozen=True, kw_only=True)
class CusumConfig:
    """When a loss of every day is more than chance: see `sluice_ml.cumulated`."""

    slack: float
    limit: float


@dataclass(frozen=True, kw_only=True)
class RetrainingConfig:
    """How often a new model may be asked for: see `sluice_ml.retraining`."""

    per_week: int
    backoff_days: int
    backoff_max_days: int
    attest_days: int
    refusals_to_person: int
    tries_per_drop: int
    drop_over_days: int


@dataclass(frozen=True, kw_only=True)
class MonitoringConfig:
    """When monitoring asks for attention: the YAML's `monitoring` section, field by field."""

    sample_rows: int
    shift_warn: float
    broken_margin: float
    pipes: Mapping[str, tuple[str, ...]]
    persistence_days: int
    min_rows: int
    min_coverage: float
    outcome_wait_days: int
    max_model_age_days: int
    performance: CusumConfig
    lead_days: int
    against_reference: CusumConfig
    calibration: CusumConfig
    calibration_day: float
    trailing_days: int
    outliers_warn: float
    outliers_day: float
    retraining: RetrainingConfig
