"""Processes that die, wait and race on a lake of their own: see docs/proof.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proof.processes import DAYS, SOURCES, Lake
from tests.proof.zygote import DERIVED, PREDICTED


@pytest.fixture(scope="session")
def lake(tmp_path_factory, feed_cache) -> Iterator[Lake]:
    found = Lake(tmp_path_factory.mktemp("proof"), feed_cache)
    yield found
    found.close()


@pytest.fixture(scope="session")
def healthy(lake) -> str:
    """Name of a state: the sources of three days are published."""
    name = "healthy"
    lake.empty()
    lake.do("healthy", days=DAYS, tables_=SOURCES).require()
    lake.save(name)
    return name


@pytest.fixture(scope="session")
def predictable(lake, healthy) -> str:
    """As `healthy`, with features to predict from."""
    name = "predictable"
    lake.restore(healthy)
    lake.load([*DERIVED, *PREDICTED])
    lake.do("cross", table="features", days=[DAYS[-1]]).require()
    lake.save(name)
    return name
