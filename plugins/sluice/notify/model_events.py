"""Events about who scores: a candidate that was refused, a challenger that a person has to decide on, training that mends nothing, a roll-back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from sluice.core import clock
from sluice.core.links import page_url
from sluice.core.partitions import Partition
from sluice.core.printable import printable
from sluice.core.settings import settings
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ledger import champion
from sluice.ledger.model_records import ROLLBACK_ANSWER_WITHIN
from sluice.ledger.records import EndsWith
from sluice.models import roles
from sluice.notify import steps
from sluice.notify.events import Event

if TYPE_CHECKING:
    from sluice.ledger import Entry
    from sluice.ledger.model_records import Choice, RolledBack
    from sluice.models.rollback_approval import Asked


# What to do about a candidate that was refused: by the gate, at the end of its shadow, or by a person.
_AFTER_REFUSAL = {
    "gate": (
        "Train again when there is more data, or when a feature or a parameter has been changed.",
        "If a limit of the gate is wrong for this data, change it under `model.gate` in the pipeline's YAML, and train again.",
    ),
    "shadow": (
        "It had passed the gate, whose limits have no part in this. Monitoring asks for a new model when one is due; train "
        "again when a feature or a parameter has been changed.",
        "If too few days counted, or the noise of so few was too large, declare more `model.shadow_days`.",
    ),
    "approval": (
        "It had passed the gate and its shadow. Monitoring asks for a new model when one is due; a person may train one before.",
    ),
}


def of_refusal(spec: Pipeline, decided: Choice, *, partition: str | None, task_url: str) -> Event:
    """A candidate that did not earn the place of the champion. It is told once, and ends with nothing."""
    version, numbers = decided.version, decided.numbers
    stage = "approval" if "approval" in numbers else "shadow" if "entered_shadow" in numbers else "gate"
    return Event(
        kind="refused_model",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=partition,
        cause=f"version {version}",
        owner=spec.owner,
        effect="Predictions go on as before, by the model or the rule that made them until now.",
        summary=f"Candidate version {version} was refused. " + " ".join(decided.reasons),
        facts={"Version": str(version)},
        next_steps=(
            "Read on the page of the model, or with `sluice model history`, what each check found and which limit it was held to.",
            *_AFTER_REFUSAL[stage],
        ),
        links={"Model": page_url("model", spec.pipeline), "Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_approval(spec: Pipeline, decided: Choice, *, partition: str | None, task_url: str) -> Event:
    """A challenger of a critical model that waits for a person. It is told once, and ends with nothing: the answer is another event."""
    dag_id = f"{spec.pipeline}_promote"
    return Event(
        kind="approval_requested",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=partition,
        cause=f"version {decided.version}",
        owner=spec.owner,
        effect=f"Version {decided.version} becomes champion if a person approves it. Until then predictions go on as before.",
        summary=f"Version {decided.version} passed the gate and its shadow. " + " ".join(decided.reasons),
        facts={"Version": str(decided.version)},
        next_steps=(
            "Look at what each check found, on the page of the model.",
            "Then open the form, choose Approve or Reject, and give the reason. Who approves answers for it.",
            f"If no form is there, {dag_id} was paused: unpause and trigger it.",
        ),
        links={
            "Approve or reject": f"{settings().ui_url}/dags/{dag_id}/required_actions",
            "Model": page_url("model", spec.pipeline),
            "Task": task_url,
        },
        occurred_at=clock.utc_now(),
    )


def of_stuck_model(spec: Pipeline, why: str, *, since: str, task_url: str) -> Event:
    """A model that training does not mend, or no candidate can replace. It is told once, and ends with nothing.

    Args:
        why: a sentence of `sluice_ml.retraining`.
        since: the first day of the series (YYYY-MM-DD): another series is another fault.
    """
    name = spec.pipeline
    where, back = steps.way_back(spec, "VERSION", "let an earlier champion score again")
    return Event(
        kind="stuck_model",
        pipeline=name,
        subject=spec.model.name,
        partition=None,
        cause=f"since {since}",
        owner=spec.owner,
        effect="Predictions go on by the present champion.",
        summary=why,
        facts={"Since": since},
        next_steps=(
            "Look at what monitoring found in these days: the reports under Evidence, and `sluice ledger --kind decided`.",
            f"If an earlier champion was better, let it score again: {where}. "
            f"Otherwise change a feature or a parameter, and trigger {name}_train.",
            "A champion that you choose starts the count again.",
        ),
        commands={
            f"sluice model show {name}": "every version with its role",
            **back,
        },
        links={"Model": page_url("model", spec.pipeline), "Task": task_url},
        occurred_at=clock.utc_now(),
    )


def of_rollback_request(spec: Pipeline, asked: Asked, *, run_id: str, task_url: str) -> Event:
    """A roll-back of a critical model that waits for a person. It is told once a run, and ends with nothing: the answer is another event."""
    dag_id, to, now = f"{spec.pipeline}_rollback", roles.named(asked.version), roles.named(asked.champion)
    again = (
        f"Predictions of {', '.join(asked.again)} are made again then; those of earlier days stay as they were made."
        if asked.again
        else "No predictions are made again: their time is over."
    )
    return Event(
        kind="rollback_requested",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=None,
        cause=f"run {run_id}",
        owner=spec.owner,
        effect=f"{to.capitalize()} scores again if a person approves it. Until then predictions go on by {now}. {again}",
        summary=f"{asked.by} asks for {to} in place of {now}: {printable(asked.why)}",
        facts={
            "Asked for": to,
            "Champion": now,
            "Waits": f"{ROLLBACK_ANSWER_WITHIN // timedelta(hours=1)} hours",
        },
        next_steps=(
            "Look at who scored when, and what each version was measured at, on the page of the model.",
            "Then open the form, and choose Approve or Reject. Who approves answers for it.",
        ),
        commands={f"sluice model history {spec.pipeline}": "who scored when, and who decided that"},
        links={
            "Approve or reject": f"{settings().ui_url}/dags/{dag_id}/required_actions",
            "Model": page_url("model", spec.pipeline),
            "Task": task_url,
        },
        occurred_at=clock.utc_now(),
    )


def roll_back_cause(entry: Entry[RolledBack]) -> str:
    return f"entry {entry.seq}"


def of_roll_back(
    spec: Pipeline,
    entry: Entry[RolledBack],
    *,
    made: Sequence[str],
    again: Sequence[str],
    task_url: str,
) -> Event:
    """A person, or the gate of predictions, took a champion back. It is over when the predictions that are still in time are made again, or is told once where none are.

    Args:
        made: days of the published predictions that it has made, oldest first.
        again: days whose predictions are made again, because their time is not over: those that it has made, also held ones.
    """
    dag_id, decided = f"{spec.pipeline}_score", entry.record
    before, after = (
        "the baseline" if version is None else f"version {version}"
        for version in (decided.previous, decided.version)
    )
    # Of several decisions in a row the last names who scores, and the next ended this one.
    moves = champion.decisions(spec.pipeline, spec.model.name)
    scores = roles.named(moves[0].record.version)
    ended_by = next((f"entry {move.seq}" for move in reversed(moves) if move.seq > entry.seq), "")
    ended = f" {ended_by.capitalize()} of the ledger has ended it since, and {scores} scores now." * bool(
        ended_by
    )
    days = f"{made[0]} to {made[-1]}" if made[1:] else "".join(made)
    stays = "They stay as they were made: they are what was known and acted on."
    effect = (
        f"Predictions of {len(made)} day{'s' if made[1:] else ''} that readers see ({days}) were made by {before}. "
        if made
        else f"Nothing that is published was made by {before}. "
    ) + (
        f"Those of {', '.join(again)} are made again by {scores}, and shown when they pass their gate."
        if again
        else stays
        if made
        else ""
    )
    return Event(
        kind="rolled_back",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=str(Partition(again[0], again[-1])) if again else None,
        cause=roll_back_cause(entry),
        owner=spec.owner,
        for_stakeholders=True,
        ends_with=EndsWith.of("published", PREDICTIONS) if again else EndsWith(),
        effect=effect.strip(),
        summary=" ".join(decided.reasons) + ended,
        facts={
            "Before": before,
            "Gave way to": after if ended_by else "",
            "Ended by": ended_by,
            "Scores": scores,
        },
        next_steps=(
            *(
                [f"Nothing, if {dag_id} of {again[0]} succeeds; while it is paused, unpause it."]
                if again
                else ["Nothing has to be run."]
            ),
            "Whoever acted on these predictions decides what follows: each row says which version made it (`model_version`)."
            if made
            else "No published predictions were made by it.",
            f"Monitoring asks for a new model when one is due; {spec.pipeline}_train makes one before.",
        ),
        commands={f"sluice model history {spec.pipeline}": "who scored when, and who decided that"},
        links={"Model": page_url("model", spec.pipeline), "Task": task_url},
        occurred_at=clock.utc_now(),
    )
