"""What is held of a pipeline and what stands beside it: the one list that `sluice held` prints and the page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sluice import holds, status, waivers, watch
from sluice.core.errors import LandingUnreachableError, SluiceError
from sluice.declare.spec import Pipeline
from sluice.holds import Hold, show, stopped
from sluice.holds.listing import Kind
from sluice.holds.stopped import Stopped
from sluice.ingest.unexpected import LandingScan
from sluice.ledger import Entry
from sluice.notify import reader_impact
from sluice.schedule import missing_history
from sluice.status import Item
from sluice.waivers import inherited

# What stops readers, and needs a person, before what does not.
_ORDER: tuple[Kind, ...] = ("held", "refused", "waiver_expired", "quarantined")
# Of days that are summed up in one line; with `--json` each is there.
_DAYS_NAMED = 5


@dataclass(frozen=True)
class Line:
    """A hold with what it means for readers, and what waits for it."""

    hold: Hold
    # What readers see meanwhile; "" where they see the rest of it.
    effect: str
    waiting: tuple[Item, ...]


@dataclass(frozen=True)
class Held:
    """What is held of a pipeline: held batches, what was refused, what is seen under an expired waiver, single rows; of each the oldest first."""

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
    open_holds = sorted(holds.open_holds(spec), key=lambda hold: _ORDER.index(hold.kind))
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
    """The same for a terminal: what is held, one block each or for days that are alike, then what stands beside it."""
    alike: dict[object, list[Line]] = {}
    for line in listed.lines:
        hold = line.hold
        cause = hold.cause.sentence if hold.cause else ""
        # A reason counts the rows; the rules that they fail do not.
        alike.setdefault((hold.kind, hold.table, hold.rules or hold.reason, cause), []).append(line)
    for lines in alike.values():
        yield from _block(lines)
    if not listed.lines:
        yield "Nothing is held."
    for (table, day), one in listed.expired.items():
        yield f"{'held too long':14s}  {table} {day}  {one.reason}"
    for (table, day), waiver in listed.released.items():
        yield f"{'released':14s}  {table} {day}  {waivers.read(waiver).sentence()}"
    for rebuild in listed.to_rebuild:
        yield f"{'to be rebuilt':14s}  {rebuild.sentence()}"
    yield from listed.landing.lines()


def _block(lines: Sequence[Line]) -> Iterator[str]:
    """Days that are alike: their rows together, the age of the oldest, and what is true of each of them."""
    found = [line.hold for line in lines]
    hold = found[0]
    rows = [one.rows for one in found if one.rows is not None]
    counted = f"{sum(rows)} rows" if len(rows) == len(found) else "rows unknown"
    age = max(one.age_days for one in found)
    run_days = sorted({one.run_day for one in found})
    yield (
        f"{hold.kind.replace('_', ' '):14s}  {hold.table} {_named([one.partition for one in found])}  {counted}, "
        f"{'1 day' if age == 1 else f'{age} days'} old, owner {hold.owner}, "
        f"run day{'s' if len(run_days) > 1 else ''} {_named(run_days)}"
    )
    others = [set(_details(line)) for line in lines[1:]]
    yield from (text for text in _details(lines[0]) if all(text in each for each in others))


def _named(days: Sequence[str]) -> str:
    more = len(days) - _DAYS_NAMED
    return ", ".join(days[:_DAYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _details(line: Line) -> Iterator[str]:
    hold = line.hold
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
