"""Rules that would have seen what a table's own rules missed: tried on the damaged rows and on clean days, and only then suggested.

The rule kept here: nothing is suggested that was not seen to fail on a missed mutation, or that fails on any of the clean days asked.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice.core.partitions import days_between, days_later
from sluice.core.sql import quoted
from sluice.gates import suite_text, suites
from sluice_lab.mutation.published import Source, Tried, clean_rows, judge

if TYPE_CHECKING:
    from sluice.gates.suites import Rule

# Clean days that a suggested rule must pass; with none failing of 20, it fails on 14% of days at most (95%; Clopper and Pearson).
_CLEAN_DAYS = 20
# Compared days that a suggested rule needs, as those of `sluice new`, and as evidence that clean days pass it.
_MIN_DAYS, _FEWEST_CLEAN = 7, 10
_NULLS, _MODES, _MEANS = (
    f"expect_column_{name}_to_fit_history" for name in ("null_shares", "mode_shares", "means")
)
_SIZES, _KNOWN = (
    "expect_column_magnitudes_to_fit_history",
    "expect_column_categories_to_be_known_from_history",
)
_MIX, _COUNT = "expect_column_distributions_to_fit_history", "expect_table_row_count_to_fit_history"
_UNIQUE, _DIFFERS = "expect_key_to_be_unique", "expect_rows_to_differ_from_earlier_days"
# Types of columns that a rule is about; the others take all that was damaged, or are about whole rows.
_NUMERIC, _ABOUT_ROWS = ("integer", "number"), (_COUNT, _UNIQUE, _DIFFERS)
_TAKES = {_SIZES: _NUMERIC, _MEANS: _NUMERIC, _KNOWN: ("string",), _MIX: ("string",)}
# What the types need besides columns and days: half of what `sluice new` allows, since these are tried on clean days before anybody sees them.
_GIVEN: Mapping[str, dict[str, float]] = {
    _NULLS: {"width": 4, "slack": 0.05},
    _MODES: {"limit": 0.05},
    _MEANS: {"width": 4, "slack": 1e-6},
    _SIZES: {"limit": 2.5},
    _KNOWN: {"limit": 0.025},
    _MIX: {"limit": 0.05},
    _COUNT: {"width": 4, "slack": 0.125},
    _DIFFERS: {"limit": 0.5},
}
# Types that may see a kind of damage, the narrowest first.
_BY_KIND: Mapping[str, Sequence[str]] = {
    "missing values": [_NULLS],
    "constant": [_MODES, _MIX],
    "error code": [_MODES, _MEANS],
    "unit": [_SIZES, _MEANS],
    "sign": [_MEANS],
    "offset": [_SIZES, _MEANS],
    "rounding": [_MODES],
    "category": [_KNOWN, _MIX],
    "swapped columns": [_SIZES, _MEANS, _KNOWN, _MIX],
    "missing rows": [_COUNT],
    "duplicates": [_UNIQUE, _COUNT],
    "another day's rows": [_COUNT],
    "stale rows": [_DIFFERS],
}


@dataclass(frozen=True)
class Suggestion:
    """An expectation that may be added to a suite, and the numbers of the missed mutations that it fails on."""

    table: str
    expectation: dict[str, Any]
    sees: tuple[int, ...]
    clean_days: int


def suggest(missed: Sequence[Tried], folder: Path) -> list[Suggestion]:
    """The rules that see most of what was missed first; what a rule of the suite already warns of is left out: its severity is the answer."""
    seen: dict[tuple[str, str, str], list[Tried]] = defaultdict(list)
    read: dict[tuple[str, str, str], tuple[dict[str, Any], Rule]] = {}
    for tried in missed:
        for entry, rule in () if tried.case.told else _candidates(tried):
            _, (result,) = judge(tried.source, tried.case.run_day, tried.path, [rule])
            if not result.passed and not result.broken:
                about = tried.source.table, rule.kind, str(rule.columns)
                seen[about].append(tried)
                read.setdefault(about, (entry, rule))
                break
    found = []
    for about, by in seen.items():
        entry, rule = read[about]
        if (days := _clean_days(by[0].source, rule, folder)) is not None:
            kinds = ", ".join(sorted({one.case.kind for one in by}))
            entry["meta"]["why"] = (
                f"A mutation run missed damage that this sees: {kinds}. {suite_text.REVIEW}"
            )
            found.append(Suggestion(about[0], entry, tuple(one.case.number for one in by), days))
    return sorted(found, key=lambda one: (-len(one.sees), one.table, str(one.expectation)))


def _candidates(tried: Tried) -> Iterator[tuple[dict[str, Any], Rule]]:
    source, spec = tried.source, tried.source.spec
    read, declared = suites.reader(spec, source.table), spec.sources[source.table].contract.columns
    for kind in _BY_KIND.get(tried.case.kind, ()):
        columns = [one for one in tried.columns if kind not in _TAKES or declared[one].type in _TAKES[kind]]
        arguments: dict[str, Any] = _span(source) | _GIVEN.get(kind, {})
        if kind == _UNIQUE:
            arguments = {"key": ["ds", *(quoted(one) for one in spec.key_of(source.table))]}
        elif kind == _DIFFERS:
            arguments["column_list"] = [name for name, one in declared.items() if one.type in _NUMERIC]
        elif kind != _COUNT:
            arguments["column_list"] = columns
        if not arguments.get("column_list", True):
            continue
        about = source.table if kind in _ABOUT_ROWS else "_".join(columns)
        name = suite_text.rule_name(about, kind.removeprefix("expect_"))
        if any(one.meta.rule == name for one in source.rules):
            continue
        entry = {
            "type": kind,
            "kwargs": arguments,
            "meta": {
                "rule": name,
                "severity": "warn",
                "owner": spec.owner_of(source.table),
                "why": suite_text.REVIEW,
            },
        }
        yield entry, read(entry)


def _span(source: Source) -> dict[str, Any]:
    """Days that a rule looks back: four weeks, and more where days are published more rarely, so that ten are among them."""
    gap = len(days_between(source.clean[0], source.clean[-1])) / len(source.clean)
    return {"days": min(366, max(28, math.ceil(10 * gap))), "min_days": _MIN_DAYS}


def _clean_days(source: Source, rule: Rule, folder: Path) -> int | None:
    """How many clean days the rule was asked about and passes; None where one fails, or too few could be compared."""
    count = min(_CLEAN_DAYS, len(source.days))
    last = len(source.days) - 1
    days = sorted({source.days[round(place * last / max(count - 1, 1))] for place in range(count)})
    for day in days:
        with TemporaryDirectory(prefix="clean-", dir=folder) as name:
            _, (result,) = judge(source, day, clean_rows(source, day, Path(name)), [rule])
        if not result.passed:
            return None
    # A rule that looks back compares nothing of a day with too few before it, and passes.
    back = rule.history_days
    compared = [
        day
        for day in days
        if sum(days_later(day, -back) <= one < day for one in source.clean) >= rule.min_days
    ]
    return len(compared) if len(compared) >= min(_FEWEST_CLEAN, len(source.days)) else None
