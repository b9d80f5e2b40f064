"""Which code is running, as manifests, models and ledger entries record it."""

from __future__ import annotations

import hashlib
import subprocess
from functools import lru_cache
from pathlib import Path

import sluice
from sluice.core.settings import ROOT, settings


@lru_cache(maxsize=1)
def code_version() -> str:
    """`<version>+<commit>`, with `.dirty` where the checkout has changes.

    Where git does not know the code, or is not there, the commit is `SLUICE_CODE_VERSION`; without that, only the version.
    """
    commit = commit_of(ROOT) or settings().code_version
    return f"{sluice.__version__}+{commit}" if commit else sluice.__version__


def commit_of(checkout: Path) -> str:
    """Return what git calls the state of a checkout; "" where there is no checkout, or no git."""
    describe = [
        "git",
        "-C",
        str(checkout),
        "describe",
        "--always",
        "--dirty=.dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@lru_cache(maxsize=1)
def lock_hash() -> str:
    """sha256 of the project's requirements.txt: which libraries the code ran with; "" where there is no such file."""
    lock = ROOT / "requirements.txt"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
