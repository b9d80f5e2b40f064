"""A project without any pipeline, and samples of its data."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.core.settings import settings


@pytest.fixture
def project(home, tmp_path, monkeypatch) -> Path:
    """A folder with empty `pipelines` and `expectations`, in which commands are run."""
    for name in ("pipelines", "expectations"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"SLUICE_{name.upper()}", str(tmp_path / name))
    settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path
