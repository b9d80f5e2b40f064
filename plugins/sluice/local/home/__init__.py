"""A home as a whole: where it lies, a backup of it, and what makes a copy independent of its original."""

from sluice.local.home.adoption import adopt
from sluice.local.home.backup import backup
from sluice.local.home.state import lines, read

__all__ = ["adopt", "backup", "lines", "read"]
