"""A CSV file in the dialect that its source declares becomes one of RFC 4180 in UTF-8, with the lines before it gone.

Nothing else in the reading of CSV knows of encodings, of lines before the header, or of backslashes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.ingest import plaintext, records, versions
from sluice.ingest.columns import BrokenColumnsError, Problem
from sluice.ingest.plaintext import UnreadableError

if TYPE_CHECKING:
    from sluice.ingest.budget import Budget
    from sluice.ingest.layout import Layout

# Lines in which a header is looked for where the first has none.
_SEARCHED, _SEARCHED_BYTES = 20, 64 * 1024
_DELIMITERS = ";\t|,"
_ESCAPED, _BACKSLASH = bytes([records.ESCAPED]), bytes([records.ESCAPED_BACKSLASH])
_BACKSLASHES = (
    "a backslash only inside of quotes, before a quote or a backslash, or in a declared null such as \\N"
)


@dataclass(frozen=True)
class Plain:
    """A CSV file of RFC 4180, but for its delimiter and its quote."""

    data: bytes
    # Names of the header, as the file and as the contract spells them.
    header: list[str]
    names: list[str]
    # Records, without the header, counted by `sluice.ingest.records`.
    rows: int


def plain(data: bytes, layout: Layout, budget: Budget) -> Plain:
    """Read a file's dialect, strictly.

    Raises:
        UnreadableError: it is no text in its encoding.
        BrokenColumnsError: a quote is where none may be; names the row and the column.
        OverBudgetError: its header has too many columns, or too long ones.
    """
    reading = layout.reading
    text = plaintext.utf8(data, reading.encoding)
    body, dropped = _without_preface(text, layout)
    quote = reading.quote.encode() if reading.quote else b""
    if backslash := reading.escape == "backslash":
        body = _unescaped(body, quote, layout, dropped)
    counted = records.count(body, reading.delimiter, reading.quote, doubled=not backslash)
    if isinstance(counted, records.Fault):
        raise BrokenColumnsError([_problem(counted, body, layout, dropped)])
    body = body.replace(_ESCAPED, quote * 2).replace(_BACKSLASH, b"\\")
    header = _header(body, layout, budget)
    names = layout.spelled(header)
    if len(names) == 1:
        _refuse_blank_lines(body, quote)
    return Plain(body, header, names, max(counted - 1, 0))


def hints(file: Plain, layout: Layout) -> list[Problem]:
    """What may be wrong where the header lacks columns: another delimiter, or lines before it."""
    found, allowed = [], "a header in the first line, unless `reading` of the contract says otherwise"
    for delimiter in _DELIMITERS:
        if len(file.header) == 1 and _is_header(file.header[0].split(delimiter), layout):
            todo = f"declare `delimiter: {json.dumps(delimiter)}` under `reading` of the contract"
            found.append(Problem(f"its delimiter is perhaps {delimiter!r}", allowed, todo=todo))
    lines = file.data[:_SEARCHED_BYTES].decode(errors="replace").splitlines()[: _SEARCHED + 1]
    at = next((at for at, line in enumerate(lines) if at and _is_header(split(line, layout), layout)), None)
    if at:
        todo = f"declare `skip_lines: {layout.reading.skip_lines + at}` under `reading` of the contract"
        if lines[0].startswith("#") and all(line.startswith("#") for line in lines[:at]):
            todo += ', or `comment: "#"`'
        found.append(Problem(f"its header is perhaps in line {at + 1}", allowed, todo=todo))
    return found


def split(line: str, layout: Layout) -> list[str]:
    """Fields of a line that may be a header."""
    return [field.strip(layout.reading.quote or "") for field in line.split(layout.reading.delimiter)]


def _is_header(fields: Sequence[str], layout: Layout) -> bool:
    """Whether names are those of a header, in whatever case."""
    declared = {name.casefold(): name for names in layout.known.values() for name in names}
    return versions.is_header(
        [declared.get(field.strip().casefold(), field) for field in fields], layout.known
    )


def _without_preface(text: bytes, layout: Layout) -> tuple[bytes, int]:
    """The file from its header on, and how many lines were before it."""
    at, lines, comment = 0, 0, (layout.reading.comment or "").encode()
    while at < len(text) and (
        lines < layout.reading.skip_lines or (comment and text.startswith(comment, at))
    ):
        at, lines = (text.find(b"\n", at) + 1 or len(text)), lines + 1
    return text[at:], lines


def _unescaped(body: bytes, quote: bytes, layout: Layout, dropped: int) -> bytes:
    """The file with a stand-in for each escaped quote and each escaped backslash.

    Raises:
        BrokenColumnsError: a backslash is before something else, and is no part of a value that means null.
    """
    ends = (layout.reading.delimiter.encode(), b"\n", b"\r")
    nulls = {text.encode() for column in layout.columns.values() for text in column.nulls}

    def meant(match: re.Match[bytes]) -> bytes:
        if match[1] == quote:
            return _ESCAPED
        if match[1] == b"\\":
            return _BACKSLASH
        at = match.start()
        begins = at == 0 or body.startswith(ends, at - 1)
        if begins and any(body.startswith(null, at) and _ends(body, at + len(null), ends) for null in nulls):
            return match[0]
        line = body.count(b"\n", 0, at) + dropped + 1
        what = f"line {line} of the file: a backslash stands before {{value}}"
        allowed, todo = _advice("backslashes", layout)
        raise BrokenColumnsError([Problem(what, allowed, match[1].decode(errors="replace"), todo=todo)])

    return re.sub(rb"\\(.?)", meant, body, flags=re.DOTALL)


def _ends(body: bytes, at: int, ends: tuple[bytes, ...]) -> bool:
    return at == len(body) or body.startswith(ends, at)


def _problem(fault: records.Fault, body: bytes, layout: Layout, dropped: int) -> Problem:
    """A fault with its place: a column by its name where the contract has it, because a header may hold data."""
    row = f"row {fault.record}" if fault.record else "the header"
    column = ""
    if fault.field is not None:
        names = layout.spelled(split(body.split(b"\n", 1)[0].decode(errors="replace").rstrip("\r"), layout))
        name = names[fault.field] if fault.field < len(names) and fault.record else ""
        column = f", column {name!r}" if name in layout.columns else f", field {fault.field + 1}"
    begins, line = fault.begins + dropped + 1, fault.line + dropped + 1
    lines = f"line {line} of the file" if begins == line else f"lines {begins} to {line} of the file"
    allowed, todo = _advice(fault.about, layout)
    return Problem(f"{row}{column} ({lines}): {fault.what}", allowed, todo=todo)


def _advice(about: records.About, layout: Layout) -> tuple[str, str]:
    """What is allowed in the dialect that is declared, and what would help besides another file."""
    reading = layout.reading
    declare = "if its producer always writes so, declare it under `reading` of the contract"
    match about:
        case "line ends":
            allowed = "line ends that are all alike (LF, CR LF or CR)"
            if reading.quote:
                allowed += ", and others only inside of quotes"
            return allowed, "let its producer write them so"
        case "backslashes":
            return _BACKSLASHES, (
                "let its producer put values with a backslash in quotes; or take `escape: backslash` out of `reading` of the "
                "contract, if a backslash is text in its files"
            )
    only = f"a quote ({reading.quote}) only where a value begins and ends with one; inside of such a value a quote is written"
    if reading.escape == "backslash":
        return (
            f"{only} after a backslash",
            f"{declare}: no `escape`, where a quote is written twice, or another `quote`",
        )
    return f"{only} twice (RFC 4180)", (
        f"{declare}: `escape: backslash`, another `quote`, or `quote: null` where quotes are text"
    )


def _header(body: bytes, layout: Layout, budget: Budget) -> list[str]:
    """Names of the columns, counted before Arrow makes a builder for each: a million builders take gigabytes."""
    csv.field_size_limit(budget.cell_kib * 1024)
    quote = layout.reading.quote
    rows = csv.reader(
        io.TextIOWrapper(io.BytesIO(body), "utf-8", newline=""),
        delimiter=layout.reading.delimiter,
        quotechar=quote,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
    )
    try:
        header = next((row for row in rows if row), [])
    except csv.Error:  # the only one that is possible without `strict`: a field beyond the limit
        budget.check_names(max(len(line) for line in body.splitlines()))
        raise UnreadableError("The file cannot be read as CSV.") from None
    budget.check_columns(len(header))
    budget.check_names(sum(len(name.encode()) for name in header))
    return header


def _refuse_blank_lines(body: bytes, quote: bytes) -> None:
    """In a file of one column a blank line may be a row without a value, which is to be written as two quotes."""
    bare = re.sub(b"%b[^%b]*%b" % (quote, quote, quote), quote, body) if quote else body
    if blank := re.search(rb"(?:^|[^\r\n]\r?\n)\r?\n(?=[\r\n]*[^\r\n])", bare):
        row = bare.count(b"\n", 0, blank.end() - 1)
        what = f"row {row} is a blank line, and in a file of one column that may be a missing value"
        raise BrokenColumnsError([Problem(what, 'no blank line between rows; a missing value as ""')])
