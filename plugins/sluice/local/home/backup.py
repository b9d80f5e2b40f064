"""A copy of a home that can be put back: taken while it is in use, and as of one moment.

The rule kept here: ledger and catalog are copied while nobody can write either, so that what one says was published the
other shows; what they name is copied after them, and maintenance removes nothing meanwhile. A backup appears whole or not at
all. It has the identity of its original: at the same path it is used as it is, elsewhere it must be adopted first.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from sluice.core.errors import BackupFailedError
from sluice.core.identity import CATALOG
from sluice.core.settings import settings
from sluice.lake import relocate
from sluice.local.home.adoption import databases
from sluice.watch import maintenance

# Process ids, scratch, what can be made again, and the homes of rehearsals and mutation runs.
LEFT_OUT = ("run", "work", "feed-cache", "rehearsal", "mutation")
LEDGER = "ledger.db"
_JOURNALS = ("-wal", "-shm", "-journal")


def backup(folder: Path) -> Path:
    """Copy this process's home to `folder`, which must not exist yet; returns it.

    Raises:
        BackupFailedError: the folder exists or lies inside the home, or what the tables need went away meanwhile.
    """
    home, folder = settings().home.resolve(), folder.resolve()
    if folder.exists() or folder.is_relative_to(home):
        raise BackupFailedError(
            f"{folder} {'is there already' if folder.exists() else 'lies inside the home'}.",
            where=str(folder),
            allowed="a new folder outside of the home",
            todo="name another folder",
        )
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir(mode=0o700)
    except OSError as error:
        raise BackupFailedError(
            f"{folder} cannot be made: {error.strerror or error}.",
            where=str(folder.parent),
            allowed="a new folder in one that this user may write",
            todo="name another folder",
        ) from error
    try:
        with maintenance.keep_all():
            copied = {path.relative_to(home) for path in _databases(home, part)}
            # First of all what each table is read from: a table that is published often replaces it soon.
            current = _current(home, part)
            _copy(home, part, current)
            _copy(home, part, (name for name in _walk(home) if name not in copied | current))
        _check(home, part, current)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _databases(home: Path, part: Path) -> list[Path]:
    found = [path for path in databases(home) if path.relative_to(home).parts[0] not in LEFT_OUT]
    with ExitStack() as locks:
        for name in (LEDGER, CATALOG):
            if (home / name) in found:
                locks.enter_context(_locked(home / name))
        for path in found:
            target = part / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
            shutil.copymode(path, target)
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody writes a database meanwhile; it can be read."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=settings().lock_seconds)) as connection:
        try:
            connection.execute("begin immediate")
        except sqlite3.OperationalError as error:
            raise BackupFailedError(
                f"{path.name} cannot be copied: {error}.",
                where=str(path),
                allowed=f"no other lock on it for longer than {settings().lock_seconds:g} s",
                todo=f"run the backup again, or find the process that holds it (`fuser {path}`)",
            ) from error
        yield


def _current(home: Path, part: Path) -> set[Path]:
    """The metadata files by which the copied catalog reads the tables, under the home."""
    root = f"file://{home}/"
    named = relocate.current(part / CATALOG).values()
    return {Path(name.removeprefix(root)) for name in named if name.startswith(root)}


def _copy(home: Path, part: Path, names: Iterable[Path]) -> None:
    """Copy files and folders, by their path in the home; a file that goes away meanwhile is one that nothing names."""
    for name in names:
        path, target = home / name, part / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                target.mkdir(exist_ok=True)
            else:
                shutil.copy2(path, target, follow_symlinks=False)


def _walk(home: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(home):
        if Path(folder) == home:
            folders[:] = [name for name in folders if name not in LEFT_OUT]
        below = Path(folder).relative_to(home)
        # SQLite's journals belong to a database as it is, not to its copy.
        yield from (below / name for name in (*folders, *files) if not name.endswith(_JOURNALS))


def _check(home: Path, part: Path, current: set[Path]) -> None:
    """Make sure that the current metadata of every table are in the copy."""
    if missing := sorted(str(name) for name in current if not (part / name).is_file()):
        raise BackupFailedError(
            f"Tables were published so often meanwhile that their metadata are gone: {', '.join(missing[:3])}.",
            where=str(home),
            todo="run the backup again, best while no backfill runs",
        )
