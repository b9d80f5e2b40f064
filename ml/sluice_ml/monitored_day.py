"""One monitored day: the predictions that were made with what became of them, and the numbers that they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sluice_ml.config import ModelConfig
from sluice_ml.custom_checks import CustomCheck
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import BaselineModel, require

if TYPE_CHECKING:
    import pyarrow as pa


# The declared baseline's score of the same row.
BASELINE_SCORE = "baseline_score"
# That of the frozen reference; not there where it has none.
REFERENCE_SCORE = "reference_score"


@dataclass(frozen=True, kw_only=True)
class DayNumbers:
    """One monitored day (`ds`, YYYY-MM-DD) of one model version.

    `coverage` is the share of predicted rows whose outcome is known; the measures of quality are None until there are
    outcomes of both classes. The AUC's interval draws rows, not days: it is the noise within this one day. `drift_share`
    is the share of compared features in `drifted`; `left_out` gives the reason for each feature that was not compared.
    """

    ds: str
    model_version: str
    rows: int
    labelled: int
    coverage: float
    score_mean: float
    label_rate: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    brier: float | None
    compared: int
    drift_share: float
    drifted: tuple[str, ...]
    left_out: Mapping[str, str]
    sampled_rows: int
    reference_rows: int
    # Days that the oldest input of the predictions was behind when they were made.
    input_age_days: int = 0
    # What of it was published under a waiver although it had not passed its rules: one line each.
    released: tuple[str, ...] = ()
    # Its outcomes are published, even if none of them is known (a day on which everything was cancelled).
    has_outcomes: bool = False
    # Its predictions were made after their time: what became of them is not asked.
    made_late: bool = False
    # Of the rows whose outcome is known: the AUC of the declared baseline, and the mean score.
    baseline_auc: float | None = None
    expected_rate: float | None = None
    # Of a version that is never replaced, on the same rows: which one, and why it has no measure, where it could not score.
    reference_version: str = ""
    reference_problem: str = ""
    # Whether the problem is the reference's own, and not that it had learned the day.
    reference_failed: bool = False
    reference_auc: float | None = None
    reference_brier: float | None = None
    # What the scores expect of themselves (`sluice_ml.estimation`): an estimate, also of the rows whose outcome is not known.
    estimated_auc: float | None = None
    estimated_brier: float | None = None
    # Features that came without values, or all with one, as they never did in the reference, by the source that they come from.
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Share of the rows that do not belong to their day (`sluice_ml.outliers`), and in which columns most of them are far off; None
    # where no detector came with the model, or no row can be judged by it.
    outlier_share: float | None = None
    outlier_columns: tuple[str, ...] = ()
    # Share of the model's importance that is in drifted features.
    shift: float | None = None
    # Of drifted features: `new` where they are unlike the days of late, `lasting` where they are like them, `weekly` where only like
    # the same weekday of late. Without what cannot be told.
    shifted_since: Mapping[str, str] = field(default_factory=dict)
    # The distance from the reference that each compared feature must have to count as drifted: less could not have been seen.
    smallest_shifts: Mapping[str, float] = field(default_factory=dict)
    # Days from the day to the run that measured it: how much time its outcomes had to come.
    maturity_days: int = 0
    # What the pipeline's own queries said of the day.
    custom_checks: tuple[CustomCheck, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe; `DayNumbers.from_dict` reads it back."""
        broken = {source: list(columns) for source, columns in self.broken.items()}
        return {
            **asdict(self),
            "drifted": list(self.drifted),
            "released": list(self.released),
            "outlier_columns": list(self.outlier_columns),
            "custom_checks": [asdict(check) for check in self.custom_checks],
            "broken": broken,
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DayNumbers:
        """Also of records with more in them, or made before some of it was measured."""
        known = {each.name for each in fields(cls)}
        lists = {name: tuple(raw.get(name, ())) for name in ("drifted", "released", "outlier_columns")}
        broken = {source: tuple(columns) for source, columns in raw.get("broken", {}).items()}
        kept = {each.name for each in fields(CustomCheck)}
        checks = tuple(
            CustomCheck(**{name: value for name, value in check.items() if name in kept})
            for check in raw.get("custom_checks", ())
        )
        given = {
            "has_outcomes": raw["labelled"] > 0,
            **raw,
            **lists,
            "broken": broken,
            "custom_checks": checks,
        }
        return cls(**{name: value for name, value in given.items() if name in known})


def assemble(
    features: pa.Table, predictions: pa.Table, outcomes: pa.Table | None, model: ModelConfig
) -> pa.Table:
    """The predictions that were made, with the features they were made from and the label, null until it is known.

    Args:
        features: the key and all features; predictions: as `sluice_ml.scoring.score` returns; outcomes: the key and the label,
            None where they have not landed. Each has a key at most once.

    Returns:
        One row a prediction, in their order: key, `ds`, the features, `score`, `baseline_score`, `model_version` and the label (bool).

    Raises:
        RowsUnusableError: a column is missing, or a prediction has no features.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require(features, [model.key, model.baseline, *model.features])
    require(predictions, [model.key, "ds", "score", "model_version"])
    place = places(predictions, features, model.key)
    if place.null_count:
        raise RowsUnusableError(
            f"{place.null_count} of {len(place)} predictions have no features.",
            where=model.key,
            todo="give the features that the predictions were made from",
        )
    aged = "input_age_days" in predictions.column_names
    rows = predictions.select(
        [model.key, "ds", "score", "model_version", *(["input_age_days"] if aged else [])]
    )
    for name in model.features:
        rows = rows.append_column(name, features[name].take(place))
    baseline = BaselineModel(model.baseline, model.baseline_default).score(features)
    rows = rows.append_column(BASELINE_SCORE, pa.array(baseline).take(place))
    label = pa.nulls(rows.num_rows, pa.bool_())
    if outcomes is not None:
        require(outcomes, [model.key, model.label])
        label = pc.cast(outcomes[model.label], pa.bool_()).take(places(predictions, outcomes, model.key))
    return rows.append_column(model.label, label)


def places(rows: pa.Table, others: pa.Table, key: str) -> pa.Array:
    """Row number in `others` of each key of `rows`; null where it is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.cast(others[key], pa.string()).combine_chunks()
    return pc.index_in(pc.cast(rows[key], pa.string()).combine_chunks(), value_set=known)
