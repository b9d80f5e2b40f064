"""A fingerprint of everything that decides which rows, models and ledger entries come out of the same deliveries.

Whatever is kept and used again (the healthy state of rehearsals, the year of mutation runs) is kept under it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sluice.core.settings import ROOT, settings

_READ = (".py", ".sql", ".yml", ".json", ".toml", ".txt", ".csv", ".j2")
# What Python and dbt write beside them is made from the rest.
_WRITTEN = {"target", "logs", "dbt_packages", "__pycache__"}


def of_project(
    *, suites: bool = True, pipelines: Path | None = None, expectations: Path | None = None
) -> str:
    """Changes with the code of platform, laboratory and models, the dbt project, pipelines and the lock.

    Args:
        suites: with the suites of Great Expectations, too; without, for rows that no gate has judged.
        pipelines, expectations: the folders to read; default: this installation's.
    """
    folders = [ROOT / "plugins", ROOT / "ml", settings().dbt_project, pipelines or settings().pipelines]
    if suites:
        folders.append(expectations or settings().expectations)
    return of_files([*(path for folder in folders for path in _files(folder)), ROOT / "requirements.txt"])


def of_files(files: Iterable[Path]) -> str:
    """One hash, of 16 hexadecimal digits, over the places and contents of files."""
    found = hashlib.sha256()
    for path in sorted(files):
        found.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix in _READ and _WRITTEN.isdisjoint(path.relative_to(folder).parts)
    ]
