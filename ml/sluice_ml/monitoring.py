"""What the newest monitored day asks for, in the light of those before it. Pure: numbers in, a decision out.

A model is only judged by days that say something about it: days that this version scored, in time, from fresh and whole inputs, and
not on a release. What is found has a name (`sluice_ml.findings`); what of it asks for a new model, and whether one is asked for now, is
decided by `sluice_ml.retraining`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sluice_ml import estimation, performance, shifts
from sluice_ml.config import MonitoringConfig
from sluice_ml.cumulated import usual_lead
from sluice_ml.findings import (
    Action,
    Finding,
    of_custom_checks,
    of_left_out,
    of_outcomes,
    of_reference,
    overdue_days,
    says_something,
)
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.retraining import CAUSES, Cause, Event, answer

# Days that a decision may look back on.
HISTORY_DAYS = 200


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
    findings: tuple[Finding, ...] = ()


def decide(
    history: Sequence[DayNumbers],
    config: MonitoringConfig,
    *,
    champion_lead: float | None,
    champion_days: int,
    model_age_days: int | None,
    past: Iterable[Event] = (),
    not_asked: str = "",
    run_day: str = "",
) -> MonitorDecision:
    """Decide on the newest day of `history`, in the light of those before it.

    Args:
        history: days in any order; of one day given twice the later in the sequence counts.
        champion_lead: how much the champion's `daily_auc` was above the baseline's on its held-out days, None where there is no
            champion.
        champion_days: how many held-out days that were.
        model_age_days: days since the champion's training, None where there is none.
        past: what happened to the model until now, in the order in which it happened.
        not_asked: why no model is asked for, whatever calls for one; "" where one may be.
        run_day: the day of the run that decides, on which there may have been nothing to predict; "" for the newest day.

    Raises:
        ValueError: `history` is empty.
    """
    if not history:
        raise ValueError("no day to decide on")
    days = sorted({day.ds: day for day in history}.values(), key=lambda day: day.ds)
    newest, events = days[-1], tuple(past)
    same_version = [day for day in days if day.model_version == newest.model_version]
    mine = [day for day in same_version if says_something(day)]
    judged = [day for day in mine if day.labelled >= config.min_rows and day.auc is not None]
    usual = (
        None if champion_lead is None else usual_lead(judged, champion_lead, champion_days, config.lead_days)
    )
    sums = performance.cumulate_all(judged, usual, config)
    shifted = shifts.of_inputs(mine, config)
    found = [
        *of_left_out(same_version, newest, config),
        *shifts.of_pipes(newest),
        *shifted,
        *shifts.of_outliers(days, config),
        *performance.found(judged, sums, usual, config, inputs_shifted=bool(shifted)),
        *_of_age(model_age_days, events, config),
        *of_outcomes(days, newest, config),
        *of_reference(days, newest),
        *of_custom_checks(days, run_day or newest.ds),
    ]
    causes = {finding.cause for finding in found}
    wanted = tuple(cause for cause in CAUSES if cause in causes)
    reply = answer(wanted, date.fromisoformat(newest.ds), events, config.retraining)
    reasons = [finding.sentence for finding in found] or [_calm(newest, champion_lead, config)]
    if wanted:
        reasons.append(not_asked if not_asked and reply.ask else reply.why)
    asks = reply.ask and not not_asked
    warned = any(finding.action == "warn" for finding in found)
    off = estimation.error(judged)
    numbers = {
        "ds": newest.ds,
        "model_version": newest.model_version,
        "auc": newest.auc,
        "baseline_auc": newest.baseline_auc,
        "champion_lead": champion_lead,
        "usual_lead": usual,
        "sums": sums.as_dict(),
        "shift": newest.shift,
        "model_age_days": model_age_days,
        "days_with_outcomes": len(judged),
        "estimate_off": off and off[0],
        "outcomes_overdue": overdue_days(days, newest, config),
        "days_released": [day.ds for day in same_version if day.released],
        "days_made_late": [day.ds for day in same_version if day.made_late],
        "found": [finding.name for finding in found],
        "asked_again_from": reply.until.isoformat() if reply.until else None,
    }
    return MonitorDecision(
        "retrain" if asks else "warn" if warned else "nothing",
        tuple(reasons),
        numbers,
        wanted,
        reply.person,
        reply.since.isoformat() if reply.since else "",
        tuple(found),
    )


def _of_age(model_age_days: int | None, past: Sequence[Event], config: MonitoringConfig) -> list[Finding]:
    """No model, although somebody has trained one, or an old one: whether a newer one is better only a training can say."""
    ends = [event for event in past if event.kind in ("refused", "promoted", "rolled_back")]
    if model_age_days is None and ends and all(event.kind == "refused" for event in ends):
        sentence = f"No candidate has become champion yet; the last was refused on {ends[-1].on}."
        return [Finding("no champion", "nothing", sentence, "no_champion")]
    if model_age_days is None or model_age_days <= config.max_model_age_days:
        return []
    sentence = f"The model is {model_age_days} days old (limit {config.max_model_age_days})."
    return [Finding("old model", "nothing", sentence, "age")]


def _calm(newest: DayNumbers, champion_lead: float | None, config: MonitoringConfig) -> str:
    if champion_lead is None:
        return "There is no champion yet: the baseline scores, and there is nothing to compare it with."
    if newest.labelled < config.min_rows:
        return f"{newest.labelled} outcomes are known; {config.min_rows} are needed to judge the day. Its inputs are within limits."
    return "Everything is within limits."
