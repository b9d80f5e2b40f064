"""What is measured of a sample: the days that it holds, its smallest key, and the values and ranges of its columns."""

# ruff: noqa: S608 - names of columns are checked when the sample is read
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING, Any

from sluice.core.sql import literal, quoted
from sluice.scaffold import headroom
from sluice.scaffold.sample import Sample

if TYPE_CHECKING:
    import duckdb

# A text column lists its values where it has at most so many, and each comes so often on average: with fewer rows a value that
# the sample lacks would be likely.
_FEWEST_VALUES, _MOST_VALUES, _ROWS_PER_VALUE = 2, 20, 10
# Columns of a key, and sets of columns that are tried for one: of 30 columns all pairs and triples, and some of four.
_MOST_KEY_COLUMNS, _MOST_TRIES = 4, 5_000


@dataclass(frozen=True)
class Range:
    """The smallest and the largest number of a column."""

    low: float
    high: float

    @property
    def wide(self) -> tuple[float, float]:
        """The range as a rule allows it."""
        return headroom.widened(self.low, self.high)


@dataclass(frozen=True)
class Measured:
    """What a sample holds."""

    rows: int
    # Column -> the days (YYYY-MM-DD) that it names, of columns of days or instants without gaps.
    days: dict[str, tuple[str, ...]]
    # The smallest set of columns that no two different rows have in common; None where none was found.
    key: tuple[str, ...] | None
    values: dict[str, tuple[str, ...]]
    ranges: dict[str, Range]


class Measurements:
    """A sample as a table that can be asked; a context manager."""

    def __init__(self, sample: Sample, zone: str) -> None:
        self.sample, self.zone = sample, zone

    def __enter__(self) -> Measurements:
        import duckdb

        self._con: duckdb.DuckDBPyConnection = duckdb.connect()
        self._con.register("given", self.sample.rows)
        # Exact duplicates are dropped when a delivery is staged.
        self._con.execute("create table sample as select distinct * from given")
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def all(self) -> Measured:
        """Measure everything."""
        columns = self.sample.contract.columns
        return Measured(
            rows=self.sample.rows.num_rows,
            days={
                name: self.days(name)
                for name, column in columns.items()
                if column.type in ("date", "timestamp") and not column.nullable
            },
            key=self._smallest_key(),
            values={
                name: found
                for name, column in columns.items()
                if column.type == "string" and (found := self._values(name))
            },
            ranges={
                name: self._range(name)
                for name, column in columns.items()
                if column.type in ("integer", "number")
            },
        )

    def days(self, name: str) -> tuple[str, ...]:
        """The days that a column names, in the pipeline's zone, oldest first."""
        day = day_of(self.sample, name, self.zone)
        return tuple(
            str(found) for (found,) in self._rows(f"select distinct {day} as day from sample order by day")
        )

    def repeated(self, key: Sequence[str]) -> int:
        """Different rows of the sample whose key another row has, too."""
        names = ", ".join(map(quoted, key))
        (found,) = self._rows(
            f"select coalesce(sum(rows), 0) from (select count(*) as rows from sample group by {names}) where rows > 1"
        )
        return int(found[0])

    def _smallest_key(self) -> tuple[str, ...] | None:
        rows = self._count("*")
        known = {
            name: self._count(f"distinct {quoted(name)}")
            for name, column in self.sample.contract.columns.items()
            # A measured number is no name of a thing, however rarely it comes twice.
            if not column.nullable and column.type != "number"
        }
        # What is the same in every row tells none from another.
        names = [name for name, distinct in known.items() if distinct > 1]
        tries = 0
        for size in range(1, _MOST_KEY_COLUMNS + 1):
            for chosen in combinations(names, size):
                if prod(known[name] for name in chosen) < rows:
                    continue
                tries += 1
                if tries > _MOST_TRIES:
                    return None
                if self._count(f"distinct ({', '.join(map(quoted, chosen))})") == rows:
                    return chosen
        return None

    def _values(self, name: str) -> tuple[str, ...]:
        distinct = self._count(f"distinct {quoted(name)}")
        if (
            not _FEWEST_VALUES <= distinct <= _MOST_VALUES
            or self._count(quoted(name)) < distinct * _ROWS_PER_VALUE
        ):
            return ()
        column = quoted(name)
        found = self._rows(f"select distinct {column} from sample where {column} is not null order by 1")
        return tuple(value for (value,) in found)

    def _range(self, name: str) -> Range:
        ((low, high),) = self._rows(f"select min({quoted(name)}), max({quoted(name)}) from sample")
        return Range(low, high)

    def _count(self, what: str) -> int:
        return int(self._rows(f"select count({what}) from sample")[0][0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._con.execute(query).fetchall()


def day_of(sample: Sample, name: str, zone: str) -> str:
    """SQL of the day that a column of days or instants names, in a zone."""
    if sample.contract.columns[name].type == "date":
        return quoted(name)
    return f"cast(timezone({literal(zone)}, {quoted(name)}) as date)"
