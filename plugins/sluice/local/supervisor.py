"""Keep the programs of the local stack running: restart what died, leave nothing behind, bound the logs.

What is to run is declared in files (`sluice.local.sessions`). A program ends with its whole session: the workers of a killed
scheduler end before another one is started. A guard process waits for the end of a pipe that only the supervisor holds
open, so that all of it ends with a supervisor that is killed, too. Where both were killed, the next supervisor ends what
they left. Nothing here is Linux only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from sluice.core import locks, private
from sluice.core.errors import StackError
from sluice.local import sessions

# A program's log and its older parts: at most 60 MB a program, however long it runs.
LOG_BYTES, LOG_PARTS = 10 * 2**20, 5
# What a shell says where it cannot start a command.
_NOT_STARTED = 127
# Characters of one line of a log; a longer line is several.
_LINE = 64 * 2**10
# Seconds that what a dead program left behind has to end by itself.
_PATIENCE = 5.0
# How often to look, in seconds; what is looked for is a process that has ended, or another state that is wanted.
_LOOK = 0.2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a program that died is started again, in seconds.

    Twice as long after each quick death up to `longest`, as Kubernetes restarts containers (doubled, at most five minutes).
    After `tell_after` quick deaths in a row, the StartLimitBurst of systemd, a person is told, once; it goes on being started, since
    a database or a disk may come back. A death is quick within `steady` seconds of the start: Airflow's components need up to half of that to come up on a busy machine.
    """

    first: float = 1.0
    longest: float = 300.0
    steady: float = 60.0
    tell_after: int = 5

    def wait(self, deaths: int) -> float:
        return min(self.longest, self.first * 2 ** (deaths - 1))


@dataclass
class _Program:
    wanted: Mapping[str, Any]
    record: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    reader: threading.Thread | None = None
    started: float = 0.0
    next_start: float = 0.0
    deaths: int = 0
    restarts: int = 0
    exit_code: int | None = None
    failed: bool = False

    @property
    def counts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("deaths", "restarts", "exit_code", "failed")}


