"""A live pipeline on a clock that tests set."""

from __future__ import annotations

import pytest


@pytest.fixture
def live(live_flights):
    return live_flights
