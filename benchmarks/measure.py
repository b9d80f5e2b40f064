"""How things are measured: each measurement in a process of its own, so that times and memory peaks do not mix.

The function that is measured runs in a fresh child, does its imports and its preparation first and only then enters
`Clock`. The child's settings are its own: nothing of the user's SLUICE_* or AIRFLOW* environment reaches it, so that a
benchmark never writes where the user's data is.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TextIO

import psutil

MIB = 2**20
# ru_maxrss counts KiB, on macOS bytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_talk: TextIO = sys.stdout


@dataclass(frozen=True)
class Sample:
    """One measurement: seconds, and MiB of memory when the clock was started and at the peak."""

    seconds: float
    start: float
    peak: float
    found: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One row of the table: the samples of what was measured and of its floor. Medians are shown."""

    name: str
    measured: Sequence[Sample]
    floor: Sequence[Sample]
    says: str = ""

    @property
    def ratio(self) -> float:
        return median(s.seconds for s in self.measured) / median(s.seconds for s in self.floor)


class Clock:
    """Times its block inside a child. `sample()` is what the child returns."""

    def __enter__(self) -> Clock:
        gc.collect()
        self._start = psutil.Process().memory_info().rss
        self._from = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._seconds = time.perf_counter() - self._from
        self._peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT

    def sample(self, **found: Any) -> dict[str, Any]:
        return {
            "seconds": self._seconds,
            "start": self._start / MIB,
            "peak": self._peak / MIB,
            "found": found,
        }


class Together:
    """Peak memory of several processes together, looked at once a second (pages that they share count once).

    On Linux by the proportional set size; elsewhere by what each process has to itself.
    """

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self._processes, self._stop = processes, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0.0

    def __enter__(self) -> Together:
        self.start = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, self._now())
            if self._stop.wait(1):
                return

    def _now(self) -> float:
        total = 0
        for process in self._processes():
            try:
                memory = process.memory_full_info()
            except psutil.NoSuchProcess:  # it ended since it was listed
                continue
            total += getattr(memory, "pss", memory.uss)
        return total / MIB


@dataclass
class Lab:
    """Where one run of the benchmarks works: a scratch folder, and children that work in it."""

    base: Path
    quick: bool
    say: Callable[[str], None]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The SLUICE_HOME of all children."""
        return self.base / "home"

    def call(self, target: str, *, env: dict[str, str] | None = None, **given: Any) -> Any:
        """Call `module:function` with `given` in a fresh process; returns what it returns, by way of JSON."""
        answer = self.base / "answer.json"
        answer.unlink(missing_ok=True)
        log = self.base / f"{target.replace(':', '.')}.log"
        command = [
            sys.executable,
            "-m",
            "benchmarks.measure",
            target,
            json.dumps(given),
            str(answer),
            str(log),
        ]
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "AIRFLOW", "MLFLOW", "DBT_"))
        }
        # A session of its own: an interrupt reaches this process alone, and the child is stopped once and in order.
        with subprocess.Popen(
            command,
            env={**clean, "SLUICE_HOME": str(self.home), **(env or {})},
            cwd=Path(__file__).resolve().parents[1],
            start_new_session=True,
        ) as process:
            try:
                process.wait()
            except BaseException:
                process.terminate()
                raise
        if process.returncode or not answer.exists():
            raise RuntimeError(f"{target} failed:\n{log.read_text(errors='replace')[-3000:]}")
        return json.loads(answer.read_text())

    def alternate(
        self, name: str, repetitions: int, *calls: tuple[str, dict[str, Any]]
    ) -> list[list[Sample]]:
        """Let `calls` (target and its arguments) take turns; returns the samples of each."""
        samples: list[list[Sample]] = [[] for _ in calls]
        for number in range(repetitions):
            for place, (target, given) in enumerate(calls):
                samples[place].append(Sample(**self.call(target, **given)))
            times = " against ".join(f"{taken[-1].seconds:.3f} s" for taken in samples)
            self.say(f"{name}, {number + 1} of {repetitions}: {times}")
        return samples


def progress(text: str) -> None:
    """Say something from inside a child, whose own output goes to its log."""
    print(f"         {text}", file=_talk, flush=True)


def _child(target: str, given: str, answer: str, log: str) -> None:
    global _talk
    _talk = os.fdopen(os.dup(1), "w")
    with open(log, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    module, name = target.split(":")
    result = getattr(importlib.import_module(module), name)(**json.loads(given))
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    from benchmarks import measure

    # Not this module's own copy of it, which the measured functions would not see.
    measure._child(*sys.argv[1:])
