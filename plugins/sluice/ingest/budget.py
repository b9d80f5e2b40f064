"""Limits while a file is read: each is asked as early as its number is known, and stops the reading there.

Imported by the process that reads, so nothing here may be slow to import; the limits that people declare are
`sluice.declare.limits`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sluice.core.errors import LimitExceededError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.limits import Limits

KIB, MIB = 1024, 1024 * 1024
# A tiny file may well unpack to a hundred times its size.
_RATIO_FROM = MIB


class OverBudgetError(Exception):
    """A file passed a limit. Caught by `sluice.ingest.parse`, which knows the file's name."""

    def __init__(self, limit: str, what: str, allowed: str) -> None:
        super().__init__(what)
        self.limit, self.what, self.allowed = limit, what, allowed

    def as_error(self, where: str) -> LimitExceededError:
        """Return the error that a person is shown."""
        return LimitExceededError(
            self.what,
            where=where,
            allowed=f"{self.allowed} (`limits.{self.limit}` of the source)",
            todo=f"if the producer means it, raise `limits.{self.limit}` of the source in the pipeline's YAML and "
            "replay the day; if not, have the producer deliver a correct file with the next number",
        )


@dataclass(frozen=True)
class Budget:
    """The limits of a source, in plain values; every method raises OverBudgetError."""

    file_mib: int
    unpacked_mib: int
    ratio: int
    rows: int
    columns: int
    cell_kib: int
    memory_mib: int
    cpu_seconds: int
    wall_seconds: int

    @classmethod
    def of(cls, limits: Limits) -> Budget:
        return cls(**limits.model_dump())

    def plain(self) -> dict[str, int]:
        return asdict(self)

    def check_file(self, size: int) -> None:
        if size > self.file_mib * MIB:
            raise OverBudgetError(
                "file_mib", f"The file is too large: {_mib(size)}.", f"at most {self.file_mib} MiB"
            )

    def check_unpacked(self, size: int, packed: int) -> None:
        """Args: size: bytes that came out so far, or are announced; packed: bytes of the file."""
        if size > _RATIO_FROM and size > self.ratio * packed:
            raise OverBudgetError(
                "ratio",
                f"The file unpacks to more than {self.ratio} times its size: at least {_mib(size)} out of "
                f"{packed:,} bytes.",
                f"at most {self.ratio} times",
            )
        if size > self.unpacked_mib * MIB:
            raise OverBudgetError(
                "unpacked_mib",
                f"The file unpacks to more than {self.unpacked_mib} MiB: at least {_mib(size)} out of "
                f"{_mib(packed)}.",
                f"at most {self.unpacked_mib} MiB",
            )

    def check_rows(self, count: int) -> None:
        if count > self.rows:
            raise OverBudgetError(
                "rows", f"The file has too many rows: {count:,}.", f"at most {self.rows:,} rows"
            )

    def check_columns(self, count: int, row: int | None = None) -> None:
        if count > self.columns:
            place = f"Row {row}" if row else "The file"
            raise OverBudgetError(
                "columns", f"{place} has too many columns: {count:,}.", f"at most {self.columns:,} columns"
            )

    def check_names(self, size: int) -> None:
        """Args: size: of all column names together, in bytes."""
        if size > self.cell_kib * KIB:
            raise OverBudgetError(
                "cell_kib",
                f"The names of the columns are too long: {size:,} bytes together.",
                f"at most {self.cell_kib} KiB",
            )

    def check_cells(self, table: pa.Table, first_row: int = 1) -> None:
        """Args: table: with the contract's columns, whose names may be shown; first_row: number of its first row."""
        import pyarrow.compute as pc
        import pyarrow.types as types

        for name, values in zip(table.column_names, table.columns, strict=True):
            if types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            if not (types.is_string(values.type) or types.is_large_string(values.type)):
                continue
            sizes = pc.binary_length(values)
            longest: Any = pc.max(sizes).as_py()
            if longest and longest > self.cell_kib * KIB:
                row = first_row + pc.index(pc.greater(sizes, self.cell_kib * KIB), True).as_py()
                raise OverBudgetError(
                    "cell_kib",
                    f"Column {name!r}, row {row}: the value is too long; the longest of the column has "
                    f"{longest:,} bytes.",
                    f"at most {self.cell_kib} KiB",
                )

    def over_memory(self, found: int | None = None) -> OverBudgetError:
        """Args: found: bytes seen, where somebody saw them."""
        said = f": {_mib(found)} so far" if found else ""
        return OverBudgetError(
            "memory_mib",
            f"Reading the file needs more than {self.memory_mib} MiB of memory{said}.",
            f"at most {self.memory_mib} MiB",
        )

    def over_cpu(self) -> OverBudgetError:
        return OverBudgetError(
            "cpu_seconds",
            f"Reading the file takes more than {self.cpu_seconds} s of processor time.",
            f"at most {self.cpu_seconds} s",
        )

    def over_wall(self) -> OverBudgetError:
        return OverBudgetError(
            "wall_seconds",
            f"Reading the file takes longer than {self.wall_seconds} s.",
            f"at most {self.wall_seconds} s",
        )


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f} MiB"
