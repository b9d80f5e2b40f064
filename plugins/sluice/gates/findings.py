"""What a result of Great Expectations says about the data, if it says anything.

GX marks an expectation that raised like one that failed, and calls one that had nothing to go by a success. Neither
may count as a finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sluice.gates.suites import Rule

if TYPE_CHECKING:
    import duckdb
    from great_expectations.core import ExpectationValidationResult

# Characters of a value that a sentence shows.
_SHOWN = 80


def fault(result: ExpectationValidationResult) -> str:
    """Why a result says nothing about the data; "" if it does.

    An exception is kept either as one record or as one a metric. Where a metric is missing without an exception, GX
    calls the expectation vacuously true.
    """
    info = result.exception_info or {}
    records = [info] if "raised_exception" in info else list(info.values())
    for record in records:
        if record["raised_exception"]:
            lines = str(record["exception_message"]).strip().splitlines()
            # It becomes a part of a sentence.
            return lines[0].rstrip(".!") if lines else "an exception without a message"
    numbers = result.result
    if "element_count" in numbers:
        # A row-wise rule that had no row to look at has shown nothing, even where its own condition left it none.
        checked = numbers["element_count"] and numbers.get("unexpected_count") is not None
        return "" if checked else "it had no rows to check"
    return "it gave no value" if numbers and all(value is None for value in numbers.values()) else ""


def counted(
    rule: Rule, numbers: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], con: duckdb.DuckDBPyConnection
) -> tuple[int | None, int | None]:
    """Rows that fail and rows there are; (None, None) where a rule is not about single rows of the batch.

    A query is about single rows if what it returns has all columns of the batch; if it returns nothing, nothing fails.
    """
    if "element_count" in numbers:
        return numbers["unexpected_count"], numbers["element_count"]
    if not rule.query or not rows:
        return None, None
    columns = {column[0] for column in con.execute("select * from batch limit 0").description}
    if not columns <= set(rows[0]):
        return None, None
    return numbers["observed_value"], con.execute("select count(*) from batch").fetchall()[0][0]


def enough_pass(rule: Rule, numbers: Mapping[str, Any], unjudged: int) -> bool:
    """Whether a rule passes where rows that it did not judge fail too."""
    total = numbers["element_count"]
    passing = total - numbers["unexpected_count"] - unjudged
    return passing / total >= rule.expectation.configuration.kwargs.get("mostly", 1)


def left_out(unjudged: int | None, counted: int) -> str:
    """The end of a sentence that says how many rows a rule did not judge; "" where it judged all."""
    if not unjudged:
        return ""
    said = f"{counted:,} of them" if counted else f"{unjudged:,}"
    return f"; {said} not judged (no value)"


def observed(
    rule: Rule,
    numbers: Mapping[str, Any],
    failing: int | None,
    total: int | None,
    first: Sequence[Mapping[str, Any]],
    *,
    show: bool,
) -> str:
    """What was found, in words; `first` is the first failing row, and `show` says whether values may be shown."""
    from sluice.gates.origin_expectations import InWords

    if failing is not None:
        return f"{failing:,} of {total:,} rows fail{_example(', such as ', rule.columns, first)}"
    if not rule.query:
        known = {name.replace("_", " "): value for name, value in numbers.items() if value is not None}
        return (
            ", ".join(f"{name} {_text(value)}" for name, value in known.items() if show) or "nothing to show"
        )
    findings = numbers["observed_value"]
    if not findings:
        return numbers.get("details", {}).get("compared", "nothing that breaks it")
    if isinstance(rule.expectation, InWords):
        return rule.expectation.in_words(numbers["details"]["unexpected_rows"], show=show)
    if findings == 1:
        return f"1 finding{_example(': ', None, first)}"
    return f"{findings:,} findings{_example(', the first: ', None, first)}"


def _example(lead: str, columns: Sequence[str] | None, first: Sequence[Mapping[str, Any]], /) -> str:
    """Values of the first failing row, if there is one to show; of all columns if `columns` is None."""
    if not first or columns == ():
        return ""
    row = first[0]
    return lead + ", ".join(f"{name} {_text(row[name])}" for name in (row if columns is None else columns))


def _text(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
