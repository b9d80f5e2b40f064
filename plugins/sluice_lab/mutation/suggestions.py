"""Rules that would have seen what a table's own rules missed: tried on the damaged rows and on clean days, and only then suggested.

The rule kept here: nothing is suggested that was not seen to fail on a missed mutation, or that fails on any of the clean days asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice.core.sql import quoted
from sluice.gates import suite_text, suites
from sluice.lake import tables
from sluice_lab.mutation.published import HISTORY_DAYS, Source, Tried, judge

if TYPE_CHECKING:
    from sluice.gates.suites import Rule

# Clean days that a suggested rule must pass; with none failing of 20, it fails on 14% of days at most (95%; Clopper and Pearson).
_CLEAN_DAYS = 20
_SPAN = {"days": 28, "min_days": HISTORY_DAYS}
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


def suggest(missed: Sequence[Tried]) -> list[Suggestion]:
    """The rules that see most of what was missed first."""
    by_rule: dict[tuple[str, str], list[Tried]] = defaultdict(list)
    read: dict[tuple[str, str], tuple[dict[str, Any], Rule]] = {}
    for tried in missed:
        for entry, rule in _candidates(tried):
            about = tried.source.table, rule.meta.rule
            read[about] = entry, rule
            path = tried.path
            _, (result,), _ = judge(tried.source, tried.case.run_day, path, 1, [rule])
            if not result.passed and not result.broken:
                by_rule[about].append(tried)
                break
    found = []
    for about, seen in by_rule.items():
        entry, rule = read[about]
        if (days := _clean_days(seen[0].source, rule)) is not None:
            found.append(Suggestion(about[0], entry, tuple(one.case.number for one in seen), days))
    return sorted(found, key=lambda one: (-len(one.sees), one.table, str(one.expectation)))


def _candidates(tried: Tried) -> Iterator[tuple[dict[str, Any], Rule]]:
    source, spec = tried.source, tried.source.spec
    read, declared = suites.reader(spec, source.table), spec.sources[source.table].contract.columns
    for kind in _BY_KIND.get(tried.case.kind, ()):
        columns = [one for one in tried.columns if kind not in _TAKES or declared[one].type in _TAKES[kind]]
        arguments: dict[str, Any] = _SPAN | _GIVEN.get(kind, {})
        if kind == _UNIQUE:
            arguments = {"key": [quoted(one) for one in spec.key_of(source.table)]}
        elif kind == _DIFFERS:
            arguments["column_list"] = [name for name, one in declared.items() if one.type in _NUMERIC]
        elif kind != _COUNT:
            arguments["column_list"] = columns
        if not arguments.get("column_list", True):
            continue
        about = source.table if kind in _ABOUT_ROWS else "_".join(columns)
        entry = {
            "type": kind,
            "kwargs": arguments,
            "meta": {
                "rule": suite_text.rule_name(about, kind.removeprefix("expect_")),
                "severity": "warn",
                "owner": spec.owner_of(source.table),
                "why": f"A mutation run missed damage of the kind {tried.case.kind}, which this sees. {suite_text.REVIEW}",
            },
        }
        yield entry, read(entry)


def _clean_days(source: Source, rule: Rule) -> int | None:
    """How many clean days the rule passes; None where one of them fails."""
    days = source.days[:: max(1, len(source.days) // _CLEAN_DAYS)][:_CLEAN_DAYS]
    for day in days:
        with TemporaryDirectory(prefix="sluice-suggest-") as name:
            (path,) = tables.files(source.spec.pipeline, source.table, day, day, into=Path(name))
            _, (result,), _ = judge(source, day, path, 1, [rule])
        if not result.passed:
            return None
    return len(days)
