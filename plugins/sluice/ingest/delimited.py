"""CSV becomes columns of text, every row with as many fields as the header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.ingest import columns, dialect, names, plaintext, versions
from sluice.ingest.columns import BrokenColumnsError, Problem
from sluice.ingest.plaintext import UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.csv import InvalidRow

    from sluice.ingest.budget import Budget
    from sluice.ingest.dialect import Plain
    from sluice.ingest.layout import Layout


def read(data: bytes, layout: Layout, budget: Budget) -> columns.Found:
    """Read a CSV file.

    Raises:
        UnreadableError: it is no text, or no CSV.
        BrokenColumnsError: columns are missing or given twice, a quote is where none may be, a row is ragged, a value
            is not of its type, or another file begins inside.
        OverBudgetError: it has too many rows or columns, or too long a value.
    """
    file = dialect.plain(data, layout, budget)
    left_out = names.check(file.names, layout, dialect.hints(file, layout))
    ragged: list[tuple[int, int, int]] = []
    # The first row of another version, and which.
    others: list[tuple[int, int]] = []
    headers: list[tuple[int, list[str]]] = []

    def note(row: InvalidRow) -> str:
        # Arrow counts the header as row 1.
        ragged.append((row.number - 1, row.actual_columns, row.expected_columns))
        fields = layout.spelled(dialect.split(row.text, layout))
        if versions.is_header(fields, layout.known):
            headers.append((row.number - 1, fields))
        elif not others and (found := versions.fits(fields, layout)) is not None:
            others.append((row.number - 1, found))
        return "skip" if len(ragged) <= budget.rows else "error"

    try:
        table = _table(file, layout, note)
    except UnreadableError:
        budget.check_rows(len(ragged))  # where `note` put an end to it
        raise
    budget.check_rows(max(table.num_rows, len(ragged)))
    if headers:
        raise versions.header_inside(*headers[0], layout.version, layout.known)
    budget.check_cells(table)
    versions.check_repeated_header(table, layout)
    if others:
        raise versions.two_versions(*others[0], layout.version)
    versions.check_stated(table, layout)
    versions.check_union(table, layout)
    if ragged:
        raise BrokenColumnsError(
            [
                Problem(
                    f"row {row} has {fields} field(s), the header {expected}", "as many fields as the header"
                )
                for row, fields, expected in ragged
            ]
        )
    try:
        return columns.Found(columns.convert(table, layout), left_out, file.rows)
    except BrokenColumnsError as error:
        raise BrokenColumnsError(versions.told(error.problems, table, file.names, layout)) from None


def read_gzipped(data: bytes, layout: Layout, budget: Budget) -> columns.Found:
    """Read a gzip file of CSV; raises as `read`."""
    return read(plaintext.inflate(data, budget), layout, budget)


def _table(file: Plain, layout: Layout, note) -> pa.Table:
    """The contract's columns, as text; null where nothing is between two delimiters."""
    import pyarrow as pa
    from pyarrow import csv

    delivered = {name: header for header, name in zip(file.header, file.names, strict=True)}
    # What another version has in place of a column tells of which version a row is.
    names = [*layout.columns, *layout.others_of(file.names)]
    wanted = [delivered[name] for name in names]
    # Without a line end Arrow takes a lone header for no header.
    data = file.data if b"\n" in file.data else file.data + b"\n"
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            # One block and one thread: a block boundary may not cut a long row, and row numbers need one thread.
            read_options=csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=csv.ParseOptions(
                delimiter=layout.reading.delimiter,
                quote_char=layout.reading.quote or False,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise UnreadableError("The file cannot be read as CSV.") from error
    return table.rename_columns(names)
