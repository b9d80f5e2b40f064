"""What a day looked like, and whether that asks for attention. Pure: numbers in, a decision out.

One odd day is weather. A model is only questioned when the last `persistence_days` days that count all say so; a day
counts when it has `min_rows` rows (labelled ones, where the question is how well the model did). Days that another model
version scored do not count: they say nothing about this one. Nor does a day that was predicted after its time, nor one whose
rows rest on released data: what a person let pass although it broke a rule is not the model's fault. Both are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sluice_ml.config import MonitoringConfig
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.retraining import CAUSES, Cause, Event, answer

# Days that a reason names one by one, the newest.
_NAMED = 5
_PAUSED = "No model is asked for, because training is paused (`model.learning` in the pipeline's YAML)."

Action = Literal["nothing", "warn", "retrain"]


@dataclass(frozen=True)
class Finding:
    """Something about the newest days, in a sentence; `cause` is what a new model would be asked for because of it."""

    action: Literal["nothing", "warn"]
    sentence: str
    cause: Cause | None = None


@dataclass(frozen=True)
class MonitorDecision:
    """What to do, why in plain sentences, and the numbers (JSON-safe) it rests on.

    `wanted` is what calls for a new model, whether one is asked for now or not. `person` says why a person is needed ("" where
    none is), `person_since` with which day the series began that he is asked about, once.
    """

    action: Action
    reasons: tuple[str, ...]
    numbers: dict[str, Any]
    wanted: tuple[Cause, ...] = ()
    person: str = ""
    person_since: str = ""


def decide(
    history: Sequence[DayNumbers],
    config: MonitoringConfig,
    *,
    champion_auc: float | None,
    model_age_days: int | None,
    past: Iterable[Event] = (),
    paused: bool = False,
) -> MonitorDecision:
    """Decide on the newest day of `history`, in the light of those before it.

    Args:
        history: days in any order; of one day given twice the later in the sequence counts.
        champion_auc: the champion's `daily_auc` on its held-out days, None where there is no champion.
        model_age_days: days since the champion's training, None where there is none.
        past: what happened to the model until now, in the order in which it happened.
        paused: nothing is trained, whoever asks.

    Raises:
        ValueError: `history` is empty.
    """
    if not history:
        raise ValueError("no day to decide on")
    days = sorted({day.ds: day for day in history}.values(), key=lambda day: day.ds)
    newest = days[-1]
    same_version = [day for day in days if day.model_version == newest.model_version]
    mine = [day for day in same_version if not (day.released or day.made_late or day.input_age_days)]
    found = [
        *_of_released(same_version, newest, config),
        *_of_late(same_version, newest, config),
        *_of_stale(same_version, newest, config),
    ]

    drifting = [day for day in mine if day.rows >= config.min_rows]
    found += _judge(
        drifting,
        lambda day: day.drift_share,
        (config.drift_share_warn, config.drift_share_retrain),
        config.persistence_days,
        lambda share, limit: f"{share:.0%} of the features have drifted (limit {limit:.0%})",
        # A shift of the inputs alone does not say that the model is worse.
        None,
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
            "performance",
        )
    if model_age_days is not None and model_age_days > config.max_model_age_days:
        # Nothing is wrong with it yet: whether a newer one is better, only a training can say.
        found.append(
            Finding(
                "nothing",
                f"The model is {model_age_days} days old (limit {config.max_model_age_days}).",
                "age",
            )
        )
    overdue = [
        day.ds
        for day in days
        if not day.has_outcomes
        and not day.made_late
        and _days_between(day.ds, newest.ds) >= config.outcome_wait_days
    ]
    if overdue:
        found.append(
            Finding("warn", f"No outcomes of {_listed(overdue)} after {config.outcome_wait_days} days.")
        )

    causes = {finding.cause for finding in found}
    wanted = tuple(cause for cause in CAUSES if cause in causes)
    reply = answer(wanted, date.fromisoformat(newest.ds), past, config.retraining)
    warned = any(finding.action == "warn" for finding in found)
    reasons = [finding.sentence for finding in found] or [_calm(newest, champion_auc, config)]
    if wanted:
        reasons.append(_PAUSED if paused and reply.ask else reply.why)
    asks = reply.ask and not paused
    action: Action = "retrain" if asks else "warn" if warned else "nothing"
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
        "asked_again_from": reply.until.isoformat() if reply.until else None,
    }
    return MonitorDecision(
        action,
        tuple(reasons),
        numbers,
        wanted,
        reply.person,
        reply.since.isoformat() if reply.since else "",
    )


def _of_released(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[Finding]:
    """One warning about the days of late that do not count, because their rows rest on a release."""
    left_out = [
        day for day in days if day.released and _days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if not left_out:
        return []
    told = [day.ds if day.auc is None else f"{day.ds} (AUC {day.auc:.3f})" for day in left_out]
    what = "; ".join(dict.fromkeys(line for day in left_out for line in day.released))
    return [
        Finding(
            "warn",
            f"Left out of the judgement of the model: {', '.join(told)}. Rows of these days rest on released data: "
            f"{what}.",
        )
    ]


def _of_late(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[Finding]:
    """One sentence about the days of late that do not count, because their predictions were made after their time."""
    late = [
        day.ds
        for day in days
        if day.made_late and _days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if not late:
        return []
    return [Finding("nothing", f"Predicted after their time, and so in no measure: {_listed(late)}.")]


def _of_stale(days: Sequence[DayNumbers], newest: DayNumbers, config: MonitoringConfig) -> list[Finding]:
    """One warning about the days of late that do not count, because they were predicted while an input was held or missing."""
    stale = [
        day.ds
        for day in days
        if day.input_age_days and _days_between(day.ds, newest.ds) <= config.outcome_wait_days
    ]
    if not stale:
        return []
    return [
        Finding(
            "warn",
            f"Left out of the judgement of the model: {_listed(stale)}, predicted from older data than it should have had.",
        )
    ]


def _listed(days: Sequence[str]) -> str:
    """The newest of these days, and how many more there are."""
    more = f" and {len(days) - _NAMED} more" if len(days) > _NAMED else ""
    return f"{', '.join(days[-_NAMED:])}{more}"


def _judge(
    days: Sequence[DayNumbers],
    measure: Callable[[DayNumbers], float],
    limits: tuple[float, float],
    persistence: int,
    say: Callable[[float, float], str],
    cause: Cause | None,
) -> list[Finding]:
    """One measure against its limits (warn, retrain): a cause to retrain if the last days all reached the upper one; a warning if
    they all reached the lower one, or the last day alone the upper one."""
    if not days:
        return []
    warn, retrain = limits
    last = [measure(day) for day in days[-persistence:]]
    lowest, newest, ds = min(last), last[-1], days[-1].ds
    if len(last) == persistence and lowest >= warn:
        limit = retrain if lowest >= retrain else warn
        return [
            Finding(
                "warn",
                f"On each of the last {persistence} days that count, to {ds}: {say(lowest, limit)}, or more.",
                cause if lowest >= retrain else None,
            )
        ]
    if newest >= retrain:
        return [Finding("warn", f"On {ds} alone: {say(newest, retrain)}.")]
    if newest >= warn:
        return [
            Finding(
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
