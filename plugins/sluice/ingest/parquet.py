"""Parquet becomes columns: what the footer announces is held against the limits first, then each piece that is decoded.

A footer can say anything. What it says is refused where that alone is too much; where it lies, the decoded pieces are
counted, and the memory of the process is limited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.ingest import columns
from sluice.ingest.plaintext import UnreadableError, looks_like

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Layout

# Rows decoded at a time: what a limit can be passed by before it is seen.
_BATCH = 4_096


def read(data: bytes, layout: Layout, budget: Budget) -> tuple[pa.Table, list[str]]:
    """A Parquet file as columns in its own types, and the names of those that the layout does not have.

    Raises:
        UnreadableError: it is truncated, damaged, or no Parquet file.
        BrokenColumnsError: columns are missing or given twice.
        OverBudgetError: it announces or decodes to too much.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        _check_footer(file, len(data), budget)
        left_out = columns.check_names(file.schema_arrow.names, layout)
        table = _decode(file, layout, budget)
        table.validate(full=True)
        if table.num_rows != file.metadata.num_rows:
            raise ValueError("there are fewer rows than the footer announces")
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(
            f"The Parquet file is truncated, damaged, or none{looks_like(data)}."
        ) from error
    return table, left_out


def _check_footer(file: ParquetFile, size: int, budget: Budget) -> None:
    footer = file.metadata
    budget.check_columns(footer.num_columns)
    budget.check_rows(footer.num_rows)
    budget.check_names(sum(len(name.encode()) for name in file.schema_arrow.names))
    groups = (footer.row_group(at) for at in range(footer.num_row_groups))
    announced = sum(
        group.column(at).total_uncompressed_size for group in groups for at in range(group.num_columns)
    )
    budget.check_unpacked(announced, size)


def _decode(file: ParquetFile, layout: Layout, budget: Budget) -> pa.Table:
    import pyarrow as pa

    names, pieces, rows, size = list(layout.columns), [], 0, 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=names, use_threads=False):
        size += batch.nbytes
        # A column that repeats one value is a page of a few bytes, and rightly so: no ratio here.
        budget.check_unpacked(size, size)
        piece = pa.Table.from_batches([batch])
        budget.check_cells(piece, rows + 1)
        rows += piece.num_rows
        pieces.append(piece)
    return pa.concat_tables(pieces) if pieces else file.read(columns=names, use_threads=False)
