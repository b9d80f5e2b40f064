"""What must hold of a candidate, besides its comparison with the champion, before it may score: `model.gate` of a pipeline's YAML.

An entry is a check of `sluice_ml.checks`. Those with defaults are always made, unless they are switched off (`null`); those that need to know
something of the question (slices, an operating point, costs) only where it is declared. Where the defaults come from is told by
docs/models.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from sluice.declare.contracts import Strict


class _Check(Strict):
    # A limit that is infinite would switch a check off, and nothing would say so.
    model_config = ConfigDict(allow_inf_nan=False)


class Constant(_Check):
    """How many rows may have the same score."""

    share: float = Field(0.25, gt=0, le=1)


class Calibration(_Check):
    """What scores must mean: see `sluice_ml.checks.calibration`."""

    # Log-odds of the mean score against those of the realised rate, either way.
    level: float = Field(1.0, gt=0)
    # Slope of the outcome's log-odds by the score's; one is right.
    slope_low: float = Field(0.5, gt=0, le=1)
    slope_high: float = Field(2.0, ge=1)


class LearnedGap(_Check):
    """How much better than on the held-out days a model may be on the days that it learned, in mean daily AUC."""

    auc: float = Field(0.2, gt=0, lt=0.5)


class Slices(_Check):
    """What must hold within each value of some columns: see `sluice_ml.checks.slices`."""

    # Categorical features of the model.
    columns: tuple[str, ...] = Field(min_length=1)
    # Two of them each, whose values are judged together.
    pairs: tuple[tuple[str, str], ...] = ()
    # As `calibration.level`, beside that of all rows.
    level: float = Field(0.8, gt=0)
    # How far the daily AUC within a value may be below the champion's there (or the other kind of model's).
    auc: float = Field(0.02, gt=0, lt=0.5)

    @field_validator("pairs", mode="before")
    @classmethod
    def _are_pairs(cls, given: Any) -> Any:
        if not isinstance(given, (list, tuple)) or any(
            not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in given
        ):
            raise ValueError(f"must be a list of pairs of columns, such as [[carrier, origin]], not {given}")
        return given


class Flips(_Check):
    """How many rows the candidate may have wrong that the champion has right."""

    share: float = Field(gt=0, le=1)


class Value(_Check):
    """What the answer to a row costs, by whether somebody acts on it and whether it comes true; below zero is a gain."""

    true_positive: float
    false_positive: float
    false_negative: float
    true_negative: float
    # How much more a row may cost than by the champion: above what the days of a comparison differ by themselves.
    margin: float = Field(ge=0)

    @model_validator(mode="after")
    def _acting_can_pay(self) -> Value:
        if self.false_negative <= self.true_positive or self.false_positive <= self.true_negative:
            raise ValueError(
                "by these costs a wrong answer is no worse than a right one: false_negative must be above true_positive, and "
                "false_positive above true_negative"
            )
        return self


class Fairness(_Check):
    """How far groups may be apart at the operating point: see `sluice_ml.checks.fairness`."""

    # A column of the feature table, whether the model uses it or not.
    column: str
    # Difference of true-positive rates, and of selection rates; without a limit the second is measured and refuses nothing.
    opportunity: float = Field(gt=0, lt=1)
    selection: float | None = Field(None, gt=0, lt=1)


class Resources(_Check):
    """What serving a model may take, measured by one thread on the held-out rows: see `sluice_ml.checks.resources`."""

    # Megabytes (10^6 bytes) of its file, and of the memory that loading it and scoring add.
    model_mb: float = Field(gt=0)
    memory_mb: float = Field(gt=0)
    # Rows that it must score in a second of CPU time.
    rows_per_second: float = Field(gt=0)


class Gate(Strict):
    """The checks of the model gate."""

    # Held-out rows of each outcome (and of a slice) without which a check says nothing.
    min_outcomes: int = Field(50, ge=1)
    # The score from which somebody acts.
    operating_point: float | None = Field(None, gt=0, lt=1)
    # Whether features of past days are built again without what came later: see `sluice_ml.checks.replay`.
    replay: bool = True
    # Whether held-out rows are scored once more as they are served: see `sluice_ml.checks.parity`.
    parity: bool = True
    constant: Constant | None = Constant()
    calibration: Calibration | None = Calibration()
    learned_gap: LearnedGap | None = LearnedGap()
    slices: Slices | None = None
    flips: Flips | None = None
    value: Value | None = None
    resources: Resources | None = None
    fairness: Fairness | None = None

    @model_validator(mode="after")
    def _operating_point_is_declared(self) -> Gate:
        if self.operating_point is None and (self.flips or self.value or self.fairness):
            raise ValueError(
                "flips, value and fairness ask what happens at an operating_point: give the score from which somebody acts"
            )
        return self
