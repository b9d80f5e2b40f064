"""Files that only their owner may read: passwords, keys, and texts with values that nobody else is to see."""

from __future__ import annotations

from pathlib import Path

from sluice.core.files import replacing


def write(path: Path, content: str) -> None:
    """Write a file, whole or not at all, which nobody else could read at any moment, whatever the umask."""
    with replacing(path, mode=0o600) as part:
        part.write_text(content, encoding="utf-8")
