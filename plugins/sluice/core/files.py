"""Files that appear whole or not at all: no reader sees half of one, and no writer another one's half."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, mode: int = 0o666, keep_stat: bool = False) -> Iterator[Path]:
    """Yield an empty file beside `path`, which takes its place when the block ends; a block that fails leaves what was there.

    Args:
        path: its folder is made where it is missing.
        mode: the permissions of the new file, less the umask.
        keep_stat: whether it gets the times and permissions of the file that it replaces.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the process's number: two containers on one shared folder may have the same.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield part
        if keep_stat:
            shutil.copystat(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
