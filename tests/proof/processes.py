"""A lake of its own, and the processes that work on it: started, killed, paused and waited for by a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The feed's days of the healthy lake, the day that is delivered next, and the days that features look back on.
DAYS = ["2013-07-01", "2013-07-02", "2013-07-03"]
NEXT = "2013-07-04"
SOURCES = ["schedule", "arrivals", "weather", "planes", "airports", "airlines"]


@dataclass(frozen=True)
class Ended:
    """How a child process ended."""

    signal: int | None
    returned: Any = None
    # Name of the error's class, what it says, and whether trying again is of use.
    raised: str = ""
    said: str = ""
    final: bool = False
    retryable: bool = False
    trace: str = ""

    @property
    def was_killed(self) -> bool:
        return self.signal == signal.SIGKILL

    def require(self) -> Any:
        """What it returned; an error of the test if it did not end well."""
        assert self.signal is None, f"it died of signal {self.signal}"
        assert not self.raised, self.trace
        return self.returned


class Lake:
    """One SLUICE_HOME, its saved states, and the program that forks the processes that work on it."""

    def __init__(self, folder: Path, feed_cache: Path, python: Sequence[str] = (sys.executable,)) -> None:
        self.home, self._states, self._feed_cache = folder / "home", folder / "states", feed_cache
        self.home.mkdir(parents=True)
        self._program = subprocess.Popen(
            [*python, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(folder / "said.log").open("w"),
            text=True,
            env={**os.environ, "SLUICE_HOME": str(self.home), "SLUICE_FAILPOINT": ""},
        )
        assert self._program.stdout is not None
        self._check_threads(json.loads(self._program.stdout.readline())["threads"])

    def load(self, names: Sequence[str]) -> None:
        """Import modules once for all jobs to come."""
        self._check_threads(self._ask({"op": "import", "names": names}))

    def start(self, *jobs: dict[str, Any]) -> list[int]:
        """Start jobs at the same moment: {"job", "failpoint", "env", and what the job is given}; returns their pids."""
        return self._ask(
            {
                "op": "start",
                "jobs": [
                    {
                        "job": job["job"],
                        "env": {"SLUICE_FAILPOINT": job.get("failpoint", ""), **job.get("env", {})},
                        "given": {
                            name: value
                            for name, value in job.items()
                            if name not in ("job", "failpoint", "env")
                        },
                    }
                    for job in jobs
                ],
            }
        )

    def wait(self, *pids: int) -> list[Ended]:
        return [Ended(**one) for one in self._ask({"op": "wait", "pids": pids})]

    def at_once(self, *jobs: dict[str, Any]) -> list[Ended]:
        return self.wait(*self.start(*jobs))

    def do(self, job: str, **given: Any) -> Ended:
        return self.at_once({"job": job, **given})[0]

    def until_waiting(self, gate: Path) -> None:
        """Return when a process waits for `gate` to be there; see sluice.core.failpoints."""
        reached = gate.with_name(f"{gate.name}.reached")
        deadline = time.monotonic() + 120
        while not reached.exists():
            assert time.monotonic() < deadline, "the failpoint is not reached"
            time.sleep(0.02)  # how often to look; what is waited for is the file
        reached.unlink()

    def _check_threads(self, found: list[str]) -> None:
        assert found == [], "a process that has threads must not fork"

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(request) + "\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())

    def save(self, name: str) -> None:
        shutil.copytree(self.home, self._states / name, symlinks=True)

    def has(self, name: str) -> bool:
        return (self._states / name).is_dir()

    def restore(self, name: str) -> None:
        """The same folder again: Iceberg's metadata hold absolute paths."""
        shutil.rmtree(self.home)
        shutil.copytree(self._states / name, self.home, symlinks=True)

    def empty(self) -> None:
        shutil.rmtree(self.home)
        self.home.mkdir()
        (self.home / "feed-cache").symlink_to(self._feed_cache)

    def close(self) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        self._program.wait()
