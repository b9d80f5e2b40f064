"""Parquet becomes columns: what the footer announces is held against the limits first, then each piece that is decoded.

A footer can say anything. What it says is refused where that alone is too much; where it lies, the decoded pieces are
counted, and the memory of the process is limited.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sluice.ingest import columns, names, versions
from sluice.ingest.columns import BrokenColumnsError, Problem
from sluice.ingest.plaintext import UnreadableError, looks_like

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Layout

# Rows decoded at a time: what a limit can be passed by before it is seen.
_BATCH = 4_096


def read(data: bytes, layout: Layout, budget: Budget) -> columns.Found:
    """Read a Parquet file.

    Raises:
        UnreadableError: it is truncated, damaged, or no Parquet file.
        BrokenColumnsError: columns are missing or given twice, or a value is not of its type.
        OverBudgetError: it announces or decodes to too much.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Old 96-bit timestamps reach further than the nanoseconds that Arrow takes them for, and wrap around.
        file = pq.ParquetFile(
            pa.BufferReader(data), page_checksum_verification=True, coerce_int96_timestamp_unit="us"
        )
        _check_footer(file, len(data), budget)
        given = file.schema_arrow.names
        spelled = layout.spelled(given)
        left_out = names.check(spelled, layout)
        delivered = dict(zip(spelled, given, strict=True))
        # What another version has in place of a column tells of which version a row is.
        wanted = [*layout.columns, *layout.others_of(spelled)]
        table = _decode(file, [delivered[name] for name in wanted], budget).rename_columns(wanted)
        table.validate(full=True)
        if table.num_rows != file.metadata.num_rows:
            raise ValueError("there are fewer rows than the footer announces")
        _check_int96(data, file, table, delivered)
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableError(
            f"The Parquet file is truncated, damaged, or none{looks_like(data)}."
        ) from error
    versions.check_stated(table, layout)
    versions.check_union(table, layout)
    # The footer's count, made by who wrote the file.
    return columns.Found(columns.convert(table, layout), left_out, file.metadata.num_rows)


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


def _decode(file: ParquetFile, wanted: list[str], budget: Budget) -> pa.Table:
    import pyarrow as pa

    pieces, rows, size = [], 0, 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=wanted, use_threads=False):
        size += batch.nbytes
        # A column that repeats one value is a page of a few bytes, and rightly so: no ratio here.
        budget.check_unpacked(size, size)
        piece = pa.Table.from_batches([batch]).select(wanted)
        budget.check_cells(piece, rows + 1)
        rows += piece.num_rows
        pieces.append(piece)
    return pa.concat_tables(pieces) if pieces else file.read(columns=wanted, use_threads=False).select(wanted)


def _check_int96(data: bytes, file: ParquetFile, table: pa.Table, delivered: Mapping[str, str]) -> None:
    """Refuse 96-bit timestamps with a part of a microsecond, which Arrow cuts off without a word.

    Read as nanoseconds they wrap around at 64 bits; what is beside the microseconds shows all the same.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    leaves = (file.schema.column(at) for at in range(len(file.schema)))
    old = {leaf.path for leaf in leaves if leaf.physical_type == "INT96"}
    for name in table.column_names:
        if delivered[name] not in old:
            continue
        nanoseconds = (
            pq.ParquetFile(pa.BufferReader(data)).read([delivered[name]], use_threads=False).column(0)
        )
        micros = table[name].cast(pa.int64())
        whole = pc.equal(pc.multiply(micros, 1000), nanoseconds.cast(pa.int64()))
        if (row := pc.index(whole, False).as_py()) >= 0:
            what = f"column {name!r}, row {row + 1}: a timestamp has a part of a microsecond"
            raise BrokenColumnsError([Problem(what, f"{name}: timestamps to the microsecond")])
