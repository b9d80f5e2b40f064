"""Named places in stage, audit, publish and the maintenance where a test lets the process die, the disk fill up, or an
answer get lost.

Every write of a crossing has one right before or after it; the registry is what the tests enumerate, so that a write
cannot be added without being tried (docs/proof.md). Nothing happens at one unless `SLUICE_FAILPOINT` names it:
`<point>=<action>`, or `<point>#<n>=<action>` for the n-th time that the process passes it; several with `;` between.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from pathlib import Path

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings

# Point -> what has happened when it is reached; `sluice.watch.maintenance.record` adds those of the maintenance.
POINTS: dict[str, str] = {
    "write.begun": "the folder of a file is there, and nothing of the file",
    "write.part_written": "a file is written whole, under a name that nobody reads",
    "stage.inputs_read": "the rows of a batch are made from its inputs, and the batch has no id yet",
    "stage.file_written": "the file of one partition of a batch is written",
    "stage.manifest_written": "the manifest of a batch is written: the batch exists, and nobody was told of it",
    "split.aside_written": "the rows that a split leaves out are written beside it",
    "audit.profile_written": "the numbers of a batch's columns are written",
    "audit.page_written": "the page of a gate run is written, and its verdict as JSON is not",
    "audit.verdict_written": "the evidence of a gate run is complete, and the ledger knows nothing of it",
    "ledger.before_commit": "an entry of the ledger is written, in a transaction that is not committed",
    "ledger.appended": "an entry of the ledger is committed, and the caller does not know",
    "table.namespace_created": "the namespace of a pipeline's tables is in the catalog",
    "table.created": "a table is in the catalog, and shows nothing",
    "quarantine.staged": "what is set aside is staged as a batch of the quarantine table, and not visible",
    "quarantine.recorded": "what is set aside is in the quarantine table, and readers still see the old rows",
    "publish.before_commit": "the commit of a batch is prepared in full, and not made",
    "publish.committed": "the batch is visible, and the caller does not know",
    "publish.change_page_written": "the page that compares a day with what it replaced is written, its JSON is not",
    "publish.change_written": "the batch is visible, its comparison is complete, and the ledger knows nothing of it",
    "land.before_write": "the number of a delivery by hand is chosen, and nothing of it is written",
    "publish.expired": "old snapshots are forgotten, where there were too many",
}

# Seconds between two looks at the file that a waiting process is released by.
_LOOK = 0.02

# How often this process has passed each point.
_passed: Counter[str] = Counter()


def hit(point: str) -> None:
    """Do what this point is armed for; usually nothing.

    Actions: `kill` (SIGKILL to this process), `full` (no space is left on the device), `lost` (what was done is done,
    but the answer is lost), `wait:<path>` (go on when the file exists; `<path>.reached` tells that it waits).

    Raises:
        KeyError: the point is not in the registry.
        OSError: armed with `full`.
        ConnectionError: armed with `lost`.
        SpecInvalidError: armed with something else.
    """
    POINTS[point]
    _passed[point] += 1
    for armed in settings().failpoint.split(";") if settings().failpoint else ():
        name, _, action = armed.partition("=")
        if name in (point, f"{point}#{_passed[point]}"):
            _do(action, point)


def _do(action: str, point: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)
    elif action == "lost":
        raise ConnectionError(f"the answer was lost at {point}")
    elif action.startswith("wait:"):
        _wait_for(Path(action.removeprefix("wait:")))
    else:
        raise SpecInvalidError(
            f"{action!r} is no action of a failpoint.",
            where="variable SLUICE_FAILPOINT",
            allowed="kill, full, lost, wait:<path>",
            todo="correct it, or unset it: it is for tests",
        )


def _wait_for(gate: Path) -> None:
    gate.with_name(f"{gate.name}.reached").touch()
    while not gate.exists():
        time.sleep(_LOOK)  # how often to look; what is waited for is the file
