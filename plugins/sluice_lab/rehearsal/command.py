"""`sluice rehearse`: starts the process that rehearses, with a home and ports of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sluice.core.settings import settings
from sluice_lab.rehearsal import bench, scenario_list


def rehearse(
    names: Sequence[str], *, days: int = 30, keep: bool = False, json_file: Path | None = None
) -> int:
    """Play scenarios; returns 0 if all passed, 1 if not.

    Raises:
        ScenarioUnknownError: a name is not one, before anything is started.
    """
    found = [scenario_list.find(name) for name in names]
    known = set(scenario_list.names())
    arguments = [each.name if each.name in known else str(each.path) for each in found]
    options = ["--days", str(days)]
    options += ["--keep"] if keep else []
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        options += ["--json", str(json_file.resolve())]
    return _apart([*options, *arguments])


def stop() -> int:
    """Stop an Airflow that a rehearsal left running."""
    return _apart(["--stop"])


def _apart(arguments: list[str]) -> int:
    base = settings().home.resolve() / "rehearsal"
    command = [sys.executable, "-m", "sluice_lab.rehearsal", *arguments]
    return subprocess.run(command, env=bench.environment(base), check=False).returncode
