"""What is held of a pipeline and what stands beside it: the one list that `sluice held` prints and the page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sluice import holds, status, waivers, watch
from sluice.core.errors import LandingUnreachableError, SluiceError
from sluice.declare.spec import Pipeline
from sluice.holds import Hold, show, stopped
from sluice.holds.stopped import Stopped
from sluice.ingest.unexpected import LandingScan
from sluice.ledger import Entry
from sluice.notify import reader_impact
from sluice.schedule import missing_history
from sluice.status import Item
from sluice.waivers import inherited


@dataclass(frozen=True)
class Line:
    """A hold with what it means for readers, and what waits for it."""

    hold: Hold
    # What readers see meanwhile; "" where they see the rest of it.
    effect: str
    waiting: tuple[Item, ...]


@dataclass(frozen=True)
class Held:
    """What is held of a pipeline, the longest held first."""

    pipeline: str
    lines: tuple[Line, ...]
    # By table and day: what was held too long and nobody has given up, and the active waivers.
    expired: Mapping[tuple[str, str], Stopped]
    released: Mapping[tuple[str, str], Entry]
    to_rebuild: tuple[inherited.Rebuild | missing_history.Rebuild, ...]
    landing: LandingScan
    # Why the landing zone could not be looked at; "" where it was.
    problem: str = ""


def read(spec: Pipeline) -> Held:
    """Read what is held; a landing zone that does not answer hides nothing of it but what waits."""
    problem = ""
    open_holds = holds.open_holds(spec)
    try:
        landing = watch.unexpected_files(spec)
    except LandingUnreachableError as error:
        landing, problem = LandingScan((), complete=False), str(error)
    try:
        waiting = list(_waiting(spec, open_holds))
    except SluiceError as error:
        waiting, problem = [()] * len(open_holds), str(error)
    return Held(
        pipeline=spec.pipeline,
        lines=tuple(
            Line(hold, effect(spec, hold), found) for hold, found in zip(open_holds, waiting, strict=True)
        ),
        expired=stopped.expired(spec),
        released=holds.active_waivers(spec),
        to_rebuild=(*inherited.rebuilds(spec), *missing_history.rebuilds(spec)),
        landing=landing,
        problem=problem,
    )


def as_text(listed: Held) -> Iterator[str]:
    """The same for a terminal: what is held, one block each, then what stands beside it."""
    for line in listed.lines:
        yield from _block(line)
    if not listed.lines:
        yield "Nothing is held."
    for (table, day), one in listed.expired.items():
        yield f"{'held too long':14s}  {table} {day}  {one.reason}"
    for (table, day), waiver in listed.released.items():
        yield f"{'released':14s}  {table} {day}  {waivers.read(waiver).sentence()}"
    for rebuild in listed.to_rebuild:
        yield f"{'to be rebuilt':14s}  {rebuild.sentence()}"
    yield from listed.landing.lines()


def _block(line: Line) -> Iterator[str]:
    hold = line.hold
    rows = "rows unknown" if hold.rows is None else f"{hold.rows} rows"
    days = "1 day" if hold.age_days == 1 else f"{hold.age_days} days"
    yield (
        f"{hold.kind.replace('_', ' '):14s}  {hold.table} {hold.partition}  {rows}, {days} old, owner {hold.owner}, "
        f"run day {hold.run_day}"
    )
    if hold.cause:
        yield f"{'':16s}probable cause: {hold.cause.sentence}"
    if hold.rules:
        yield f"{'':16s}rules: {', '.join(hold.rules)}"
    yield f"{'':16s}{show.short(hold.reason)}"
    if line.effect:
        yield f"{'':16s}{line.effect}"
    if line.waiting:
        yield f"{'':16s}waits for it: {', '.join(f'{item.table} {item.day}' for item in line.waiting)}"
    if hold.dag_id and hold.run_id:
        yield f"{'':16s}run: {hold.dag_id}, {hold.run_id}"


def effect(spec: Pipeline, hold: Hold) -> str:
    """What readers see while it is held; "" where they see the rest of it."""
    if hold.kind not in ("held", "refused"):
        return ""
    return reader_impact.waiting(spec, hold.table, list(hold.days))


def _waiting(spec: Pipeline, open_holds: Sequence[Hold]) -> Iterator[tuple[Item, ...]]:
    """For each hold, what is blocked of its run days and is built from its table."""
    if not any(hold.kind in ("held", "refused") for hold in open_holds):
        yield from ((),) * len(open_holds)
        return
    days = [day for hold in open_holds for day in hold.run_days]
    items = list(status.of(spec, first=min(days), last=max(days)))
    for hold in open_holds:
        own_run = [item for item in items if item.run_day in hold.run_days]
        after = reader_impact.waits_for(spec, hold.table)
        unseen = {item.run_day for item in own_run if item.table == hold.table and item.batch_id is None}
        yield tuple(
            item
            for item in own_run
            if item.run_day in unseen
            and item.table in after
            and item.state == "blocked"
            and not item.batch_id
        )
