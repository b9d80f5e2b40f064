"""Locks between the processes of one machine; a lock dies with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Keep other processes from the same work meanwhile.

    Args:
        file: stands for the work; made where it is not there, and never removed.

    Yields: whether the lock is held; always, if `wait`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
