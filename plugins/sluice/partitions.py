"""Labels of partitions: how the days of a batch are written in records, mails and errors, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta


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
