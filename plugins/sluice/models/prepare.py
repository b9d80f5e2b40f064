"""`python -m sluice.models.prepare`: create or migrate the registry's schema ahead of the first task that needs it."""

from __future__ import annotations

from sluice.models.config import registry

if __name__ == "__main__":
    registry().init()
