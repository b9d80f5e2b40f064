"""Maintenance: what an installation can do without is cleared away, so that day 365 costs what day 1 did.

The command line and the maintenance DAG are thin shells over these functions. None touches what readers see, what a tag
pins, what is held, released or set aside, or what a running task may be about to publish; each may be killed at any point
and be started again, beside any number of publishes. What is cleared away is declared in the pipeline's `retention`, and
recorded in the ledger: as `maintaining` before anything goes, as `maintained` when it is done.
"""

from sluice.watch.maintenance.checks import Published, check_chain, check_published
from sluice.watch.maintenance.evidence import clear_evidence
from sluice.watch.maintenance.record import Removal, keep_all, lines
from sluice.watch.maintenance.tables import clear_tables

__all__ = [
    "Published",
    "Removal",
    "check_chain",
    "check_published",
    "clear_evidence",
    "clear_tables",
    "keep_all",
    "lines",
]
