"""Names and texts as SQL has them, where a statement takes no parameters."""

from __future__ import annotations


def quoted(name: str) -> str:
    """Return the name of a column or table, in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return a text, in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def all_of(condition: str | list[str]) -> str:
    """Return conditions that have to hold together as one; each is in brackets, because it may have an `or` of its own."""
    return condition if isinstance(condition, str) else " and ".join(f"({one})" for one in condition)