class Supervisor:
    """Runs what is wanted in `folder`, with the environment of this process and the folder above `folder` as theirs."""

    def __init__(
        self,
        folder: Path,
        logs: Path,
        backoff: Backoff | None = None,
        *,
        patience: float = sessions.PATIENCE,
    ) -> None:
        """`patience`: seconds between SIGTERM and SIGKILL of what has to end."""
        self.folder, self.logs, self.backoff, self.patience = folder, logs, backoff or Backoff(), patience
        self._programs: dict[str, _Program] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    def run(self, stopped: threading.Event) -> None:
        """Keep running what is wanted until `stopped` is set, then end it in the order of the ranks."""
        with _alone(self.folder):
            sessions.reap(self.folder, self.patience)
            self._write(sessions.SUPERVISOR, sessions.identify(os.getpid()))
            try:
                while not stopped.wait(_LOOK):
                    self._look()
            finally:
                for rank in sorted({program.wanted["rank"] for program in self._programs.values()}):
                    self._end([n for n, program in self._programs.items() if program.wanted["rank"] == rank])
                if self._guard and self._guard.stdin:
                    self._guard.stdin.close()
                    self._guard.wait()
                (self.folder / f"{sessions.SUPERVISOR}.json").unlink(missing_ok=True)

    def _look(self) -> None:
        if self._guard is None or self._guard.poll() is not None:
            command = [sys.executable, "-m", "sluice.local.supervisor", "--guard", str(self.folder)]
            self._guard = subprocess.Popen(
                [*command, "--patience", str(self.patience)], stdin=subprocess.PIPE, start_new_session=True
            )
        wanted = {path.stem: _read(path) for path in (self.folder / "wanted").glob("*.json")}
        self._end([name for name, each in self._programs.items() if each.wanted != wanted.get(name)])
        for name, wish in wanted.items():
            if wish:
                self._keep(name, self._programs.setdefault(name, _Program(wish)))

    def _keep(self, name: str, program: _Program) -> None:
        if program.process:
            code = program.process.poll()
            if code is None:
                return
            self._died(name, program, code)
        if time.monotonic() >= program.next_start:
            self._start(name, program)

    def _start(self, name: str, program: _Program) -> None:
        program.started = time.monotonic()
        try:
            program.process = subprocess.Popen(
                program.wanted["command"],
                cwd=self.folder.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            program.record = sessions.identify(program.process.pid)
            self._write(name, {**program.record, **program.counts})
        except OSError as error:  # no such command, or a full disk: what is not recorded must not run
            log.error("%s cannot be started: %s", name, error)
            self._died(name, program, _NOT_STARTED)
            return
        arguments = (program.process.stdout, self.logs / f"{name}.log")
        program.reader = threading.Thread(target=_keep_log, args=arguments, daemon=True)
        program.reader.start()

    def _died(self, name: str, program: _Program, code: int) -> None:
        """Clear away what a dead program left behind, and decide when it is started again."""
        quick = time.monotonic() - program.started < self.backoff.steady
        self._clear(program)
        program.exit_code = code
        program.deaths = program.deaths + 1 if quick else 1
        program.failed = program.deaths >= self.backoff.tell_after
        if program.deaths == self.backoff.tell_after:
            log.error("FAILED %s ended with %s, %s times in a row", name, code, program.deaths)
            threading.Thread(target=_report, args=(program.wanted["on_failure"],), daemon=True).start()
        program.restarts += 1
        wait = self.backoff.wait(program.deaths)
        program.next_start = time.monotonic() + wait
        log.warning("%s ended with %s; it is started again in %g s", name, code, wait)
        try:
            self._write(name, program.counts)
        except OSError as error:  # a full disk: the program is started again all the same
            log.error("The state of %s cannot be written: %s", name, error)

    def _end(self, names: list[str]) -> None:
        sessions.end([self._programs[name].record for name in names], self.patience)
        for name in names:
            self._clear(self._programs.pop(name))
            (self.folder / f"{name}.json").unlink(missing_ok=True)

    def _clear(self, program: _Program) -> None:
        """End what is left of a program that has ended, or must."""
        sessions.end([program.record], _PATIENCE)
        if program.process:
            program.process.wait()
        if program.reader:
            program.reader.join(_PATIENCE)
        program.record, program.process, program.reader = {}, None, None

    def _write(self, name: str, record: Mapping[str, Any]) -> None:
        private.write(self.folder / f"{name}.json", json.dumps(record))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which dies with its holder; wait for the guard of a supervisor that was killed.

    Raises:
        StackError: another supervisor is running.
    """
    while True:
        with locks.alone(folder / "lock", wait=False) as is_alone:
            if is_alone:
                yield
                return
            if sessions.leader(sessions.record_of(folder, sessions.SUPERVISOR)):
                raise StackError(
                    "Another supervisor runs this stack.",
                    where=str(folder),
                    allowed="one at a time in one home",
                    todo="stop it with `sluice down`, or set SLUICE_HOME to another folder",
                )
        time.sleep(0.1)  # how often to ask; what is waited for is the end of the guard


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:  # it is no longer wanted
        return None


def _keep_log(lines: IO[str], path: Path) -> None:
    """Copy what a program prints into its log. A log that cannot be written (a full disk) does not stop the program."""
    with lines, closing(_rotated(path)) as handler:
        while line := lines.readline(_LINE):
            handler.handle(logging.makeLogRecord({"msg": line.rstrip("\n")}))


def _rotated(path: Path) -> RotatingFileHandler:
    return RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_PARTS, encoding="utf-8", delay=True)


def _report(command: list[str]) -> None:
    """Run the command that reports a failure; what it prints is logged where it fails."""
    if command:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            log.error("%s ended with %s: %s", shlex.join(command), done.returncode, done.stdout[-2000:])


def _guard(folder: Path, patience: float) -> None:
    """Wait until the supervisor is gone, however it ended, and end what it left; a new supervisor does so itself."""
    sys.stdin.buffer.read()
    with locks.alone(folder / "lock", wait=False) as is_alone:
        if is_alone:
            sessions.reap(folder, patience)


def log_to(logs: Path) -> None:
    """Write what the supervisor does into `logs`."""
    handler = _rotated(logs / f"{sessions.SUPERVISOR}.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


def main() -> None:
    """Run a supervisor, or its guard, until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--logs", type=Path)
    parser.add_argument(
        "--first-wait", type=float, default=Backoff.first, help="Seconds before the first restart."
    )
    parser.add_argument(
        "--patience", type=float, default=sessions.PATIENCE, help="Seconds between SIGTERM and SIGKILL."
    )
    parser.add_argument("--guard", action="store_true")
    given = parser.parse_args()
    os.umask(0o077)
    if given.guard:
        _guard(given.folder, given.patience)
        return
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    log_to(given.logs)
    backoff = Backoff(first=given.first_wait)
    Supervisor(given.folder, given.logs, backoff, patience=given.patience).run(stopped)


if __name__ == "__main__":
    main()
