"""What a roll-back leaves to be done: predictions that readers see, made by a champion that a person has taken back.

The rule kept here: those whose time is not over are made again by the champion that there is now. Those of earlier days stay as they were
made, in time and as somebody may have acted on them: they are named, and not replaced by hindsight.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchUnknownError
from sluice.core.partitions import date_of
from sluice.declare import pipeline_clock
from sluice.declare.spec import PREDICTIONS
from sluice.lake import batches, inputs, tables
from sluice.ledger import Entry, champion
from sluice.ledger.model_records import RolledBack

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def why_again(made_of: Iterable[Mapping[str, Any]], moves: Sequence[Entry]) -> str:
    """Why predictions are made again while they are in time; "" where no roll-back came after the champion that made them.

    Args:
        made_of: the inputs of their batch, as its manifest records them.
        moves: what decided on the champion, newest first (`ledger.champion.decisions`).
    """
    made = next(iter(inputs.read(made_of, inputs.Model)), None)
    if made is None or made.promoted is None:
        return ""
    since = [one for one in moves if one.kind == "rolled_back" and one.seq > made.promoted]
    if not since:
        return ""
    by = "the baseline" if made.version is None else f"version {made.version}"
    return f"{by} made them, and gave way by the roll-back of entry {since[-1].seq}"


def read(spec: Pipeline, number: int) -> Entry[RolledBack]:
    """The roll-back that is an entry of the ledger."""
    found = ledger.entries(RolledBack, pipeline=spec.pipeline, subject=spec.model.name)
    return next(one for one in found if one.seq == number)


def made_before(spec: Pipeline, move: Entry[RolledBack]) -> tuple[list[str], list[str]]:
    """Days whose published predictions were made in the reign that a roll-back ended, oldest first, and those that are in time."""
    made = sorted(_made_before(spec, move))
    # Where nobody knows the time, as of a replayed pipeline whose feed has not begun, none is late.
    return made, [day for day in made if not pipeline_clock.is_late(spec, date_of(day))]


def _made_before(spec: Pipeline, move: Entry[RolledBack]) -> Iterator[str]:
    moves = champion.decisions(spec.pipeline, spec.model.name)
    began = next((one.seq for one in moves if one.seq < move.seq), 0)
    for day, shown in sorted(tables.published(spec.pipeline, PREDICTIONS).items(), reverse=True):
        try:
            read_from = inputs.of(batches.load(spec.pipeline, PREDICTIONS, shown.batch_id), inputs.Model)
        except BatchUnknownError:
            return  # cleared away: this and what is older is not in time
        for made in read_from:
            if made.promoted is not None and made.promoted < began:
                return
            if made.promoted == began:
                yield day
