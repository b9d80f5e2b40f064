"""What a command that takes a while says of itself, with the time since it began."""

from __future__ import annotations

import time
from collections.abc import Callable


def timed(write: Callable[[str], None]) -> Callable[[str], None]:
    """Function: write a line behind the minutes and seconds since now."""
    started = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        write(f"{minutes:3d}:{seconds:02d}  {text}")

    return say
