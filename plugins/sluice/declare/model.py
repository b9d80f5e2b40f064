"""The model of a pipeline: what it is about, what it learns from, and when it may become champion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from sluice.core import strict_yaml
from sluice.declare.card import Card
from sluice.declare.contracts import Strict
from sluice.declare.features import Coverage, Features, Influence
from sluice.declare.field_types import Finite, NonEmptyStr, TimeOfDay
from sluice.declare.gate import Gate
from sluice.declare.tuning import Tuning

# Checks of `model.gate` that are made where nothing is declared about them.
_ALWAYS_CHECKED = ("replay", "parity", "constant", "calibration", "learned_gap")
# What may score in the champion's place: a rule that can score is asked for every row, so that what comes after it would never be.
_STEPS = ("previous", "baseline", "abstain")


class Promotion(Strict):
    """When a candidate may become champion: see `sluice_ml.promotion`. AUCs are means of those within each day."""

    resamples: int = Field(ge=100)
    confidence: float = Field(gt=0.5, lt=1)
    # How far a simpler kind of model may be behind, on the days that choose the rounds, and is taken all the same.
    simpler_margin: float = Field(0.005, ge=0, lt=0.5)
    # A refresh (the same recipe on newer days) must be worse than the champion by less than this.
    refresh_margin: float = Field(0.02, ge=0, lt=0.5)
    # Held-out days with both outcomes that the champion did not learn from, without which nothing is decided.
    comparison_days: int = Field(7, ge=2)


class Rollback(Strict):
    """Who takes a champion back: a person, or also the gate of predictions (`sluice.models.automatic_rollback`)."""

    automatic: bool = False


class Model(Strict):
    name: str
    question: str
    # What only a person can say of it, for the model card and the datasheet of its training set.
    card: Card = Card()
    # Derived tables: one row a thing to predict, and what became of it. They join on `key`.
    features_table: str = "features"
    outcomes_table: str = "outcomes"
    key: str
    label: str
    features: Features
    # Column of the feature table that serves as the score where there is no champion.
    baseline: str
    baseline_default: float = Field(ge=0, le=1)
    # What scores, in this order, where the champion's files are damaged or it needs a column that is gone. `abstain`, as the last: the day
    # is published without predictions. Where nothing here can, and nobody abstains, the run fails.
    fallback: tuple[Literal["previous", "baseline", "abstain"], ...] = ("previous", "baseline")
    # Local time of the day by which its predictions must be made (of a live pipeline; the end of the day, where there is none).
    # What is made later is marked, and counts in no measure of performance.
    deadline: TimeOfDay | None = None
    training_days: int = Field(ge=7)
    # The last blocks of days before the test days, each predicted from the days before it: they choose the rounds.
    valid_days: int = Field(ge=1)
    valid_blocks: int = Field(4, ge=1)
    test_days: int = Field(ge=1)
    seed: int
    rounds: int = Field(ge=1)
    params: dict[str, Finite | int | str | bool]
    # How much a row with each value of the label weighs in training; 1 where it is not given. Scores stay probabilities.
    # More than a million to one is no weight but a mistake, and far from what the odds can be taken back from.
    class_weights: dict[bool, Annotated[Finite, Field(ge=1e-3, le=1e3)]] = {}
    # A search for other `params`, by `<pipeline>_tune`, which only a pipeline that declares it has.
    tuning: Tuning | None = None
    promotion: Promotion
    gate: Gate = Gate()
    # Who lets a candidate that passed become champion: nobody, the gate, or a person whom the gate asks after a shadow.
    criticality: Literal["experiment", "normal", "critical"] = "normal"
    rollback: Rollback = Rollback()
    # Days that a candidate which passed the gate scores in shadow, unseen, before it may become champion; 0: none.
    shadow_days: int = Field(0, ge=0)
    # `paused`: no model is trained, whoever asks; scoring and monitoring go on.
    learning: Literal["active", "paused"] = "active"
    coverage: Coverage = Coverage()
    influence: Influence = Influence()
    # Columns of the feature table: when a row's features were known, and when what is predicted happens.
    known_at: str | None = None
    happens_at: str | None = None
    # Findings of `sluice_ml.linting` that are right on purpose, by name (`<check> <column>`), each with its reason.
    accepted_findings: dict[str, NonEmptyStr] = {}
    score_batch_rows: int = Field(ge=1)
    # As of a derived table: share of the last published predictions that a change of the scoring code may change.
    max_changed_by_code: float = Field(0.01, ge=0, le=1)

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights_are_of_labels(cls, value: Any) -> Any:
        if isinstance(value, dict) and (unknown := [one for one in value if not isinstance(one, bool)]):
            raise ValueError(f"{unknown[0]!r} is no value of the label: they are true and false")
        return value

    @model_validator(mode="after")
    def _columns_are_features(self) -> Model:
        known = [*self.features.categorical, *self.features.numeric]
        slices = self.gate.slices
        in_slices = (
            [("columns", slices.columns), *(("pairs", pair) for pair in slices.pairs)] if slices else []
        )
        wrong = [
            (key, strict_yaml.no_such(name, "feature of the model", known))
            for key, names in (
                ("coverage.segments", self.coverage.segments),
                ("influence.column", (self.influence.column,)),
            )
            for name in names
            if name is not None and name not in known
        ] + [
            (
                f"gate.slices.{key}",
                strict_yaml.no_such(name, "categorical feature of the model", self.features.categorical),
            )
            for key, names in in_slices
            for name in names
            if name not in self.features.categorical
        ]
        if wrong:
            raise strict_yaml.KeysWrong(wrong)
        if slices and (same := [first for first, second in slices.pairs if first == second]):
            raise ValueError(f"gate.slices.pairs has {same[0]!r} twice in one pair: name two columns")
        if (self.known_at is None) != (self.happens_at is None):
            raise ValueError("known_at and happens_at say something only together: give both or neither")
        return self

    @field_validator("fallback")
    @classmethod
    def _each_step_is_reached(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        if steps != (ordered := tuple(each for each in _STEPS if each in steps)):
            raise ValueError(
                f"[{', '.join(steps)}] has a step twice, or one that would not be reached; write [{', '.join(ordered)}] "
                f"(allowed: {', '.join(_STEPS)}, in this order, each of which may be left out)"
            )
        return steps

    @model_validator(mode="after")
    def _days_suffice(self) -> Model:
        if self.promotion.comparison_days > self.test_days:
            raise ValueError(
                f"promotion.comparison_days is {self.promotion.comparison_days} and test_days {self.test_days}: only held-out days "
                "are compared on, so that no candidate could ever be promoted; give at least as many test_days"
            )
        if 0 < self.shadow_days < self.promotion.comparison_days:
            raise ValueError(
                f"shadow_days is {self.shadow_days} and promotion.comparison_days {self.promotion.comparison_days}: fewer days than a "
                "comparison needs decide nothing; give at least as many shadow_days, or 0 for no shadow"
            )
        return self

    @model_validator(mode="after")
    def _critical_has_its_evidence(self) -> Model:
        if self.criticality != "critical":
            return self
        lacks = [] if self.shadow_days else ["shadow_days above 0"]
        lacks += [f"gate.{name} switched on" for name in _ALWAYS_CHECKED if not getattr(self.gate, name)]
        lacks += [f"a statement card.{name}" for name in self.card.missing]
        if lacks:
            raise ValueError(
                f"criticality is critical, which requires {', '.join(lacks)}: a person who is asked to approve a model must see what it "
                "did on days that nobody knew, each check that is made by default, and what it is for; declare them, or criticality normal"
            )
        return self
