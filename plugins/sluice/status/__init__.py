"""What should be and what is, for every table and run day of a pipeline.

The rule kept here: this is decided in one place. The watcher, the starter of runs, pages and commands ask `of`, and it asks the
clock, the landing zone, the tables and the ledger, never a run: a run may have been killed, skipped, marked or cleared.
"""

from __future__ import annotations

from sluice.status.parts import MONITORING, STAGES, TRAINING, Item, State, Status
from sluice.status.reading import of, to_score_again

__all__ = ["MONITORING", "STAGES", "TRAINING", "Item", "State", "Status", "of", "to_score_again"]
