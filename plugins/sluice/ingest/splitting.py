"""A file that holds several days becomes one file a day, each with the rows of its day exactly as they were written.

Of CSV the header and what is before it are repeated, and each record keeps its own characters: quotes, spaces and line ends.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sluice.core import clock
from sluice.core.errors import DeliveryUnreadableError
from sluice.core.partitions import EARLIEST, days_later
from sluice.core.partitions import day_of as day_of_date
from sluice.declare.reading import Reading
from sluice.declare.sources import Source
from sluice.declare.spec import Pipeline

# Characters of a value, which the limits of its source bound: the largest that Python's reader takes on every machine.
_LONGEST_VALUE = 2**31 - 1
# A record, and what its column says of its day.
_Record = tuple[str, Any]


def split(spec: Pipeline, source: str, data: bytes, column: str) -> dict[str, bytes]:
    """Split a file of a source by the day that a column names, in the pipeline's time zone.

    Args:
        column: as the file spells it; of days or instants.

    Returns: day (YYYY-MM-DD) -> file, oldest first.

    Raises:
        SourceUnknownError: the pipeline has no such source.
        DeliveryUnreadableError: the file has no such column or no rows, cannot be read in its format, or a row says no day, or one
            that is to come or is before the pipeline's first.
    """
    import pyarrow as pa

    declared = spec.source(source)
    is_date = (found := declared.contract.columns.get(column)) is not None and found.type == "date"
    day_of = _Days(
        f"{source}, column {column!r}", ZoneInfo(spec.timezone), declared.contract.reading, is_date
    )
    try:
        parts = (
            _of_parquet(data, column, day_of)
            if declared.format == "parquet"
            else _of_text(declared, data, column, day_of)
        )
    except (
        csv.Error,
        zlib.error,
        OSError,
        EOFError,
        UnicodeDecodeError,
        json.JSONDecodeError,
        pa.ArrowException,
        RecursionError,
    ) as error:
        raise _unreadable(f"The file cannot be read as {declared.format}: {error}", source) from error
    if not parts:
        raise _unreadable("The file has no rows.", source)
    earliest = days_later(day_of_date(spec.starts), -declared.lag_days) if spec.starts else EARLIEST
    today = day_of_date(clock.utc_now().astimezone(ZoneInfo(spec.timezone)).date())
    if odd := [day for day in parts if not earliest <= day <= today]:
        raise _unreadable(
            f"It has rows of days of which no file can be delivered: {', '.join(odd[:5])}.",
            source,
            f"days {earliest} to {today}",
        )
    return parts


def _of_text(declared: Source, data: bytes, column: str, day_of: _Days) -> dict[str, bytes]:
    reading, packed = declared.contract.reading, declared.format == "csv.gz"
    text = (gzip.decompress(data) if packed else data).decode(reading.encoding)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    before, records = (_jsonl if declared.format == "jsonl" else _csv)(
        text.removeprefix(mark), column, reading
    )
    parts: dict[str, list[str]] = {}
    for number, (raw, value) in enumerate(records, 1):
        parts.setdefault(day_of(value, number), []).append(raw if raw.endswith("\n") else raw + "\n")
    found = {
        day: (mark + before + "".join(raws)).encode(reading.encoding) for day, raws in sorted(parts.items())
    }
    return {day: gzip.compress(part, mtime=0) if packed else part for day, part in found.items()}


class _Days:
    """Reads the day of a row."""

    def __init__(self, where: str, zone: ZoneInfo, reading: Reading, is_date: bool) -> None:
        self._where, self._zone, self._is_date = where, zone, is_date
        self._naive = ZoneInfo(reading.naive_timestamps) if reading.naive_timestamps else zone

    def __call__(self, value: Any, number: int) -> str:
        try:
            if isinstance(value, str):
                value = (
                    date.fromisoformat(value)
                    if len(value) == len("2024-12-31")
                    else datetime.fromisoformat(value)
                )
            if isinstance(value, datetime) and self._is_date:
                value = value.date()  # a day that is written as its midnight
            if isinstance(value, datetime):
                at = value if value.tzinfo else value.replace(tzinfo=self._naive)
                value = at.astimezone(self._zone).date()
            return value.isoformat()
        except (AttributeError, ValueError, OverflowError):
            raise _unreadable(f"Row {number} says no day: {value!r}.", self._where) from None


def _csv(text: str, column: str, reading: Reading) -> tuple[str, Iterator[_Record]]:
    lines = _Lines(text)
    before = "".join(islice(lines, reading.skip_lines))
    while reading.comment and lines.rest.startswith(reading.comment):
        before += next(lines)
    lines.taken = ""
    backslash = reading.escape == "backslash"
    csv.field_size_limit(_LONGEST_VALUE)
    found = csv.reader(
        lines,
        delimiter=reading.delimiter,
        quotechar=reading.quote,
        quoting=csv.QUOTE_MINIMAL if reading.quote else csv.QUOTE_NONE,
        doublequote=not backslash,
        escapechar="\\" if backslash else None,
        strict=True,
    )
    header = next((fields for fields in found if fields), [])
    at = _place(column, header)
    before += lines.take()

    def records() -> Iterator[_Record]:
        for fields in found:
            raw = lines.take()
            if fields:
                yield raw, fields[at] if at < len(fields) else None

    return before, records()


class _Lines:
    """Lines of a text with their ends, which remembers those that were taken since it was last asked."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self.taken = text, 0, ""

    @property
    def rest(self) -> str:
        return self._text[self._at : self._at + 100]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._at >= len(self._text):
            raise StopIteration
        end = self._text.find("\n", self._at) + 1 or len(self._text)
        line, self._at = self._text[self._at : end], end
        self.taken += line
        return line

    def take(self) -> str:
        taken, self.taken = self.taken, ""
        return taken


def _jsonl(text: str, column: str, _: Reading) -> tuple[str, Iterator[_Record]]:
    def records() -> Iterator[_Record]:
        for line in text.split("\n"):
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict) or column not in row:
                    _place(column, row if isinstance(row, dict) else ())
                yield line + "\n", row[column]

    return "", records()


def _of_parquet(data: bytes, column: str, day_of: Callable[[Any, int], str]) -> dict[str, bytes]:
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(data))
    _place(column, rows.column_names)
    places: dict[str, list[int]] = {}
    for number, value in enumerate(rows[column].to_pylist()):
        places.setdefault(day_of(value, number + 1), []).append(number)
    found = {}
    for day, at in sorted(places.items()):
        part = io.BytesIO()
        pq.write_table(rows.take(at), part)
        found[day] = part.getvalue()
    return found


def _place(column: str, names: Iterable[str]) -> int:
    known = list(names)
    if column not in known:
        raise _unreadable(f"There is no column {column!r}.", "header", ", ".join(known))
    return known.index(column)


def _unreadable(what: str, where: str, allowed: str = "") -> DeliveryUnreadableError:
    return DeliveryUnreadableError(
        what,
        where=where,
        allowed=allowed or "a file in the source's format, with a day (2024-12-31) or an instant in each row",
        todo="correct the file, or name another column",
    )
