"""What a day looked like, and whether that asks for attention. Pure: numbers in, a decision out.

One odd day is weather. A model is only questioned when the last `persistence_days` days that count all say so; a day
counts when it has `min_rows` rows (labelled ones, where the question is how well the model did). Days that another model
version scored do not count: they say nothing about this one. Nor does a day that was predicted after its time, nor one whose
rows rest on released data: what a person let pass although it broke a rule is not the model's fault. Both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from sluice_ml.config import ModelConfig, MonitoringConfig
from sluice_ml.errors import RowsUnusableError
from sluice_ml.model import require

if TYPE_CHECKING:
    import pyarrow as pa

# Days that a reason names one by one, the newest.
_NAMED = 5

Action = Literal["nothing", "warn", "retrain"]


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
    # What of it was published on a person's word although it had not passed its rules: one line each.
    released: tuple[str, ...] = ()
    # Its outcomes are published, even if none of them is known (a day on which everything was cancelled).
    has_outcomes: bool = False
    # Its predictions were made after their time: what became of them is not asked.
    made_late: bool = False

    def as_dict(self) -> dict[str, Any]:
        """JSON-safe; `DayNumbers.from_dict` reads it back."""
        return {**asdict(self), "drifted": list(self.drifted), "released": list(self.released)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DayNumbers:
        """Also of records with more in them, or made before some of it was measured."""
        known = {each.name for each in fields(cls)}
        lists = {name: tuple(raw.get(name, ())) for name in ("drifted", "released")}
        given = {"has_outcomes": raw["labelled"] > 0, **raw, **lists}
        return cls(**{name: value for name, value in given.items() if name in known})


@dataclass(frozen=True)
class MonitorDecision:
    """What to do, why in plain sentences, and the numbers (JSON-safe) it rests on."""

    action: Action
    reasons: tuple[str, ...]
    numbers: dict[str, Any]


def assemble(
    features: pa.Table, predictions: pa.Table, outcomes: pa.Table | None, model: ModelConfig
) -> pa.Table:
    """The predictions that were made, with the features they were made from and the label, null until it is known.

    Args:
        features: the key and all features; predictions: as `sluice_ml.scoring.score` returns; outcomes: the key and the label,
            None where they have not landed. Each has a key at most once.

    Returns:
        One row a prediction, in their order: key, `ds`, the features, `score`, `model_version` and the label (bool).

    Raises:
        RowsUnusableError: a column is missing, or a prediction has no features.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require(features, [model.key, *model.features])
    require(predictions, [model.key, "ds", "score", "model_version"])
    place = _places(predictions, features, model.key)
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
    label = pa.nulls(rows.num_rows, pa.bool_())
    if outcomes is not None:
        require(outcomes, [model.key, model.label])
        label = pc.cast(outcomes[model.label], pa.bool_()).take(_places(predictions, outcomes, model.key))
    return rows.append_column(model.label, label)


