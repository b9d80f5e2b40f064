"""Files that only their owner may read: passwords, keys, and texts with values that nobody else is to see."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write(path: Path, content: str) -> None:
    """Write a file, whole or not at all, which nobody else could read at any moment, whatever the umask."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    part.replace(path)
