"""The catalogue: every source as it is declared, as it stands today, and who depends on it.

Nothing is written down for it: it is read from the pipeline's YAML, the tables, the ledger and the parsed dbt project, so
it cannot disagree with them.
"""

from sluice.status.catalogue.catalogue_page import lines, write
from sluice.status.catalogue.entries import Catalogue, SourceEntry, TableEntry, read
from sluice.status.catalogue.impact import Impact, impact, impact_lines

__all__ = [
    "Catalogue",
    "Impact",
    "SourceEntry",
    "TableEntry",
    "impact",
    "impact_lines",
    "lines",
    "read",
    "write",
]
