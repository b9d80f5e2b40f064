from __future__ import annotations

from pathlib import Path

import pytest

from sluice.core.settings import settings


@pytest.fixture
def use(monkeypatch):
    """Function: let this process use a home; returns it."""

    def change(folder: Path | str) -> Path:
        monkeypatch.setenv("SLUICE_HOME", str(folder))
        settings.cache_clear()
        return Path(folder)

    yield change
    settings.cache_clear()
