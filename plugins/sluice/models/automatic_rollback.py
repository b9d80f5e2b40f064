"""A roll-back that the gate of predictions makes (`model.rollback`): the champion before scores again, because it passes where this one fails.

The rule kept here: it is made only where the champion alone can be at fault. What the gate held must be its own scores, in time, from whole
and fresh inputs, while nothing else is held; and the champion before must pass the same gate on the same rows. It happens to a version
once. Whatever is not so is left to a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice import gates, ledger
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, inputs
from sluice.ledger import Entry, champion, records
from sluice.ledger.model_records import RolledBack
from sluice.models import roles, rolled_back, scorer, scoring
from sluice_ml.errors import ModelDamagedError, ModelUnknownError, RowsUnusableError

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice.models.roles import Roles

# Who answers for it, in the ledger.
BY = "the gate of predictions"


def roll_back(spec: Pipeline, day: str, run: Run, *, others: str = "") -> Entry[RolledBack] | str:
    """Take back the champion whose predictions of a day are held; returns the entry, or why it stays, in a sentence.

    Args:
        others: what else is held of the pipeline, in words.
    """
    held, now = _held(spec, day), roles.current(spec)
    if held is None:
        return f"No predictions of {day} are held."
    manifest = batches.load(spec.pipeline, PREDICTIONS, held.record.batch_id)
    why_not = _why_not(spec, day, manifest, now)
    if others and not why_not:
        why_not = f"The fault may be in the data: {others} is held, too."
    if why_not or now.previous is None:
        return why_not or "There was no model before it."
    try:
        before = scorer.usable(spec, now.previous, None)
        choice = scorer.Choice(before, now.champion, now.since, scored_as="previous")
        again = scoring.stage_predictions(spec, [day], run, by=choice)
    except (ModelDamagedError, ModelUnknownError, RowsUnusableError) as error:
        return f"Version {now.previous}, which was champion before, cannot score {day}: {error.what}"
    if _features(spec, again) != _features(spec, manifest):
        return f"{spec.model.features_table} {day} was published anew since: its run scores it again."
    verdict = gates.run(spec, again)
    if not verdict.publishes:
        return f"Version {now.previous}, which was champion before, does not pass on the same rows either: {verdict.sentence}"
    failed = " ".join(str(reason) for reason in held.record.reasons)
    why = (
        f"it held the predictions of {day} that version {now.champion} had made ({failed}), and passes those that version {now.previous} "
        f"makes of the same rows ({verdict.outcome}, evidence {verdict.report})"
    )
    return roles.roll_back(spec, str(now.previous), by=BY, why=why, run=run, held=manifest.batch_id)


def _held(spec: Pipeline, day: str) -> Entry[records.Held] | None:
    """What the gate has held of a day, where that is the newest that happened to it; not where the gate itself broke."""
    entries = ledger.entries(pipeline=spec.pipeline, subject=PREDICTIONS, partition=day)
    newest = next((one for one in entries if one.kind in ("verdict", "held", "published")), None)
    return newest if newest and newest.kind == "held" and newest.record.outcome == "HOLD" else None


def _why_not(spec: Pipeline, day: str, manifest: Manifest, now: Roles) -> str:
    """Why the champion of now must not be taken back for a batch of predictions, whatever the one before does; "" where it may."""
    made = next(iter(inputs.of(manifest, inputs.Model)), None)
    move = next(iter(champion.decisions(spec.pipeline, spec.model.name)), None)
    if made is None or made.scored_as != "champion" or made.promoted != now.since or move is None:
        return f"Not the champion of now has made the predictions of {day}."
    if move.kind != "promoted" or now.previous is None:
        return f"{roles.named(now.champion).capitalize()} was promoted over no model, or came back by a roll-back: who scores is a person's decision."
    taken = ledger.entries(RolledBack, pipeline=spec.pipeline, subject=spec.model.name)
    if any(one.record.held and one.record.previous == now.champion for one in taken):
        return f"The gate has taken version {now.champion} back once, and a person has let it score again."
    if not rolled_back.is_in_time(spec, day):
        return f"The time of the predictions of {day} is over: nothing would be made again."
    features = inputs.snapshot_of(manifest, spec.model.features_table)
    batch_id = (features.batches or {}).get(day) if features else None
    if batch_id is None or manifest.waived_inputs or manifest.missing_history:
        return "The fault may be in the data: its inputs are not whole, or were released by a person."
    if inputs.age_days(batches.load(spec.pipeline, spec.model.features_table, batch_id)):
        return "The fault may be in the data: its inputs are older than they should be."
    return ""


def _features(spec: Pipeline, manifest: Manifest) -> dict[str, str] | None:
    """Day -> the batch of features that predictions were made of."""
    read = inputs.snapshot_of(manifest, spec.model.features_table)
    return read.batches if read else None
