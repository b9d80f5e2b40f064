"""Every test gets a home of its own; nothing of it touches the checkout."""

from __future__ import annotations

import atexit
import os

import pytest

from sluice.settings import settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A fresh SLUICE_HOME; the settings are read anew before and after."""
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture(scope="session")
def feed_cache(tmp_path_factory):
    """The feed's cache, filled once: cutting a year of flights takes two seconds."""
    return tmp_path_factory.mktemp("feed-cache")


@atexit.register
def _let_the_summary_be_the_last_line() -> None:
    """DuckDB's binding counts, at the interpreter's very end, what others still refer to, and prints it as leaked.

    Everything that belongs to the run has been printed by now.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
