"""The text of a suite file: rules are added to it or changed in it, and nothing else of what a person has written moves."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
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
    start, spans = _spans(text)
    if spans:
        end = spans[-1][1]
        return text[:end] + "".join(f",\n{one}" for one in made) + text[end:]
    return text[:start] + "\n" + ",\n".join(made) + "\n  " + text[_after_blanks(text, start) :]


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


def _spans(text: str) -> tuple[int, list[tuple[int, int]]]:
    """Where the list of a valid suite's expectations begins, and where each of them begins and ends."""
    read = json.JSONDecoder().raw_decode
    at = _after_blanks(text, 0)
    key = None
    while key != "expectations":
        # After the brace, or the comma behind another value.
        key, at = read(text, _after_blanks(text, at + 1))
        at = _after_blanks(text, _after_blanks(text, at) + 1)
        if key != "expectations":
            at = _after_blanks(text, read(text, at)[1])
    start, found = at + 1, []
    at = _after_blanks(text, start)
    while text[at] != "]":
        _, end = read(text, at)
        found.append((at, end))
        at = _after_blanks(text, end)
        at = _after_blanks(text, at + 1) if text[at] == "," else at
    return start, found


def _after_blanks(text: str, at: int) -> int:
    return _BLANK.match(text, at).end()  # type: ignore[union-attr] # no text at all matches, too
