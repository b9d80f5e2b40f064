"""What a roll-back leaves to be done: predictions that readers see, made by a champion that a person has taken back.

The rule kept here: those whose time is not over are made again by the champion that there is now. Those of earlier days stay as they were
made, in time and as somebody may have acted on them: they are named, and not replaced by hindsight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.partitions import date_of
from sluice.declare import pipeline_clock
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, inputs, tables
from sluice.ledger import Entry, champion
from sluice.ledger.model_records import RolledBack

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def why_again(made_of: Iterable[Mapping[str, Any]], moves: Sequence[Entry]) -> str:
    """Why predictions are made again while they are in time; "" where no roll-back came after the champion that made them, or it is back.

    Args:
        made_of: the inputs of their batch, as its manifest records them.
        moves: what decided on the champion, newest first (`ledger.champion.decisions`).
    """
    made = next(iter(inputs.read(made_of, inputs.Model)), None)
    if made is None or made.promoted is None:
        return ""
    since = [one for one in moves if one.kind == "rolled_back" and one.seq > made.promoted]
    if not since or _made_by(made, moves[0].record.version):
        return ""
    return f"{made.named} made them, and gave way by the roll-back of entry {since[-1].seq}"


def _made_by(made: inputs.Model, version: int | None) -> bool:
    """Whether a version, None for the baseline, made predictions: by it they would be the same again."""
    return made.version == version and not made.abstained


def would_be_made_again(spec: Pipeline, version: int | None) -> list[str]:
    """Days whose published predictions a roll-back of this moment to a version has made again, oldest first: another made them, and there is time."""
    found = []
    for day, shown in sorted(tables.published(spec.pipeline, PREDICTIONS).items(), reverse=True):
        if not is_in_time(spec, day):
            break
        made_of = inputs.read(batches.made_of(spec.pipeline, PREDICTIONS, shown.batch_id), inputs.Model)
        if any(one.promoted is not None and not _made_by(one, version) for one in made_of):
            found.append(day)
    return found[::-1]


def read(spec: Pipeline, number: int) -> Entry[RolledBack]:
    """The roll-back that is an entry of the ledger."""
    found = ledger.entries(RolledBack, pipeline=spec.pipeline, subject=spec.model.name)
    return next(one for one in found if one.seq == number)


def is_open(spec: Pipeline, day: str) -> bool:
    """Whether readers see nothing of a day, because nobody scored it or for another reason, or what a champion before a roll-back has made, while there is time to make it again."""
    if not is_in_time(spec, day):
        return False
    shown = tables.published(spec.pipeline, PREDICTIONS, day, day).get(day)
    if shown is None:
        return True
    made_of = batches.made_of(spec.pipeline, PREDICTIONS, shown.batch_id)
    moves = champion.decisions(spec.pipeline, spec.model.name)
    return inputs.abstained(made_of) or bool(why_again(made_of, moves))


def is_in_time(spec: Pipeline, day: str) -> bool:
    """Whether predictions of a day that are made now are in time; not where nobody knows."""
    return pipeline_clock.is_late(spec, date_of(day)) is False


def made_before(spec: Pipeline, move: Entry[RolledBack]) -> list[str]:
    """Days whose published predictions were made in the reign that a roll-back ended, oldest first."""
    moves = champion.decisions(spec.pipeline, spec.model.name)
    return made_in_reign(spec, next((one.seq for one in moves if one.seq < move.seq), 0))


def made_in_reign(spec: Pipeline, began: int) -> list[str]:
    """Days whose published predictions were made in the reign that an entry of the ledger began, oldest first."""
    found = []
    for day, shown in sorted(tables.published(spec.pipeline, PREDICTIONS).items(), reverse=True):
        # Of one that was cleared away nobody knows who made it.
        made_of = inputs.read(batches.made_of(spec.pipeline, PREDICTIONS, shown.batch_id), inputs.Model)
        made = [one.promoted for one in made_of if one.promoted is not None and not one.abstained]
        if any(promoted < began for promoted in made):
            break  # of the reign before
        if began in made:
            found.append(day)
    return found[::-1]
