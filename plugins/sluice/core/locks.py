"""Locks between the processes of one machine; a lock dies with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Keep other processes from the same work meanwhile.

    Args:
        file: stands for the work; made where it is not there, and never removed.
        wait: for those that hold the lock.
        shared: keep only those away that do not share it.

    Yields: whether the lock is held; always, if `wait`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(lock, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
