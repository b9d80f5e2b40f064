"""A project without any pipeline, and samples of its data; flights, where rules are proposed of what is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.core.settings import settings
from tests.gates.conftest import audit, expect, pipeline, rows, stage, suite, year

__all__ = ["audit", "expect", "pipeline", "rows", "stage", "suite", "year"]


@pytest.fixture
def project(home, tmp_path, monkeypatch) -> Path:
    """A folder with empty `pipelines` and `expectations`, in which commands are run."""
    for name in ("pipelines", "expectations"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"SLUICE_{name.upper()}", str(tmp_path / name))
    settings.cache_clear()
    monkeypatch.chdir(tmp_path)
    return tmp_path
