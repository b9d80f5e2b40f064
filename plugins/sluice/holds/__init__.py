"""What is held, and its way back: the list, the replay, the release, and the whole story of a partition.

The command line and the operator DAGs are thin shells over these functions. They add no second way of publishing: what
comes back goes through `sluice.crossing` like everything else.
"""

from sluice.holds.listing import (
    Hold,
    active_waivers,
    downstream_steps,
    find,
    open_batches,
    open_from,
    open_holds,
    run_days_of,
)
from sluice.holds.releasing import grant, release, request, require_releasable
from sluice.holds.replaying import (
    Outcome,
    Plan,
    conclude,
    expire,
    plan,
    replay,
    require_as_seen,
    require_held,
    require_run,
)
from sluice.holds.skipping import require_reason, skip
from sluice.holds.tracing import Trace, trace

__all__ = [
    "Hold",
    "Outcome",
    "Plan",
    "Trace",
    "active_waivers",
    "conclude",
    "downstream_steps",
    "expire",
    "find",
    "grant",
    "open_batches",
    "open_from",
    "open_holds",
    "plan",
    "release",
    "replay",
    "request",
    "require_as_seen",
    "require_held",
    "require_reason",
    "require_releasable",
    "require_run",
    "run_days_of",
    "skip",
    "trace",
]
