"""A suite as a table: each rule with its type, arguments, severity and owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice.core.sql import all_of
from sluice.gates import suites

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def rules(spec: Pipeline, table: str) -> list[dict[str, Any]]:
    """Return the rules of a table's suite as they apply, with the values that come from the contract.

    Raises:
        SpecInvalidError: the suite is missing or not valid.
    """
    return [
        {**rule.meta.model_dump(exclude_none=True), "type": rule.kind, "arguments": rule.arguments}
        for rule in suites.load(spec, table).rules
    ]


def lines(found: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the rules as lines of a table."""
    rows = [("rule", "severity", "owner", "type", "arguments")]
    for rule in found:
        limit = f" {rule['limit']:.1%}" if "limit" in rule else ""
        said = "; ".join(f"{name}: {_text(value, name)}" for name, value in rule["arguments"].items())
        kind = rule["type"].removeprefix("expect_").replace("_", " ")
        rows.append((rule["rule"], rule["severity"] + limit, rule["owner"], kind, said))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])


def _text(value: Any, name: str = "") -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_text(each)}" for name, each in value.items())
    if isinstance(value, list):
        return all_of(value) if name == "condition" else ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
