"""A live pipeline on a clock that tests set."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from sluice import spec
from sluice.settings import settings

MONDAY = "2013-04-01"


@pytest.fixture
def at(tmp_path, monkeypatch):
    """Function: set the clock of everything, to a local time of New York."""
    file = tmp_path / "clock"
    monkeypatch.setenv("SLUICE_CLOCK", str(file))
    settings.cache_clear()

    def set_clock(text: str) -> None:
        now = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
        file.write_text(now.isoformat())

    return set_clock


@pytest.fixture
def live(home, feed_cache) -> spec.Pipeline:
    """flights as a live pipeline that began on Monday."""
    home.mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    (home / "landing").mkdir()
    update = {"clock": "wall", "starts": date.fromisoformat(MONDAY)}
    return spec.load("flights").model_copy(update=update)
