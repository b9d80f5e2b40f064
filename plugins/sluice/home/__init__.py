"""A home as a whole: where it lies, a backup of it, and what makes a copy independent of its original."""

from sluice.home.adoption import adopt
from sluice.home.backup import backup
from sluice.home.state import status

__all__ = ["adopt", "backup", "status"]
