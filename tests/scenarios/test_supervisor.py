"""The real stack under its supervisor: what is killed comes back, and nothing outlives what started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sluice.core.settings import settings
from sluice.local import sessions, stack
from sluice_lab.rehearsal.conditions import until

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.long]


def _gone(processes: list[psutil.Process]) -> bool:
    return all(not one.is_running() or one.status() == psutil.STATUS_ZOMBIE for one in processes)


def _family(name: str) -> list[psutil.Process]:
    process = stack.running(name)
    assert process, f"{name} does not run"
    return [process, *process.children(recursive=True)]


def _foreground() -> None:
    """`sluice up --foreground` starts the stack, and SIGTERM ends all of it."""
    said = settings().home / "logs" / "foreground.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "sluice"), "up", "--foreground"],
            env=stack.environment(),
            stdout=out,
        )
    until(lambda: "Mails:" in said.read_text() or process.poll() is not None, "the stack is not ready")
    everything = [each for name in stack.PROGRAMS for each in _family(name)]
    assert said.read_text().count("running since") == len(stack.PROGRAMS)
    process.terminate()
    assert process.wait(150) == 0
    assert _gone(everything)


def test_killed_components_come_back_and_a_killed_supervisor_leaves_nothing(live):
    until(lambda: len(_family("scheduler")) > 2, "the scheduler has no workers")
    before = {name: _family(name) for name in stack.PROGRAMS}
    for family in before.values():
        family[0].kill()
    for name, family in before.items():
        until(
            lambda name=name, family=family: (found := stack.running(name)) and found != family[0],
            f"{name} is not back",
        )
        assert _gone(family), f"{name} left {family} behind"
    until(lambda: not live.api.unhealthy(), "Airflow is not healthy")
    live.succeed("flights_s3_watch")
    assert all("running since" in line and "restarted" in line for line in stack.status())

    everything = [process for name in before for process in _family(name)]
    supervisor = stack.running(sessions.SUPERVISOR)
    supervisor.kill()
    until(lambda: _gone([supervisor, *everything]), "something of the stack lives on")

    _foreground()
    stack.up(lambda text: None)
    assert not live.api.unhealthy()
    assert not list((settings().home / "logs").glob("*.log.[0-9]")), "the logs of a test fill no part"
