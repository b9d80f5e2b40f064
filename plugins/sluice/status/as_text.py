"""The status of a pipeline for a terminal: what is not as it should be, and one line for all that is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from sluice.status.parts import Status


def lines(status: Status) -> Iterator[str]:
    """One line a run day and state, oldest first; run days of which all is done are counted."""
    if status.now is None:
        yield "Nothing is due yet: the feed has not delivered a day."
        return
    yield f"As of {status.now:%Y-%m-%d %H:%M %Z}"
    done = []
    for run_day, found in groupby(status, key=lambda item: item.run_day):
        items = list(found)
        left = [item for item in items if not item.is_done]
        if not left:
            done.append(run_day)
            continue
        yield f"{run_day}: {len(items) - len(left)} of {len(items)} are done"
        for item in left:
            yield f"  {item.stage:<9}  {item.state:<8}  {item.table} {item.day}{f': {item.reason}' if item.reason else ''}"
    if done:
        yield f"{len(done)} run day(s) from {done[0]} to {done[-1]} are as they should be."
    elif not status.items:
        yield "No run day is due yet."
