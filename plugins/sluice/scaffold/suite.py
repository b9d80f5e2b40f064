"""The suite of a new source: structure that holds, and what one sample can say of its values, which warns.

A rule that was measured on one file is a guess about all others, so none of them stops a day: each says in its `why` on what it
was measured, and that a person has to review it. The numbers of the history rules are those that flights began with
(docs/thresholds.md); `sluice_lab` measures what they catch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sluice.core.sql import quoted
from sluice.gates import suite_text
from sluice.scaffold.measure import Measured, day_of
from sluice.scaffold.sample import Sample

# Four weeks, and a week before the first comparison; bands as for the arrivals of flights.
_HISTORY = {"days": 28, "min_days": 7}
_COMMON = "The numbers are defaults that were not measured on this data."


def text(
    pipeline: str,
    sample: Sample,
    owner: str,
    key: Sequence[str],
    day: str | None,
    zone: str,
    measured: Measured,
) -> str:
    """The file of the suite."""
    rules = [
        {
            "type": kind,
            "kwargs": arguments,
            "meta": {"rule": rule, "severity": severity, "owner": owner, "why": f"{why} {suite_text.REVIEW}"},
        }
        for rule, kind, severity, arguments, why in _rules(sample, key, day, zone, measured)
    ]
    return suite_text.new(f"{pipeline}.{sample.source}", rules)


def _rules(
    sample: Sample, key: Sequence[str], day: str | None, zone: str, measured: Measured
) -> Iterator[tuple[str, str, str, dict[str, Any], str]]:
    """Name, type, severity, arguments and reason of each rule."""
    on = f"Measured on the {measured.rows:,} rows of {sample.path.name}"
    names = ", ".join(key)
    yield (
        "key_is_unique",
        "expect_key_to_be_unique",
        "hold",
        {"key": ["ds", *map(quoted, key)]},
        f"{on}: {names} tells each row from the others. Exact repeats are dropped before; of two rows that differ, one is wrong, and both would count.",
    )
    if day:
        yield (
            "rows_are_of_the_day",
            "expect_rows_to_satisfy_condition",
            "hold",
            {"condition": f"{day_of(sample, day, zone)} = ds"},
            f"{on}: by {day} they are of {_days_named(measured.days[day])}. A row of another day would be published under the wrong one.",
        )
    # A number that names a thing has no range.
    ranges = {name: found for name, found in measured.ranges.items() if name not in key}
    for name in measured.values:
        yield (
            suite_text.rule_name(name, "is_known"),
            "expect_column_values_to_be_declared",
            "warn",
            {"column": name},
            f"{on}, which have {len(measured.values[name])} values of {name}: those that the contract lists.",
        )
    for name, found in ranges.items():
        low, high = found.wide
        yield (
            suite_text.rule_name(name, "is_in_range"),
            "expect_rows_to_satisfy_condition",
            "warn",
            {"condition": f"{quoted(name)} between {low:.12g} and {high:.12g}"},
            f"{on}: {name} is {found.low:g} to {found.high:g}, and as far again on each side is allowed.",
        )
    yield (
        "rows_fit",
        "expect_table_row_count_to_fit_history",
        "warn",
        {**_HISTORY, "width": 4, "slack": 0.25},
        f"As many rows as on earlier days of the week; the sample has {measured.rows:,}{f' of {_days_named(measured.days[day])}' if day else ''}. {_COMMON}",
    )
    # Of a key of one column no row lacks it.
    if len(key) > 1 or set(sample.contract.columns) - set(key):
        yield (
            "gaps_fit",
            "expect_column_null_shares_to_fit_history",
            "warn",
            {"all_columns_but": [], **_HISTORY, "width": 4, "slack": 0.1},
            f"No column loses its values from one day to the next. {_COMMON}",
        )
    if ranges:
        yield (
            "magnitudes_fit",
            "expect_column_magnitudes_to_fit_history",
            "warn",
            {"column_list": list(ranges), **_HISTORY, "limit": 5},
            f"Another unit moves the median of a number many times. {_COMMON}",
        )
    if measured.values:
        yield (
            "categories_are_known",
            "expect_column_categories_to_be_known_from_history",
            "warn",
            {"column_list": list(measured.values), **_HISTORY, "limit": 0.05},
            f"Values are spelled as on earlier days. {_COMMON}",
        )


def _days_named(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{len(days)} days, {days[0]} to {days[-1]}"
