"""Personal data never enters a mail: columns that hold it are struck out of rows, and out of what quotes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sluice.declare.spec import Pipeline


def hidden_columns(spec: Pipeline, table: str) -> frozenset[str]:
    """Columns of a table that hold personal data; of a derived table, those of any source, as it may have them all."""
    sources = [spec.sources[table]] if table in spec.sources else spec.sources.values()
    return frozenset(
        name
        for source in sources
        for name, column in source.contract.columns.items()
        if getattr(column, "pii", False)
    )


def shows_rows(spec: Pipeline, table: str) -> bool:
    """Whether rows may be shown at all: not where a source is declared to be about persons directly."""
    sources = [spec.sources[table]] if table in spec.sources else spec.sources.values()
    return all(source.pii != "direct" for source in sources)


def strike(row: Mapping[str, Any], hidden: frozenset[str]) -> dict[str, Any]:
    """A row without the columns that hold personal data."""
    return {name: value for name, value in row.items() if name not in hidden}


def observed(text: str, columns: tuple[str, ...], failing_rows: int | None, hidden: frozenset[str]) -> str:
    """What a rule found, without the values where they may be personal: a rule without columns may quote any."""
    if not hidden or (columns and not hidden & set(columns)):
        return text
    count = "the rule failed" if failing_rows is None else f"{failing_rows:,} rows fail"
    return f"{count} (values are not mailed: personal data)"
