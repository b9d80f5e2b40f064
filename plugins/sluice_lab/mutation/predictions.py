"""The predictions of a day between scoring and their gate, on their way to be damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from sluice_lab.mutation.draft import Rows

if TYPE_CHECKING:
    import pyarrow as pa

# The features' values of the same rows that a mutator may use: columns by whose values rows go wrong together, and the baseline.
SEGMENTS, BASELINE = ("carrier", "origin"), "carrier_late_rate_28d"


@dataclass
class Predictions(Rows):
    """What a mutator of scores changes.

    `columns` has the columns of `table`, in its order, and beside them those of the features in `beside`, which are not
    written. `other` gives the predictions that were published some days before.
    """

    table: pa.Table
    beside: Mapping[str, list[Any]]
    rng: Random
    other: Callable[[int], list[Mapping[str, Any]]]
    columns: dict[str, list[Any]] = field(init=False)
    groups: tuple[str, ...] = SEGMENTS

    def __post_init__(self) -> None:
        self.columns = {**self.table.to_pydict(), **{name: list(rows) for name, rows in self.beside.items()}}

    @property
    def scores(self) -> list[Any]:
        return self.columns["score"]

    def written(self) -> list[dict[str, Any]]:
        """The rows as they go to the gate."""
        return [{name: self.columns[name][i] for name in self.table.column_names} for i in range(self.size)]

    def arrow(self) -> pa.Table:
        import pyarrow as pa

        return pa.Table.from_pylist(self.written(), schema=self.table.schema)
