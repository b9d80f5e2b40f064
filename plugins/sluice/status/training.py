"""What became of the requests for a new model: read from the ledger's decisions."""

from __future__ import annotations

from collections.abc import Sequence

from sluice import ledger
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry
from sluice.status.parts import TRAINING, Item, State

# Kinds of entries with which a training ends for good.
_DECIDED = ("promoted", "refused", "training_skipped")
# The training set is not fit to learn from: a person has to look.
_REFUSED = "training_refused"


def requests(spec: Pipeline, monitored: Sequence[Entry]) -> dict[str, Item]:
    """Run day -> what became of the request that monitoring made on it.

    A training as of a day answers the requests of that day and of earlier ones that were made before it was decided.

    Args:
        monitored: the entries of kind `decided`, newest first.
    """
    asked = _asked(spec, monitored)
    if not asked:
        return {}
    answers = [entry for kind in (*_DECIDED, _REFUSED) for entry in _entries(spec, kind)]
    states: dict[str, tuple[State, str]] = {}
    newest = ""
    for day in sorted(asked, reverse=True):
        mine = [one for one in answers if (one.partition or "") >= day and one.seq > asked[day]]
        refused = [one for one in mine if one.kind == _REFUSED]
        if len(refused) < len(mine):
            states[day] = ("published", "")
        elif newest:
            states[day] = ("blocked", f"the request of {newest} is newer, and answers it")
        else:
            newest = day
            said = max(refused, key=lambda one: one.seq).record.what if refused else ""
            states[day] = ("held", said) if refused else ("ready", "monitoring asked for a new model")
    return {day: Item("train", TRAINING, day, day, *states[day]) for day in states}


def _asked(spec: Pipeline, monitored: Sequence[Entry]) -> dict[str, int]:
    """Run day -> number of the entry that asked; the run that decided so may have ended before it recorded the request."""
    decided = {entry.partition or "": entry for entry in reversed(monitored)}
    asked = {day: entry.seq for day, entry in decided.items() if entry.record.action == "retrain"}
    for entry in reversed(_entries(spec, "retrain_requested")):
        day = entry.partition or ""
        asked[day] = max(entry.seq, asked.get(day, 0))
    return asked


def _entries(spec: Pipeline, kind: str) -> list[Entry]:
    return ledger.entries(kind=kind, pipeline=spec.pipeline, subject=spec.model.name)
