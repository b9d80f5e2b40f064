"""`sluice mutate`: starts the process that runs the mutations, with a home of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sluice.local import stack
from sluice.settings import settings

# Reaching it is what a run's exit code says.
GOAL = 0.95


def mutate(seed: int, mutations: int, clean: int, out: Path | None) -> int:
    """Run mutations and clean draws; returns 0 if the goal was reached, 1 if not.

    Args:
        out: folder of `report.md` and `cases.jsonl`; default: `mutation/reports/<seed>` in this home.
    """
    base = settings().home.resolve() / "mutation"
    folder = (out or base / "reports" / str(seed)).resolve()
    arguments = [str(seed), str(mutations), str(clean), str(folder)]
    command = [sys.executable, "-m", "sluice.mutation", *arguments]
    environment = stack.apart({"SLUICE_HOME": str(base / "home")})
    return subprocess.run(command, env=environment, check=False).returncode
