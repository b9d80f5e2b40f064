"""CSV becomes columns of text, every row with as many fields as the header."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from sluice.ingest import columns, plaintext, versions
from sluice.ingest.columns import BrokenColumnsError, Problem
from sluice.ingest.plaintext import UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.csv import InvalidRow

    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Layout


def read(data: bytes, layout: Layout, budget: Budget) -> tuple[pa.Table, list[str]]:
    """A CSV file as text columns, and the names of those that the layout does not have.

    Raises:
        UnreadableError: it is no text, or no CSV.
        BrokenColumnsError: columns are missing or given twice, a row is ragged, or another file begins inside.
        OverBudgetError: it has too many rows or columns, or too long a value.
    """
    plaintext.check(data)
    if data.count(b'"') % 2:
        # Arrow would take everything after it for one value.
        raise UnreadableError('A quote (") is opened and never closed.')
    _check_header(data, budget)
    ragged: list[tuple[int, int, int]] = []
    headers: list[tuple[int, list[str]]] = []

    def note(row: InvalidRow) -> str:
        # Arrow counts the header as row 1.
        ragged.append((row.number - 1, row.actual_columns, row.expected_columns))
        fields = [field.strip('"') for field in row.text.split(",")]
        if versions.is_header(fields, layout.known):
            headers.append((row.number - 1, fields))
        return "skip" if len(ragged) <= budget.rows else "error"

    try:
        table = _table(data, layout, note)
    except UnreadableError:
        budget.check_rows(len(ragged))  # where `note` put an end to it
        raise
    budget.check_rows(max(table.num_rows, len(ragged)))
    left_out = columns.check_names(table.column_names, layout)
    if headers:
        raise versions.header_inside(*headers[0], layout.version, layout.known)
    budget.check_cells(table.select(list(layout.columns)))
    versions.check_repeated_header(table, layout.version, layout.known)
    if ragged:
        raise BrokenColumnsError(
            [
                Problem(
                    f"row {row} has {fields} field(s), the header {expected}", "as many fields as the header"
                )
                for row, fields, expected in ragged
            ]
        )
    return table, left_out


def read_gzipped(data: bytes, layout: Layout, budget: Budget) -> tuple[pa.Table, list[str]]:
    """As `read`, of a gzip file."""
    return read(plaintext.inflate(data, budget), layout, budget)


def _check_header(data: bytes, budget: Budget) -> None:
    """Count the columns before Arrow makes a builder for each: a million builders take gigabytes."""
    csv.field_size_limit(budget.cell_kib * 1024)
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
    try:
        header = next((row for row in rows if row), [])
    except csv.Error:  # the only one that is possible without `strict`: a field beyond the limit
        budget.check_names(max(len(line) for line in data.splitlines()))
        raise UnreadableError("The file cannot be read as CSV.") from None
    budget.check_columns(len(header))
    budget.check_names(sum(len(name.encode()) for name in header))


def _table(data: bytes, layout: Layout, note) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        return arrow_csv.read_csv(
            # Without a line end Arrow takes a lone header for no header.
            io.BytesIO(data if b"\n" in data else data + b"\n"),
            # One block and one thread: a block boundary may not cut a long row, and row numbers need one thread.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(layout.columns, pa.string()),
                null_values=["", "NA"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise UnreadableError("The file cannot be read as CSV.") from error
