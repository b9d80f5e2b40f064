"""Custom checks: what a query of the pipeline's own says of a monitored day, judged by the limits that it returns.

The rule kept here: a check that cannot be computed is an ERROR, and never passes. No row at all is a query's own way to say that there is
too little to judge by; a value that is null, or is no finite number, and limits without which nothing could ever fail, are no answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

# What a query may return: the value, the limits that it must not be beyond, and the rows that it was measured on.
COLUMNS = ("value", "low", "high", "n")

# What a column of 64 bits can hold.
MOST_ROWS = 2**63 - 1

State = Literal["PASS", "FAIL", "ERROR", "INSUFFICIENT"]


@dataclass(frozen=True, kw_only=True)
class CustomCheck:
    """What a check said of a day; `sentence` is what it looks for, `problem` why it could not be computed."""

    name: str
    sentence: str
    state: State
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    problem: str = ""
    # The snapshots that it read, by table.
    snapshots: Mapping[str, int] = field(default_factory=dict)
    # Of the file as it was run; "" where it could not be read.
    sql_sha256: str = ""

    @property
    def said(self) -> str:
        """The result in words."""
        if self.state == "ERROR":
            return f"cannot be computed: {self.problem}"
        if self.value is None:
            return "too little to judge by: the query returned no row"
        limits = [
            f"{name} {limit:.15g}"
            for name, limit in (("at least", self.low), ("at most", self.high))
            if limit is not None
        ]
        return f"{_rounded(self.value, [limit for limit in (self.low, self.high) if limit is not None])} ({', '.join(limits)})"


def problem_of_columns(columns: Sequence[str]) -> str:
    """Why a query with these columns cannot be a check; "" where it can."""
    unknown = [name for name in columns if name not in COLUMNS]
    if (
        unknown
        or "value" not in columns
        or not {"low", "high"} & set(columns)
        or len(set(columns)) < len(columns)
    ):
        return (
            f"it returns {', '.join(columns)}; a check returns one row with `value` and `low` or `high`, or both, and may return `n`, the "
            "rows that it was measured on"
        )
    return ""


def judge(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Judge what a query returned: the fields of a `CustomCheck` from `state` to `problem`."""
    if problem := problem_of_columns(columns):
        return _error(problem)
    if not rows:
        return {"state": "INSUFFICIENT"}
    if len(rows) > 1:
        return _error("it returns more than one row")
    found = dict(zip(columns, rows[0], strict=True))
    for name, value in found.items():
        if value is not None and not _is_number(value):
            return _error(f"{name} is no finite number")
    value, low, high, n = (found.get(name) for name in COLUMNS)
    if value is None:
        return _error("value is null; a query that has nothing to judge by returns no row")
    if low is None and high is None:
        return _error("low and high are both null, so that it could never fail")
    if low is not None and high is not None and low > high:
        return _error(f"low is {low:g}, above high, which is {high:g}")
    if n is not None and not (n == int(n) and 0 <= n <= MOST_ROWS):
        return _error("n is no number of rows")
    beyond = (low is not None and value < low) or (high is not None and value > high)
    return {
        "state": "FAIL" if beyond else "PASS",
        "value": float(value),
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
        "n": None if n is None else int(n),
    }


def _is_number(value: object) -> bool:
    try:
        return (
            isinstance(value, int | float | Decimal)
            and not isinstance(value, bool)
            and math.isfinite(float(value))
        )
    except OverflowError:
        return False


def _rounded(value: float, limits: Sequence[float]) -> str:
    """With four digits, or as many as it takes to stand on its side of the limits."""

    def sides(number: float) -> list[int]:
        return [(number > limit) - (number < limit) for limit in limits]

    texts = (f"{value:.{digits}g}" for digits in range(4, 17))
    return next((text for text in texts if sides(float(text)) == sides(value)), repr(value))


def _error(problem: str) -> dict[str, Any]:
    return {"state": "ERROR", "problem": problem}
