"""A home into which the feed delivers quickly."""

from __future__ import annotations

import pytest

from sluice.declare import spec


@pytest.fixture
def flights(home, feed_cache):
    """The default pipeline, with an empty landing zone."""
    home.mkdir()
    (home / "feed-cache").symlink_to(feed_cache)
    return spec.load("flights")
