"""What became of the requests for a new model: read from the ledger's decisions; and a person's decision to give one up."""

from __future__ import annotations

from collections.abc import Sequence

from sluice import holds, ledger, waivers
from sluice.core.errors import SkipRefusedError
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry, model_records, records, skips
from sluice.status.parts import TRAINING, Item, State

# Kinds of entries with which a training ends for good.
_DECIDED = ("promoted", "refused", "entered_shadow", "training_skipped")
# The training set is not fit to learn from: a person has to look.
_REFUSED = "training_refused"
_SKIPPED = "skipped"


def requests(spec: Pipeline, monitored: Sequence[Entry]) -> dict[str, Item]:
    """Run day -> what became of the request that monitoring made on it.

    A training as of a day answers the requests of that day and of earlier ones that were made before it was decided; so does a
    person who gives it up.

    Args:
        monitored: the entries of kind `decided`, newest first.
    """
    asked = _asked(spec, monitored)
    if not asked:
        return {}
    answers = [entry for kind in (*_DECIDED, _REFUSED, _SKIPPED) for entry in _entries(spec, kind)]
    states: dict[str, tuple[State, str]] = {}
    newest = ""
    for day in sorted(asked, reverse=True):
        mine = [one for one in answers if (one.partition or "") >= day and one.seq > asked[day]]
        refused = [one for one in mine if one.kind == _REFUSED]
        skipped = [one for one in mine if one.kind == _SKIPPED]
        if any(one.kind in _DECIDED for one in mine):
            states[day] = ("published", "")
        elif skipped:
            states[day] = ("skipped", skips.sentence(max(skipped, key=lambda one: one.seq)))
        elif newest:
            states[day] = ("blocked", f"the request of {newest} is newer, and answers it")
        else:
            newest = day
            said = max(refused, key=lambda one: one.seq).record.what if refused else ""
            states[day] = ("held", said) if refused else ("ready", "monitoring asked for a new model")
    return {day: Item("train", TRAINING, day, day, *states[day]) for day in states}


def waits_for_a_person(spec: Pipeline) -> bool:
    """Whether a challenger waits for a person's decision; see `sluice.models.approval`."""
    from sluice.models import challenger

    return spec.model is not None and challenger.waiting(spec) is not None


def is_answered(spec: Pipeline, run_day: str, *, after: int) -> bool:
    """Whether a training as of a run day or a later one was decided, or given up by a person, after an entry of the ledger."""
    return any(
        (entry.partition or "") >= run_day and entry.seq > after
        for kind in (*_DECIDED, _SKIPPED)
        for entry in _entries(spec, kind)
    )


def skip(spec: Pipeline, run_day: str, *, by: str, why: str, run: Run) -> Entry:
    """Record that a person gives up the training that monitoring asked for on a run day (YYYY-MM-DD), and on earlier ones.

    The next request is another one, and a training that somebody triggers is judged as ever.

    Raises:
        SkipRefusedError: no name or reason, or no request of that day is open.
    """
    where = f"{spec.pipeline} {run_day}"
    holds.require_reason(where, by=by, why=why)
    decided = ledger.entries(model_records.Decided, pipeline=spec.pipeline, subject=spec.model.name)
    found = requests(spec, decided)
    left = [day for day, item in sorted(found.items()) if not item.is_done]
    if run_day not in left:
        raise SkipRefusedError(
            f"No training that was asked for on {run_day} is left to be done, so that there is nothing to give up.",
            where=where,
            allowed=f"a run day whose request is open: {', '.join(left) or 'there is none'}",
            todo=f"look at `sluice status {spec.pipeline}`",
        )
    return ledger.append(
        records.Skipped(by=by, why=why, account=waivers.account(), run_day=run_day),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run.run_id,
    )


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
