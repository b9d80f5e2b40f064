"""The one Airflow that rehearsals run on, in a home of its own: started, given a fresh healthy state, stopped.

Its home is <home>/rehearsal/stage. Between two scenarios only the state is restored; Airflow goes on running, because it
opens none of those files between tasks. What an interrupted rehearsal left running is stopped by the next one.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from sluice.core import locks, retry
from sluice.core.errors import StackError
from sluice.core.settings import ROOT, settings
from sluice.local import stack
from sluice.local.api import AirflowApi
from sluice_lab.fingerprint import of_files
from sluice_lab.rehearsal import healthy
from sluice_lab.rehearsal.world import CHAIN

# Healthy states kept beside each other, so that going back to another branch is quick too.
_KEPT_STATES = 3
# Seconds that a run which a scenario left behind may take to end.
_PATIENCE = 120


def environment(base: Path) -> dict[str, str]:
    """Environment of a process that rehearses in the folder `base`, and of all that it starts.

    The ports are those of a bench that was left running, or free ones.
    """
    kept = _record(base)
    if kept and _answers(kept["api_port"]):
        api, smtp = kept["api_port"], kept["smtp_port"]
    else:
        api, smtp = free_ports(2), free_ports(1)
    stage = (base / "stage").resolve()
    return stack.apart(
        {
            "SLUICE_HOME": str(stage),
            "SLUICE_PIPELINES": str(stage / "pipelines"),
            "SLUICE_EXPECTATIONS": str(stage / "expectations"),
            "SLUICE_API_PORT": str(api),
            "SLUICE_SMTP_PORT": str(smtp),
            "SLUICE_RETRY_SECONDS": "1",
            # No connection stays open to a database of MLflow's that is exchanged for the healthy one.
            "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
            # DAG files do not change during a rehearsal: parsing them again and again would take half a core.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        }
    )


class Bench:
    """A running Airflow with a healthy state. This process must have the environment of `environment(base)`.

    Args:
        keep: leave Airflow running at the end, so that it can be looked at and the next rehearsal starts at once.
    """

    def __init__(self, say: Callable[[str], None], *, keep: bool = False) -> None:
        self.say, self.keep = say, keep
        self.home = settings().home
        self.base = self.home.parent
        # Of the code and declarations as they are now: who edits them meanwhile rehearses the next time with them.
        self._state = self.base / "healthy" / healthy.fingerprint()
        self._cleanup = ExitStack()
        self._dirty = True
        self.api: AirflowApi

    def __enter__(self) -> Bench:
        with ExitStack() as cleanup:
            cleanup.enter_context(_alone(self.base))
            # What is only half started is stopped, whatever is to be kept.
            starting = cleanup.enter_context(ExitStack())
            starting.callback(self._stop)
            if not self._reused():
                self._stop()
                shutil.rmtree(self.home / "airflow", ignore_errors=True)
                self._start()
            self.api = stack.client()
            starting.pop_all()
            cleanup.callback(self._leave)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def reset(self) -> None:
        """Wait until nothing runs, and restore the healthy state.

        Raises:
            StackError: a run does not end.
        """
        if not self._dirty:
            return
        self._wait_until_idle()
        for stage in CHAIN:
            self.api.set_paused(f"{healthy.PIPELINE}_{stage}", paused=True)
        healthy.restore(self._state)
        self._dirty = False

    def used(self) -> None:
        """Say that the state is no longer the healthy one."""
        self._dirty = True

    def _start(self) -> None:
        if self._state.is_dir():
            healthy.restore(self._state)
            stack.up(self.say)
        else:
            # Two cores: Airflow spends most of its start waiting.
            with ThreadPoolExecutor(1) as starting:
                for path in self.home.iterdir() if self.home.is_dir() else ():
                    if path.name not in healthy.KEPT:
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                healthy.copy_declarations()
                up = starting.submit(stack.up, self.say)
                healthy.build(self.say)
                up.result()
            healthy.save(self._state)
            self._forget_old_states()
        record = {"code": _code(), "api_port": settings().api_port, "smtp_port": settings().smtp_port}
        (self.base / "bench.json").write_text(json.dumps(record), encoding="utf-8")

    def _reused(self) -> bool:
        """Whether Airflow runs already, on this code and with the ports of this process."""
        record = _record(self.base)
        return bool(
            record
            and record["code"] == _code()
            and record["api_port"] == settings().api_port
            and all(stack.running(name) for name in stack.PROGRAMS)
            and self._state.is_dir()
        )

    def _leave(self) -> None:
        if self.keep:
            self.say(f"Airflow goes on running: {self.api.url}; `sluice rehearse --stop` stops it")
        else:
            self._stop()

    def _stop(self) -> None:
        (self.base / "bench.json").unlink(missing_ok=True)
        stack.down(lambda text: None)

    def _forget_old_states(self) -> None:
        states = sorted(
            (self.base / "healthy").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True
        )
        for old in states[_KEPT_STATES:]:
            shutil.rmtree(old)

    def _wait_until_idle(self) -> None:
        retry.until(
            lambda: not self.api.active_runs(),
            seconds=_PATIENCE,
            otherwise=lambda: StackError(
                f"{', '.join(self.api.active_runs())} has not ended after {_PATIENCE} s.",
                where=self.api.url,
                todo="on a busy machine, rehearse again when it is quieter; else correct the scenario: it must end what it starts",
            ),
        )


def stop(base: Path) -> None:
    """Stop a bench that was left running. This process must have the environment of `environment(base)`."""
    with _alone(base):
        (base / "bench.json").unlink(missing_ok=True)
        stack.down()


def _record(base: Path) -> Mapping[str, Any] | None:
    """What is known of the bench that runs, or was left running."""
    try:
        return json.loads((base / "bench.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _code() -> str:
    """All code that Airflow's processes hold in memory; rehearsals are none of it."""
    folders = [ROOT / "plugins", ROOT / "ml", ROOT / "dags"]
    files = [path for folder in folders for path in folder.rglob("*.py") if "rehearsal" not in path.parts]
    return of_files(files)


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """Keep a second rehearsal from starting in the same folder; the lock dies with its holder."""
    with locks.alone(base / "lock", wait=False) as is_alone:
        if not is_alone:
            raise StackError(
                "Another rehearsal is running here.",
                where=str(base),
                allowed="one at a time in one home",
                todo="wait for its end, or set SLUICE_HOME to another folder",
            )
        yield


def free_ports(count: int) -> int:
    """The first of `count` free ports of this machine in a row."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(closing(socket.socket()))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                for offset in range(1, count):
                    held.enter_context(closing(socket.socket())).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):  # one is taken, or there are no more
                continue
            return port
