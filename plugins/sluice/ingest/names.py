"""The columns that a file has are those of its contract, or an error says what was found and what would read it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.ingest import versions
from sluice.ingest.columns import BrokenColumnsError, Problem

if TYPE_CHECKING:
    from sluice.ingest.layout import Layout

# How alike two names must be for one to be taken for the other, where more than one is new.
_ALIKE = 0.5
# Missing columns that get a sentence each, and names that one sentence lists.
_EACH, _LISTED = 3, 20
# Characters of the names found that an error shows.
_SHOWN = 400
# A "name" may be a person's, where a file without a header is delivered.
_HIDDEN = "(names not shown)"


def check(found: Sequence[str], layout: Layout, hints: Sequence[Problem] = ()) -> list[str]:
    """Refuse missing columns, and columns given twice; their order does not matter.

    Args:
        found: the names that the file gives, as the contract spells them where that is open.
        hints: what may be wrong with the file, told where columns are missing.

    Returns: the undeclared columns, which are left out: a producer may add columns without breaking a promise.

    Raises:
        BrokenColumnsError: says what the file has, what may be the missing columns under another name, and what is
            missing or given twice.
    """
    allowed = f"columns {', '.join(layout.columns)}, each once"
    missing = [name for name in layout.columns if name not in found]
    unexpected = [name for name in dict.fromkeys(found) if name not in layout.columns]
    twice = [name for name, times in Counter(found).items() if times > 1 and name in layout.columns]
    problems: list[Problem] = []
    if missing:
        listed = [*found[:_LISTED], *([f"and {len(found) - _LISTED} more"] if len(found) > _LISTED else [])]
        problems += [
            Problem("the file has the columns {value}", allowed, listed, _HIDDEN, shown=_SHOWN),
            *hints,
            *_of_another_version(found, layout, allowed),
            *_cased(missing, unexpected, allowed),
            *_missing(missing, len(layout.columns), allowed),
            *_renamed(missing, unexpected, allowed),
        ]
    problems += [Problem(f"column {name!r} is there more than once", allowed) for name in twice]
    if problems:
        raise BrokenColumnsError(problems)
    return unexpected


def _of_another_version(found: Sequence[str], layout: Layout, allowed: str) -> list[Problem]:
    version = versions.followed(found, layout.version, layout.known)
    if version == layout.version or not set(layout.known[version]) <= set(found):
        return []
    todo = f"if the file is right, let its manifest say `contract_version: {version}`"
    return [
        Problem(
            f"these are the columns of version {version}, and the delivery is read as version {layout.version}",
            allowed,
            todo=todo,
        )
    ]


def lookalikes(missing: Sequence[str], unexpected: Sequence[str]) -> dict[str, str]:
    """Missing column -> the undeclared column that is probably the same under a new name."""
    if len(missing) == len(unexpected) == 1:
        return {missing[0]: unexpected[0]}
    pairs = ((name, difflib.get_close_matches(name, unexpected, n=1, cutoff=_ALIKE)) for name in missing)
    return {name: near[0] for name, near in pairs if near}


def _missing(missing: Sequence[str], declared: int, allowed: str) -> list[Problem]:
    if len(missing) <= _EACH:
        return [Problem(f"missing column {name!r}", allowed) for name in missing]
    return [Problem(f"{len(missing)} of {declared} columns are missing: {', '.join(missing)}", allowed)]


def _cased(missing: Sequence[str], unexpected: Sequence[str], allowed: str) -> list[Problem]:
    folded = {name.casefold(): name for name in unexpected}
    cased = [name for name in missing if name.casefold() in folded]
    if not cased:
        return []
    others = [folded[name.casefold()] for name in cased]
    todo = "if the producer always spells them so, declare `column_case: any` under `reading` of the contract"
    what = f"{{value}} differ only in case from {', '.join(cased)}"
    return [Problem(what, allowed, others, _HIDDEN, todo, _SHOWN)]


def _renamed(missing: Sequence[str], unexpected: Sequence[str], allowed: str) -> list[Problem]:
    folded = [name.casefold() for name in unexpected]
    near = lookalikes([name for name in missing if name.casefold() not in folded], unexpected)
    return [
        Problem(f"{name!r} may be there under a new name: {{value}}", allowed, other, _HIDDEN)
        for name, other in near.items()
    ]
