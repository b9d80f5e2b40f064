"""What a batch records of the history that was missing when it was built, and the column that tells a reader.

The rule kept here: it is written when the batch is staged, and is part of the batch from then on. A day that comes later
changes no row; see `sluice.schedule.missing_history` for what is to be rebuilt then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from sluice.lake.columns import DAY, MISSING_HISTORY_DAYS, append

if TYPE_CHECKING:
    import pyarrow as pa

# Missing days that a sentence names one by one, the first.
_NAMED = 3


class MissingHistory(BaseModel):
    """Days of one table that rows of a batch look back on, that were due, and that were not published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    # Day of the batch -> the missing days of the table that its rows look back on, sorted.
    days: dict[str, tuple[str, ...]]

    @property
    def missing(self) -> tuple[str, ...]:
        """All missing days of the table, sorted."""
        return tuple(sorted({day for listed in self.days.values() for day in listed}))

    @property
    def named(self) -> str:
        """The table with its missing days, the first of them by name."""
        more = f" and {len(self.missing) - _NAMED} more" if len(self.missing) > _NAMED else ""
        return f"{self.table} {', '.join(self.missing[:_NAMED])}{more}"

    def sentence(self) -> str:
        days = sorted(self.days)
        rows = days[0] if len(days) == 1 else f"{len(days)} days, {days[0]} to {days[-1]}"
        return f"Made without history that was due and not published: {self.named} (rows of {rows})."


def mark(data: pa.Table, missing: Sequence[MissingHistory], where: str) -> pa.Table:
    """Append the column `missing_history_days` to rows that have the partition column.

    Raises:
        ContractBrokenError: the rows have a column of that name already.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts: dict[str, int] = {}
    for each in missing:
        for day, listed in each.days.items():
            counts[day] = counts.get(day, 0) + len(listed)
    place = pc.index_in(pc.cast(data[DAY], pa.string()), value_set=pa.array(list(counts), pa.string()))
    found = pa.chunked_array([pa.array(list(counts.values()), pa.int64())]).take(place)
    return append(data, MISSING_HISTORY_DAYS, pc.fill_null(found, 0), where)
