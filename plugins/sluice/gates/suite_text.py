"""The text of a suite file: rules are added to it or changed in it, and nothing else of what a person has written moves."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.files import replacing
from sluice.gates import suites

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# The end of the `why` of a rule that a program has written.
REVIEW = "Nobody has reviewed it: a person who knows the data has to correct it, or confirm it and choose its severity."
_BLANK = re.compile(r"\s*")


def new(name: str, entries: Sequence[dict[str, Any]] = ()) -> str:
    """Return the text of a new suite."""
    return json.dumps({"name": name, "expectations": list(entries)}, indent=2, ensure_ascii=False) + "\n"


def rule_name(column: str, what: str) -> str:
    """Return the name of a rule about a column: lower case, and begins with a letter."""
    name = column.lower()
    return f"{name}_{what}" if name[:1].isalpha() else f"column_{name}_{what}"


def entries(text: str) -> list[dict[str, Any]]:
    """Return the expectations of a suite as its file has them."""
    return json.loads(text)["expectations"]


def append(text: str, added: Sequence[dict[str, Any]]) -> str:
    """Return the text of a suite with more expectations at its end."""
    made = [
        textwrap.indent(json.dumps(one, indent=2, ensure_ascii=False), "    ", lambda _: True)
        for one in added
    ]
    at, end = _place(text, ["expectations"])
    spans = [span for _, span in _parts(text, at)]
    if spans:
        end = spans[-1][1]
        return text[:end] + "".join(f",\n{one}" for one in made) + text[end:]
    return text[:at] + "[\n" + ",\n".join(made) + "\n  ]" + text[end:]


def replace(text: str, path: Sequence[str | int], value: Any) -> str:
    """Return the text of a suite with another value at a place, such as `["expectations", 3, "kwargs", "limit"]`."""
    at, end = _place(text, path)
    return text[:at] + json.dumps(value, ensure_ascii=False) + text[end:]


def write(spec: Pipeline, table: str, text: str) -> Path:
    """Check a text as `sluice check` does, and make it the suite of a table in one step.

    Raises:
        SpecInvalidError: it cannot be used; the suite is what it was.
    """
    path = suites.path_of(spec, table)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
        suites.check_file(spec, table, part)
    return path


def _place(text: str, path: Sequence[str | int]) -> tuple[int, int]:
    """Where a value of a valid JSON text begins and ends."""
    at, end = _after_blanks(text, 0), len(text)
    for step in path:
        at, end = dict(_parts(text, at))[step]
    return at, end


def _parts(text: str, at: int) -> Iterator[tuple[str | int, tuple[int, int]]]:
    """Where the values of the object or list that begins here begin and end, by key or number."""
    read, keys, number = json.JSONDecoder().raw_decode, text[at] == "{", 0
    at = _after_blanks(text, at + 1)
    while text[at] not in "}]":
        key: str | int = number
        if keys:
            key, at = read(text, at)
            at = _after_blanks(text, _after_blanks(text, at) + 1)
        _, end = read(text, at)
        yield key, (at, end)
        number += 1
        at = _after_blanks(text, end)
        at = _after_blanks(text, at + 1) if text[at] == "," else at


def _after_blanks(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr] # no text at all matches, too