def _places(rows: pa.Table, others: pa.Table, key: str) -> pa.Array:
    """Row number in `others` of each key of `rows`; null where it is not there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.cast(others[key], pa.string()).combine_chunks()
    return pc.index_in(pc.cast(rows[key], pa.string()).combine_chunks(), value_set=known)


def decide(
    history: Sequence[DayNumbers],
    config: MonitoringConfig,
    *,
    champion_auc: float | None,
    model_age_days: int | None,
) -> MonitorDecision:
    """Decide on the newest day of `history`, in the light of those before it.

    Args:
        history: days in any order; of one day given twice the later in the sequence counts.
        champion_auc: the champion's `daily_auc` on its held-out days, None where there is no champion.
        model_age_days: days since the champion's training, None where there is none.

    Raises:
        ValueError: `history` is empty.
    """
    if not history:
        raise ValueError("no day to decide on")
    days = sorted({day.ds: day for day in history}.values(), key=lambda day: day.ds)
    newest = days[-1]
    same_version = [day for day in days if day.model_version == newest.model_version]
    mine = [day for day in same_version if not day.released and not day.made_late]
    found = [*_of_released(same_version, newest, config), *_of_late(same_version, newest, config)]

    drifting = [day for day in mine if day.rows >= config.min_rows]
    found += _judge(
        drifting,
        lambda day: day.drift_share,
        (config.drift_share_warn, config.drift_share_retrain),
        config.persistence_days,
        lambda share, limit: f"{share:.0%} of the features have drifted (limit {limit:.0%})",
    )
    judged = [day for day in mine if day.labelled >= config.min_rows and day.auc is not None]
    if champion_auc is not None:
        reached = champion_auc
        found += _judge(
            judged,
            lambda day: reached - (day.auc or 0.0),
            (config.auc_drop_warn, config.auc_drop_retrain),
            config.persistence_days,
            lambda drop, limit: (
                f"the AUC is {drop:.3f} below the {reached:.3f} of the held-out days (limit {limit:.3f})"
            ),
        )
    if model_age_days is not None and model_age_days > config.max_model_age_days:
        found.append(
            ("retrain", f"The model is {model_age_days} days old (limit {config.max_model_age_days}).")
        )
    overdue = [
        day.ds
        for day in days
        if not day.has_outcomes
        and not day.made_late
        and _days_between(day.ds, newest.ds) >= config.outcome_wait_days
    ]
    if overdue:
        more = f" and {len(overdue) - _NAMED} more" if len(overdue) > _NAMED else ""
        named = ", ".join(overdue[-_NAMED:])
        found.append(("warn", f"No outcomes of {named}{more} after {config.outcome_wait_days} days."))
    rank: dict[Action, int] = {"nothing": 0, "warn": 1, "retrain": 2}
    action: Action = max((action for action, _ in found), key=rank.__getitem__, default="nothing")
    reasons = tuple(reason for _, reason in found) or (_calm(newest, champion_auc, config),)
    numbers = {
        "ds": newest.ds,
        "model_version": newest.model_version,
        "auc": newest.auc,
        "champion_auc": champion_auc,
        "auc_drop": None if newest.auc is None or champion_auc is None else champion_auc - newest.auc,
        "drift_share": newest.drift_share,
        "model_age_days": model_age_days,
        "days_with_features": len(drifting),
        "days_with_outcomes": len(judged),
        "outcomes_overdue": overdue,
        "days_released": [day.ds for day in same_version if day.released],
        "days_made_late": [day.ds for day in same_version if day.made_late],
    }
    return MonitorDecision(action, reasons, numbers)


def _of_released(
    days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig
) -> list[tuple[Action, str]]:
    """One warning about the days of late that do not count, because their rows rest on a release."""
    left_out = [
        day for day in days if day.released and _days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if not left_out:
        return []
    told = [day.ds if day.auc is None else f"{day.ds} (AUC {day.auc:.3f})" for day in left_out]
    what = "; ".join(dict.fromkeys(line for day in left_out for line in day.released))
    return [
        (
            "warn",
            f"Left out of the judgement of the model: {', '.join(told)}. Rows of these days rest on released data: "
            f"{what}.",
        )
    ]


def _of_late(
    days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig
) -> list[tuple[Action, str]]:
    """One sentence about the days of late that do not count, because their predictions were made after their time."""
    late = [
        day.ds
        for day in days
        if day.made_late and _days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if not late:
        return []
    more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
    named = ", ".join(late[-_NAMED:])
    return [("nothing", f"Predicted after their time, and so in no measure: {named}{more}.")]


def _judge(
    days: Sequence[DayNumbers],
    measure: Callable[[DayNumbers], float],
    limits: tuple[float, float],
    persistence: int,
    say: Callable[[float, float], str],
) -> list[tuple[Action, str]]:
    """One measure against its limits (warn, retrain): retrain if the last days all reached the upper one; warn if they
    all reached the lower one, or the last day alone the upper one."""
    if not days:
        return []
    warn, retrain = limits
    last = [measure(day) for day in days[-persistence:]]
    lowest, newest, ds = min(last), last[-1], days[-1].ds
    if len(last) == persistence and lowest >= retrain:
        return [
            (
                "retrain",
                f"On each of the last {persistence} days that count, to {ds}: {say(lowest, retrain)}, or more.",
            )
        ]
    if len(last) == persistence and lowest >= warn:
        return [
            (
                "warn",
                f"On each of the last {persistence} days that count, to {ds}: {say(lowest, warn)}, or more.",
            )
        ]
    if newest >= retrain:
        return [("warn", f"On {ds} alone: {say(newest, retrain)}.")]
    if newest >= warn:
        return [
            (
                "nothing",
                f"On {ds} alone: {say(newest, warn)}. A warning takes {persistence} such days in a row.",
            )
        ]
    return []


def _calm(newest: DayNumbers, champion_auc: float | None, config: MonitoringConfig) -> str:
    if champion_auc is None:
        return "There is no champion yet: the baseline scores, and there is nothing to compare it with."
    if newest.labelled < config.min_rows:
        return f"{newest.labelled} outcomes are known; {config.min_rows} are needed to judge the day. Drift is within limits."
    return "Everything is within limits."


def _days_between(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days
