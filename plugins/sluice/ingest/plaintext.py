"""What all text formats share: a file inflated within its budget, in UTF-8, without NUL, and not blank."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sluice.ingest.budget import Budget

# What a file may begin with when it is not what was declared.
_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "zip (or Excel)",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_PIECE = 1024 * 1024


class UnreadableError(Exception):
    """The file cannot be read at all; the message says why. Caught by `sluice.ingest.parse`.

    Args:
        todo: what would help besides another file.
    """

    def __init__(self, what: str, todo: str = "") -> None:
        super().__init__(what)
        self.todo = todo


def utf8(data: bytes, encoding: str = "utf-8") -> bytes:
    """The text of a file in UTF-8, without a byte order mark.

    Raises:
        UnreadableError: it is not in its encoding, has a NUL, or is blank.
    """
    if encoding != "utf-8":
        try:
            data = data.decode(encoding).encode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UnreadableError(
                f"The file is no {encoding.upper()} text: byte 0x{data[error.start]:02x}, in line {line} of the file"
                f"{looks_like(data)}."
            ) from None
    try:
        data.decode("utf-8")
        at = data.find(b"\0")
    except UnicodeDecodeError as error:
        at = error.start
    if at >= 0:
        line = data.count(b"\n", 0, at) + 1
        found = "a NUL byte" if data[at] == 0 else f"byte 0x{data[at]:02x}, which is not UTF-8"
        raise UnreadableError(
            f"The file is no UTF-8 text: {found}, in line {line} of the file{looks_like(data)}.",
            "if the producer always writes another encoding, declare it: `encoding` under `reading` of the contract",
        )
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise UnreadableError("The file is blank.")
    return data


def inflate(data: bytes, budget: Budget) -> bytes:
    """The content of a gzip file, as long as it is within its limits.

    Raises:
        UnreadableError: it is truncated, damaged, or no gzip file.
        OverBudgetError: it inflates to too much; no more of it than a piece is inflated.
    """
    plain = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            while piece := file.read(_PIECE):
                plain += piece
                budget.check_unpacked(len(plain), len(data))
    except EOFError as error:
        raise UnreadableError("The gzip file is truncated: it ends in the middle.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableError(f"The file is damaged, or is not gzip{looks_like(data)}.") from error
    return bytes(plain)


def looks_like(data: bytes) -> str:
    """What else a file may be, to follow what it is not; "" where nothing is recognised."""
    kind = next((kind for begin, kind in _SIGNATURES.items() if data.startswith(begin)), None)
    return f"; it looks like {kind}" if kind else ""
