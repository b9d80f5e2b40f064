"""Files that readers see whole."""

from __future__ import annotations

import secrets
from pathlib import Path


def write(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader sees the old one or the new one."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    half.write_bytes(content)
    half.replace(path)
