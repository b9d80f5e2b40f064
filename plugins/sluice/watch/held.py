"""What is held of a pipeline and what stands beside it: the one list that `sluice held` prints and the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sluice import holds, watch
from sluice.core.errors import LandingUnreachableError
from sluice.declare.spec import Pipeline
from sluice.holds import Hold, stopped
from sluice.holds.stopped import Stopped
from sluice.ingest.unexpected import LandingScan
from sluice.ledger import Entry
from sluice.schedule import missing_history
from sluice.waivers import inherited


@dataclass(frozen=True)
class Held:
    """What is held of a pipeline, the longest held first."""

    pipeline: str
    holds: tuple[Hold, ...]
    # By table and day: what was held too long and nobody has given up, and the active waivers.
    expired: Mapping[tuple[str, str], Stopped]
    released: Mapping[tuple[str, str], Entry]
    to_rebuild: tuple[inherited.Rebuild | missing_history.Rebuild, ...]
    landing: LandingScan
    # Why the landing zone could not be looked at; "" where it was.
    problem: str = ""


def read(spec: Pipeline) -> Held:
    """Read what is held; a landing zone that does not answer hides nothing of it."""
    problem = ""
    try:
        landing = watch.unexpected_files(spec)
    except LandingUnreachableError as error:
        landing, problem = LandingScan((), complete=False), str(error)
    return Held(
        pipeline=spec.pipeline,
        holds=tuple(holds.open_holds(spec)),
        expired=stopped.expired(spec),
        released=holds.active_waivers(spec),
        to_rebuild=(*inherited.rebuilds(spec), *missing_history.rebuilds(spec)),
        landing=landing,
        problem=problem,
    )
