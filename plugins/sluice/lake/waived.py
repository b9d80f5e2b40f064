"""What a batch records of the waivers that it rests on through its inputs, and the column that tells a reader.

The rule kept here: it is written when the batch is staged, and is part of the batch from then on. A waiver that ends
later, or an input that is corrected later, changes no row; see `sluice.waivers.inherited` for what is to be rebuilt then.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from sluice.core.partitions import Partition
from sluice.lake.columns import DAY, HAS_WAIVED_INPUT, append

if TYPE_CHECKING:
    import pyarrow as pa


class WaivedInput(BaseModel):
    """A waiver that rows of a batch rest on, because something that they were made from was published on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Number of the waiver in the ledger.
    waiver: int
    # What was released with it: a table, and the label of its days.
    table: str
    partition: str
    by: str
    until: str
    # The direct inputs that brought it: names of tables, or of the model with its version.
    through: tuple[str, ...]
    # Days of the batch whose rows rest on it, sorted.
    days: tuple[str, ...]

    @property
    def released(self) -> str:
        """What was released, by whom and until when."""
        return f"{self.table} {self.partition}, released by {self.by} until {self.until}"

    def sentence(self) -> str:
        return (
            f"Made from released data: {self.released} although it did not pass its rules "
            f"(through {', '.join(self.through)}; rows of {Partition.of(self.days)})."
        )


def mark(data: pa.Table, waived: Sequence[WaivedInput], where: str) -> pa.Table:
    """Append the column `has_waived_input` to rows that have the partition column.

    Raises:
        ContractBrokenError: the rows have a column of that name already.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pa.array(sorted({day for one in waived for day in one.days}), pa.string())
    marked = pc.is_in(pc.cast(data[DAY], pa.string()), value_set=days)
    return append(data, HAS_WAIVED_INPUT, marked, where)
