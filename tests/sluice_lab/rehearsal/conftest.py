"""One real Airflow and one healthy state for all rehearsals."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sluice.core.settings import settings
from sluice_lab.rehearsal import bench


@pytest.fixture(scope="package")
def stage(tmp_path_factory) -> Iterator[bench.Bench]:
    """A bench in a folder of its own; this process has its environment while a test uses it."""
    base = tmp_path_factory.mktemp("rehearsal")
    environment = bench.environment(base)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("SLUICE_", "AIRFLOW"))]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        settings.cache_clear()
        with bench.Bench(print) as running:
            yield running
    settings.cache_clear()
