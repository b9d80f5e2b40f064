"""A delivery on its way to be damaged: the rows of one source and day, in plain Python, and then its file.

Rows are damaged as columns of Python values, because damage has no type: a number becomes a word, a date becomes
another spelling. What still has the declared type is written as the feed writes it; a column that has not is written
as text.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from random import Random
from typing import TYPE_CHECKING, Any

from sluice.declare.spec import Source
from sluice_lab.feed.formats import encode

if TYPE_CHECKING:
    import pyarrow as pa

# Columns by whose values rows go wrong together: one airport's system, one carrier's.
_GROUPS = {
    "schedule": ("origin", "carrier", "dest"),
    "arrivals": ("origin", "carrier", "dest"),
    "weather": ("origin",),
    "planes": ("manufacturer",),
    "airports": ("tzone",),
    "airlines": (),
}
# A group has to be this share of the rows, or damage to it says nothing.
_GROUP_SHARE = 0.05


class NotApplicableError(Exception):
    """This damage cannot be done to this delivery; another day or source is drawn."""


class Rows:
    """Rows of a table that a mutator changes, as columns of Python values; `groups` are columns by whose values rows go wrong
    together."""

    columns: dict[str, list[Any]]
    groups: tuple[str, ...]
    rng: Random

    @property
    def size(self) -> int:
        """Rows that there are now."""
        return len(next(iter(self.columns.values())))

    def require(self, found: list[str], least: int = 1) -> list[str]:
        """The list itself, where it is long enough to draw from.

        Raises:
            NotApplicableError: it is not.
        """
        if len(found) < least:
            raise NotApplicableError
        return found

    def some(self, low: float = 0.05, high: float = 1.0) -> list[int]:
        """Indices of a random share of the rows, and at least of one; the share is drawn between `low` and `high`."""
        share = self.rng.uniform(low, high)
        return sorted(self.rng.sample(range(self.size), max(1, round(share * self.size))))

    def group(self) -> tuple[str, Any, list[int]]:
        """A column, one of its values that enough rows have, and their indices."""
        names = [name for name in self.groups if name in self.columns]
        self.rng.shuffle(names)
        for name in names:
            values = self.columns[name]
            large = [v for v in dict.fromkeys(values) if values.count(v) >= _GROUP_SHARE * self.size]
            if v := self.rng.choice(large) if large else None:
                return name, v, [i for i, value in enumerate(values) if value == v]
        raise NotApplicableError

    def rows(self) -> tuple[list[int], str]:
        """Which rows are hit, and in words: all, a random share, or one group."""
        way = self.rng.choice(("all", "some", "some", "group"))
        if way == "group" and self.groups:
            name, value, found = self.group()
            return found, f"where {name} is {value}"
        if way == "all":
            return list(range(self.size)), "in all rows"
        found = self.some()
        return found, f"in {len(found) / self.size:.0%} of the rows"

    def change(self, name: str, rows: Sequence[int], function: Callable[[Any], Any]) -> None:
        """Replace the values of a column in some rows; nulls stay."""
        values = self.columns[name]
        for i in rows:
            if values[i] is not None:
                values[i] = function(values[i])

    def keep(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one may be there more than once."""
        if not rows:
            raise NotApplicableError
        self.columns = {name: [values[i] for i in rows] for name, values in self.columns.items()}

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        for name, values in self.columns.items():
            values.extend(row[name] for row in rows)

    def row(self, i: int) -> dict[str, Any]:
        return {name: values[i] for name, values in self.columns.items()}


@dataclass
class Draft(Rows):
    """What a mutator changes.

    `columns` has the values by column, in the order of the file; `order` may be changed to rename, drop or add columns.
    `edits` are applied to the bytes of the plain file (uncompressed), after the rows were written. `other` gives the
    clean rows of another day.
    """

    source: str
    declared: Source
    day: date
    table: pa.Table
    rng: Random
    other: Callable[[date], pa.Table]
    columns: dict[str, list[Any]] = field(init=False)
    groups: tuple[str, ...] = field(init=False)
    names: dict[str, str] = field(default_factory=dict)
    edits: list[Callable[[bytes], bytes]] = field(default_factory=list)
    # The manifest counts the lines of the finished file, not the rows that went into it.
    lines_counted: bool = False

    def __post_init__(self) -> None:
        self.columns, self.groups = self.table.to_pydict(), _GROUPS[self.source]

    @property
    def plain(self) -> bool:
        """Whether the file is text with a header and delimiters."""
        return self.declared.format in ("csv", "csv.gz")

    def of_type(self, *types: str, key: bool = False) -> list[str]:
        """Columns of the declared types that have values; those of the key only if asked for."""
        found = [
            name
            for name, column in self.declared.contract.columns.items()
            if column.type in types
            and (key or name not in self.declared.key)
            and any(value is not None for value in self.columns[name])
        ]
        return self.require(found)

    def column(self, *types: str, key: bool = False) -> str:
        return self.rng.choice(self.of_type(*types, key=key))

    def arrow(self) -> pa.Table:
        """The rows under the names that the file gives them; a column that lost its type is text."""
        import pyarrow as pa

        made = {}
        for name, values in self.columns.items():
            declared = self.table.schema.field(name).type if name in self.table.column_names else pa.string()
            try:
                array = pa.array(values, declared)
            except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError):
                array = pa.array([None if value is None else str(value) for value in values], pa.string())
            made[self.names.get(name, name)] = array
        return pa.table(made)

    def file(self) -> tuple[bytes, int]:
        """The bytes that are delivered, and the rows that their manifest announces."""
        rows = self.arrow()
        data = encode(rows, self.declared.format)
        if not self.edits:
            return data, rows.num_rows
        packed = self.declared.format == "csv.gz"
        plain = gzip.decompress(data) if packed else data
        for edit in self.edits:
            plain = edit(plain)
        announced = rows.num_rows
        if self.lines_counted:
            announced = len(plain.splitlines()) - self.plain
        return gzip.compress(plain, mtime=0) if packed else plain, announced
