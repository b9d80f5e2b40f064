"""Damage: the bytes of a text file, on their way."""

from __future__ import annotations

from sluice_lab.mutation.draft import Draft, NotApplicableError
from sluice_lab.mutation.mutators.registry import mutator

_TEXT = ("schedule", "arrivals", "weather", "airports", "airlines")
_CSV = ("schedule", "arrivals", "airports", "airlines")
# Letters that are no ASCII, so that the encoding shows.
_ACCENT = {"a": "á", "e": "é", "i": "í", "o": "ö", "u": "ü", "n": "ñ", "A": "Å", "E": "É", "O": "Ø"}


def _accented(draft: Draft) -> None:
    """Give a name an accent, or there would be no encoding to get wrong."""
    if draft.source not in ("airports", "airlines"):
        raise NotApplicableError
    for i in draft.some(0.05, 0.5):
        draft.columns["name"][i] = "".join(_ACCENT.get(letter, letter) for letter in draft.columns["name"][i])


@mutator("encoding", sources=("airports", "airlines"))
def latin_1(draft: Draft) -> str:
    """The file is encoded as Latin-1."""
    _accented(draft)
    draft.edits.append(lambda data: data.decode().encode("latin-1", "replace"))
    return "names with accents, in Latin-1"


@mutator("encoding", sources=("airports", "airlines"))
def mojibake(draft: Draft) -> str:
    """Names were encoded as UTF-8, read as Latin-1 and encoded again."""
    _accented(draft)
    draft.change("name", range(draft.size), lambda v: v.encode().decode("latin-1"))
    return "names with accents, encoded twice"


@mutator("encoding", sources=_TEXT)
def utf_16(draft: Draft) -> str:
    """The file is encoded as UTF-16."""
    draft.edits.append(lambda data: data.decode().encode("utf-16"))
    return "the file is UTF-16"


@mutator("encoding", sources=_CSV, harmless=True)
def byte_order_mark(draft: Draft) -> str:
    """The file begins with a byte order mark."""
    draft.edits.append(lambda data: b"\xef\xbb\xbf" + data)
    return "a byte order mark"


@mutator("encoding", sources=_TEXT, harmless=True)
def carriage_returns(draft: Draft) -> str:
    """Lines end as on Windows."""
    draft.edits.append(lambda data: data.replace(b"\n", b"\r\n"))
    return "lines end in CR LF"


@mutator("delimiters", sources=_CSV)
def other_delimiter(draft: Draft) -> str:
    """Fields are separated by something else."""
    mark = draft.rng.choice((b";", b"\t", b"|"))
    draft.edits.append(lambda data: data.replace(b",", mark))
    return f"fields are separated by {mark.decode()!r}"


@mutator("delimiters", sources=_CSV, harmless=True)
def quotes_lost(draft: Draft) -> str:
    """Texts are not quoted; a comma in one then makes a field."""
    draft.edits.append(lambda data: data.replace(b'"', b""))
    return "no quotes"


@mutator("delimiters", sources=_CSV)
def a_quote_too_many(draft: Draft) -> str:
    """A quote is opened in the middle of the file, and closed further down."""
    at, length = draft.rng.uniform(0.1, 0.6), draft.rng.uniform(0.05, 0.3)

    def edit(data: bytes) -> bytes:
        lines = data.split(b"\n")
        first = max(1, int(at * len(lines)))
        last = min(len(lines) - 2, first + max(1, int(length * len(lines))))
        lines[first] = lines[first].rpartition(b",")[0] + b',"' + lines[first].rpartition(b",")[2]
        lines[last] += b'"'
        return b"\n".join(lines)

    draft.edits.append(edit)
    return "a quote is opened and closed rows later"


@mutator("headers", sources=_CSV)
def header_in_the_middle(draft: Draft) -> str:
    """A second header stands among the rows, as where two files were joined."""
    at = draft.rng.uniform(0.1, 0.9)

    def edit(data: bytes) -> bytes:
        lines = data.split(b"\n")
        lines.insert(max(1, int(at * len(lines))), lines[0])
        return b"\n".join(lines)

    draft.edits.append(edit)
    return "a header among the rows"


@mutator("headers", sources=_CSV)
def no_header(draft: Draft) -> str:
    """The file has no header."""
    draft.edits.append(lambda data: data.partition(b"\n")[2])
    return "no header"


@mutator("cut files", sources=_TEXT)
def cut_in_a_row(draft: Draft) -> str:
    """The file ends in the middle of a row, and the manifest was made of what is left."""
    at = draft.rng.uniform(0.2, 0.95)
    draft.lines_counted = True
    draft.edits.append(lambda data: data[: int(at * len(data))])
    return f"the file ends after {at:.0%} of its bytes"


@mutator("cut files", sources=_TEXT)
def a_row_cut(draft: Draft) -> str:
    """Rows in the middle of the file have lost their last fields."""
    at = draft.rng.uniform(0.1, 0.9)

    def edit(data: bytes) -> bytes:
        lines = data.split(b"\n")
        row = max(1, int(at * (len(lines) - 1)))
        lines[row] = lines[row][: len(lines[row]) // 2]
        return b"\n".join(lines)

    draft.edits.append(edit)
    return "a row has lost its last fields"
