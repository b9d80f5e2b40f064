"""Turning the feed's clock back, which only tests do."""

from __future__ import annotations

from sqlalchemy import text

from sluice.core import databases
from sluice.core.settings import settings


def forget() -> None:
    """Let no feed have delivered anything."""
    with databases.engine(settings().ledger_url).begin() as connection:
        if databases.engine(settings().ledger_url).dialect.has_table(connection, "sluice_feed_clocks"):
            connection.execute(text("DELETE FROM sluice_feed_clocks"))
