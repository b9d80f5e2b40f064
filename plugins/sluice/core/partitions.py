"""Days and labels of partitions: how they are written in commands, forms, records, mails and errors, and read again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from sluice.core.errors import DayInvalidError

# Within these a lag or a window of history can be added to any day.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
DAY_FORMAT = f"a day that exists, as YYYY-MM-DD, from {FIRST_DAY} to {LAST_DAY}"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_day(text: str, *, where: str = "") -> date:
    """Read a day that a person or another system gave.

    Args:
        where: the argument, form or key that it was given in.

    Raises:
        DayInvalidError: it is not written as YYYY-MM-DD, does not exist, or is out of range.
    """
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not FIRST_DAY <= day <= LAST_DAY:
        raise DayInvalidError(
            f"{text!r} is not a day.", where=where, allowed=DAY_FORMAT, todo="correct the day and try again"
        )
    return day


def is_day(text: str) -> bool:
    """Whether a text is a day, as `read_day` reads it."""
    try:
        read_day(text)
    except DayInvalidError:
        return False
    return True


def read_label(text: str, *, where: str = "") -> tuple[str, str]:
    """Read a day or `first..last` that a person gave; return the first and the last day.

    Raises:
        DayInvalidError: one of them is no day, or the last is before the first.
    """
    first, dots, last = text.partition("..")
    try:
        start = read_day(first)
        end = read_day(last) if dots else start
    except DayInvalidError:
        start, end = LAST_DAY, FIRST_DAY
    if end < start:
        raise DayInvalidError(
            f"{text!r} is neither a day nor a range of days.",
            where=where,
            allowed=f"{DAY_FORMAT}, or first..last",
            todo="correct it and try again",
        )
    return start.isoformat(), end.isoformat()


def partition_label(partitions: Sequence[str]) -> str:
    """One day (YYYY-MM-DD), or `first..last`."""
    return partitions[0] if len(partitions) == 1 else f"{partitions[0]}..{partitions[-1]}"


def days_of(label: str) -> list[str]:
    """All days of a label."""
    first, _, last = label.partition("..")
    return days_between(first, last or first)


def days_between(first: str, last: str) -> list[str]:
    """The days from `first` to `last`, both included (YYYY-MM-DD); none where the range ends before it begins."""
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    return [(start + timedelta(days=offset)).isoformat() for offset in range((end - start).days + 1)]


def covers(label: str, day: str) -> bool:
    """Whether a label holds a day."""
    first, _, last = label.partition("..")
    return first <= day <= (last or first)
