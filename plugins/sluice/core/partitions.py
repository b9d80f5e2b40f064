"""Days and partitions: how they are written in commands, forms, records, paths, mails and errors, and read again.

A day is its text, YYYY-MM-DD, which sorts as the days do. Whatever is about several days is about a `Partition`. The rule
kept here: no other module takes a label apart, or calculates with the text of a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

from sluice.core.errors import DayInvalidError

# Within these a lag or a window of history can be added to any day.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
DAY_FORMAT = f"a day that exists, as YYYY-MM-DD, from {FIRST_DAY} to {LAST_DAY}"
# A range from one of them, or to one, has no end of its own.
EARLIEST, LATEST = date.min.isoformat(), date.max.isoformat()
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, order=True)
class Partition:
    """A day, or all days from a first to a last; as a text its label, YYYY-MM-DD or `first..last`."""

    first: str
    last: str

    @classmethod
    def of(cls, days: Sequence[str]) -> Partition:
        """The partition of some days, which are in order."""
        return cls(days[0], days[-1])

    @classmethod
    def parse(cls, label: str) -> Partition:
        """Read a label that Sluice has written; one that a person gave is read by `read_label`."""
        first, _, last = label.partition("..")
        return cls(first, last or first)

    def __iter__(self) -> Iterator[str]:
        return iter(days_between(self.first, self.last))

    def __contains__(self, day: str) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return self.first if self.first == self.last else f"{self.first}..{self.last}"


def read_day(text: str, *, where: str = "") -> date:
    """Read a day that a person or another system gave.

    Args:
        where: the argument, form or key that it was given in.

    Raises:
        DayInvalidError: it is not written as YYYY-MM-DD, does not exist, or is out of range.
    """
    try:
        day = date_of(text) if _DAY.fullmatch(text) else None
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


def read_label(text: str, *, where: str = "") -> Partition:
    """Read a day or `first..last` that a person gave.

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
    return Partition(day_of(start), day_of(end))


@lru_cache(maxsize=4096)
def date_of(day: str) -> date:
    """The date of a day that Sluice has written; one that somebody else gave is read by `read_day`."""
    return date.fromisoformat(day)


def day_of(day: date) -> str:
    """A date as the text of a day."""
    return day.isoformat()


def days_later(day: str, days: int) -> str:
    """The day so many days after another; before it where the number is negative."""
    return day_of(date_of(day) + timedelta(days=days))


def days_from(first: str, last: str) -> int:
    """How many days a day is after another; negative where it is before it."""
    return (date_of(last) - date_of(first)).days


def days_between(first: str, last: str) -> list[str]:
    """The days from `first` to `last`, both included; none where the range ends before it begins."""
    start = date_of(first)
    return [day_of(start + timedelta(days=offset)) for offset in range(days_from(first, last) + 1)]
