"""Named places in stage, audit and publish where a test lets the process die, the disk fill up, or an answer get lost.

Every write of a crossing has one right before or after it; the registry is what the tests enumerate, so that a write
cannot be added without being tried. Nothing happens at one unless `SLUICE_FAILPOINT` names it: `<point>=<action>`.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from sluice.errors import SpecInvalidError
from sluice.settings import settings

# Point -> what has happened when it is reached.
POINTS: dict[str, str] = {}

# Seconds between two looks at the file that a waiting process is released by.
_LOOK = 0.02


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
    armed, _, action = settings().failpoint.partition("=")
    if armed != point:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)
    elif action == "lost":
        raise ConnectionError(f"the answer was lost at {point}")
    elif action.startswith("wait:"):
        gate = Path(action.removeprefix("wait:"))
        gate.with_name(f"{gate.name}.reached").touch()
        while not gate.exists():
            time.sleep(_LOOK)  # how often to look; what is waited for is the file
    else:
        raise SpecInvalidError(
            f"{action!r} is no action of a failpoint.",
            where="variable SLUICE_FAILPOINT",
            allowed="kill, full, lost, wait:<path>",
            todo="correct it, or unset it: it is for tests",
        )
