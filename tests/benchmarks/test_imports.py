"""No task of a day imports a heavy library that its parent has: seen in the processes themselves, not in the code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.benchmarks import imports_of_a_day as child

# Made of hundreds of tiny modules of which a figure needs some, and one of each release of its database.
ALLOWED = ("plotly.graph_objs.", "plotly.validators.", "mlflow.store.db.trace_analytics_")


@pytest.mark.long
def test_no_step_of_a_day_imports_what_its_parent_has(home, proofs):
    """Every step of a day in a process of its own, forked from one that has preloaded, as a LocalExecutor does it.

    What is missing from `preload.MODULES` is paid for in every task that needs it.
    """
    command = [sys.executable, child.__file__, "2013-04-01"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    steps = json.loads(done.stdout.splitlines()[-1])["steps"]
    assert len(steps) >= 30, sorted(steps)
    paid = {name: [one for one in found if not one.startswith(ALLOWED)] for name, found in steps.items()}
    twice = {name: found for name, found in paid.items() if found}
    proofs("import", "processes of a day", violations=len(twice), steps=len(steps))
    assert not twice, "add these to sluice.orchestration.preload.MODULES"
