"""Names and texts as SQL has them, where a statement takes no parameters."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return the name of a column or table, in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text, in single quotes."""
    return "'" + text.replace("'", "''") + "'"
