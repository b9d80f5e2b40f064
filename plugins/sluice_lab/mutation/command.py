"""`sluice mutate` and `sluice robustness`: start the process that runs them, with a home of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sluice.core.settings import settings
from sluice.local import stack
from sluice.transform import project

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# Share of the material mutations of a stage that is to be caught; reaching it is what a run's exit code says.
GOALS: Mapping[str, float] = {"files": 0.95, "transform": 0.9, "score": 0.9}


def mutate(stage: str, seed: int, mutations: int, clean: int, out: Path | None) -> int:
    """Run mutations and clean draws of a stage; returns 0 if the goal was reached, 1 if not.

    Args:
        stage: one of `GOALS`.
        out: folder of `report.md` and `cases.jsonl`; default: `mutation/reports/<stage>-<seed>` in this home.
    """
    return _run("sluice_lab.mutation", f"{stage}-{seed}", [stage, seed, mutations, clean], out)


def mutate_published(
    spec: Pipeline, seed: int, mutations: int, clean: int, out: Path | None, say: Callable[[str], None]
) -> tuple[Path, int]:
    """Damage what a pipeline has published in this home; returns the report's file, and as `mutate`, by the goal of files.

    Args:
        out: as of `mutate`, with `suggestions.json`; default: `mutation/reports/<pipeline>-<seed>` in this home.
        say: takes a line a mutation.
    """
    from sluice_lab.mutation import effectiveness

    folder = (out or settings().home / "mutation" / "reports" / f"{spec.pipeline}-{seed}").resolve()
    report = effectiveness.run(spec, seed, mutations, clean, folder, say)
    return folder / "report.md", int(
        not report.counted or report.caught_share < GOALS["files"] or bool(report.false_alarms)
    )


def robustness(seed: int, days: int, out: Path | None) -> int:
    """Measure the robustness curve over `days` days; returns 0 however the checks end: it is a measurement.

    Args:
        out: folder of `report.md`, `curve.jsonl` and `curve.svg`; default: `mutation/reports/robustness-<seed>` in this
            home.
    """
    return _run("sluice_lab.mutation.robustness", f"robustness-{seed}", [seed, days], out)


def _run(module: str, name: str, arguments: list[int | str], out: Path | None) -> int:
    base = settings().home.resolve() / "mutation"
    folder = (out or base / "reports" / name).resolve()
    command = [sys.executable, "-m", module, *map(str, arguments), str(folder)]
    # A copy of the dbt project, whose models may be changed.
    copy = base / "dbt_project"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(settings().dbt_project, copy, ignore=shutil.ignore_patterns(*project.OUTPUT))
    environment = stack.apart({"SLUICE_HOME": str(base / "home"), "SLUICE_DBT_PROJECT": str(copy)})
    return subprocess.run(command, env=environment, check=False).returncode
