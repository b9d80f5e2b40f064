"""What is to run on this machine and what does, as files of one folder; and the end of whole sessions of processes.

`<folder>/wanted/<name>.json` says what is to run, `<folder>/<name>.json` what was started. Each program leads a session of its
own, which all that it starts belongs to, also after it has died. A process is only ever signalled if it is of a session
whose leader's number and start are the recorded ones.
"""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from sluice.core import private

# The record of the supervisor itself: no program that it runs.
SUPERVISOR = "supervisor"
# Seconds that a program has to end by itself.
PATIENCE = 30.0


def request_start(
    folder: Path, name: str, command: list[str], *, rank: int = 0, on_failure: Sequence[str] = ()
) -> None:
    """Write down that a program is to run. Programs of a lower `rank` are stopped first.

    Args:
        on_failure: command that reports that the program does not stay up.
    """
    (folder / "wanted").mkdir(parents=True, exist_ok=True)
    # Each is another wish: what ended again and again is tried at once.
    wish = {"command": command, "rank": rank, "on_failure": list(on_failure), "wish": uuid.uuid4().hex}
    private.write(folder / "wanted" / f"{name}.json", json.dumps(wish))


def request_stop(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write down that programs, or all of them, are not to run."""
    for path in (folder / "wanted").glob("*.json"):
        if names is None or path.stem in names:
            path.unlink(missing_ok=True)


def record_of(folder: Path, name: str) -> dict[str, Any]:
    """What is recorded of a program: pid, started, restarts, deaths, exit_code, failed; {} where nothing is."""
    try:
        return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def identify(pid: int) -> dict[str, Any]:
    """The record of a process that has just been started.

    `identity` is psutil's: the number and the start since boot, which no change of the system's clock moves, as it does `started`.
    """
    process = psutil.Process(pid)
    return {"pid": pid, "started": process.create_time(), "identity": hash(process)}


def leader(record: Mapping[str, Any]) -> psutil.Process | None:
    """The recorded process, if it is alive and still the one that was started."""
    try:
        process = psutil.Process(record["pid"])
        return (
            process
            if hash(process) == record["identity"] and process.status() != psutil.STATUS_ZOMBIE
            else None
        )
    except (KeyError, psutil.NoSuchProcess):
        return None


def members(record: Mapping[str, Any]) -> list[psutil.Process]:
    """The living processes of a recorded session, whether its leader is alive or not."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(process.pid) != record["pid"] or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.pid == record["pid"] and not leader(record):
                return []  # the number is another session's by now
            found.append(process)
    return found


def memory(record: Mapping[str, Any]) -> int:
    """Bytes that the processes of a recorded session have in memory; pages that they share count for each."""
    total = 0
    for process in members(record):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def end(records: Iterable[Mapping[str, Any]], patience: float = PATIENCE) -> None:
    """End whole sessions: SIGTERM to each leader, and to all that one left behind; SIGKILL to what is there after `patience`."""
    sessions = [record for record in records if "pid" in record]
    deadline, signalled = time.monotonic() + patience, set()
    while families := [(record, family) for record in sessions if (family := members(record))]:
        late = time.monotonic() > deadline
        for record, family in families:
            heads = [process for process in family if process.pid == record["pid"]]
            for process in family if late or not heads else heads:
                if late or process not in signalled:
                    signalled.add(process)
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)  # how often to ask; what is waited for is their end


def reap(folder: Path, patience: float = PATIENCE) -> list[str]:
    """End the sessions of all recorded programs, and forget them; returns the names of those that were running."""
    records = {
        path.stem: record_of(folder, path.stem) for path in folder.glob("*.json") if path.stem != SUPERVISOR
    }
    found = [name for name, record in records.items() if "pid" in record and members(record)]
    end(records.values(), patience)
    for name in records:
        (folder / f"{name}.json").unlink(missing_ok=True)
    return found
