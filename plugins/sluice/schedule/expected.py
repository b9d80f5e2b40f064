"""Which days of a table the declaration asks for, and which of them readers do not see.

Which days a run is due to publish is `sluice.schedule`'s to say. The rule kept here: a table begins somewhere, and nothing is
due before. A pipeline that declares `starts` begins with that run day; another one with the first day that was published of
the table. A day that was published without rows is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from sluice import schedule
from sluice.core.partitions import Partition, date_of, day_of, days_from, days_later
from sluice.declare.spec import Pipeline
from sluice.lake import tables

# Days.
_WEEK = 7


def missing(
    spec: Pipeline,
    table: str,
    first: str,
    last: str,
    *,
    snapshot_id: int | None = None,
    shown: Iterable[str] | None = None,
) -> list[str]:
    """The days of a source or derived table from `first` to `last` that are due and not published, sorted.

    Of a weekly source, which may come on another day of the week, a day is missing where the whole week after it is, as far as
    `last`, and not before its deadline: a run does not wait for it.

    Args:
        first, last: days of the table's data (YYYY-MM-DD), both included.
        snapshot_id: as of this snapshot of the table instead of now.
        shown: the days that readers see, for whoever has read them.

    Raises:
        TableMissingError: `snapshot_id` is unknown or expired.
    """
    if shown is None:
        shown = tables.published(spec.pipeline, table, snapshot_id=snapshot_id)
    begin = _begins(spec, table, shown)
    if begin is None:
        return []
    if table in spec.sources and spec.sources[table].cadence == "weekly":
        weeks = [day for day in _missed_weeks(shown, last) if max(first, begin) <= day <= last]
        while weeks and not schedule.is_overdue(spec, table, weeks[-1]):
            weeks.pop()
        return weeks
    days = schedule.expected_days(spec, table, date_of(max(first, begin)), date_of(last))
    return [day for day in map(day_of, days) if day not in shown]


def window(
    spec: Pipeline, table: str, source: str, partitions: Sequence[str], first: str, day: str
) -> Partition:
    """The days of an input that a day of a batch is made from, where it was read from `first` on."""
    back = days_from(first, partitions[0])
    # A run sees of each table what has been published by its day.
    ahead = spec.lag_days(table) - spec.lag_days(source)
    return Partition(days_later(day, -back), days_later(day, ahead))


def _begins(spec: Pipeline, table: str, shown: Iterable[str]) -> str | None:
    """The first day of a table that is due; None where nothing says so yet."""
    return spec.data_day(table, day_of(spec.starts)) if spec.starts else min(shown, default=None)


def _missed_weeks(shown: Iterable[str], last: str) -> Iterator[str]:
    """Days to `last`, each a week after another, in whose week nothing was published by `last`."""
    days = [day for day in sorted(shown) if day <= last]
    for day, following in zip_longest(days, days[1:]):
        due = days_later(day, _WEEK)
        while due <= last if following is None else days_later(due, _WEEK) <= following:
            yield due
            due = days_later(due, _WEEK)
