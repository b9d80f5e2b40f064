"""Check the quotes of a CSV file and count its records, without the reader that makes columns of them.

Arrow's CSV reader is lenient: it takes a quote inside a value, and text after a closing quote, as they come, and two
stray quotes swallow all rows between them. RFC 4180 allows a quote only where a quoted value begins or ends, or doubled
inside of one. What comes before each opening quote and after each closing one is looked at here, for all quotes of a
block at once, so that the check is a fraction of the reading; the count is what the reader's rows are compared with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes that are looked at together: what the check needs is a few times this.
_BLOCK = 1024 * 1024
_LF, _CR = 10, 13
# Stand for an escaped quote and an escaped backslash: bytes that a text in UTF-8 without NUL does not have.
ESCAPED, ESCAPED_BACKSLASH = 0, 255
_BEFORE = "a quote inside of a value that does not begin with one"
_AFTER = "text after the closing quote"
_OUTSIDE = "an escaped backslash outside of quotes"

About = Literal["quotes", "backslashes", "line ends"]
_ESCAPES: tuple[tuple[int, str, About], ...] = (
    (ESCAPED, _BEFORE, "quotes"),
    (ESCAPED_BACKSLASH, _OUTSIDE, "backslashes"),
)


@dataclass(frozen=True)
class Fault:
    """The first place at which a file is not RFC 4180."""

    what: str
    about: About
    # Blank lines are not counted; the header is record 0.
    record: int
    # Counted from 0; None where it could be several.
    field: int | None
    # Lines of the file, counted from 0: that where the value begins, and that of the fault.
    begins: int
    line: int


@dataclass
class _State:
    """What is known before a block."""

    records: int = 0
    # Whether a quoted value is open.
    inside: int = 0
    # Position after the last line end outside of quotes.
    record_start: int = 1
    # Whether the byte before the block is such a line end.
    at_start: bool = True
    line_feeds: int = 0
    # Position of the first carriage return without a line feed, outside of quotes.
    lone_return: int | None = None


def count(data: bytes, delimiter: str, quote: str | None, *, doubled: bool = True) -> int | Fault:
    """The number of records, blank lines left out and the header included, or the first fault.

    Args:
        data: UTF-8.
        quote: None: a quote is text like any other.
        doubled: whether a quoted value may have a quote inside, written twice; otherwise one is written as `ESCAPED`, and
            a backslash as `ESCAPED_BACKSLASH`.
    """
    import pyarrow as pa

    # A line end at both sides, and something after it: every byte that is looked at has neighbours.
    text = b"\n" + data + b"\n\n"
    array = pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)])
    dialect = _Dialect(text, array, ord(delimiter), ord(quote) if quote else None, doubled)
    state = _State()
    for start in range(1, len(text) - 1, _BLOCK):
        if fault := dialect.look(state, start, min(start + _BLOCK, len(text) - 1)):
            return fault
    if state.inside:
        return dialect.fault("a quote is opened and never closed", "quotes", state, len(data))
    # The line feed at the end is ours.
    if state.lone_return is not None and state.line_feeds > 1:
        before = count(text[1 : state.lone_return], delimiter, quote, doubled=doubled)
        assert isinstance(before, int)  # looked at already
        line = dialect.line(state.lone_return)
        what = "a carriage return without a line feed, outside of quotes"
        return Fault(what, "line ends", before - 1, None, line, line)
    return state.records


@dataclass(frozen=True)
class _Dialect:
    text: bytes
    array: pa.UInt8Array
    delimiter: int
    quote: int | None
    doubled: bool

    def look(self, state: _State, start: int, stop: int) -> Fault | None:
        """Look at the bytes of a block, and take the state to its end."""
        import pyarrow as pa
        import pyarrow.compute as pc

        block = self.array.slice(start, stop - start)
        feeds = pc.equal(block, pa.scalar(_LF, pa.uint8()))
        returns = pc.equal(block, pa.scalar(_CR, pa.uint8()))
        marks = (
            []
            if self.quote is None
            else [self.quote]
            if self.doubled
            else [self.quote, ESCAPED, ESCAPED_BACKSLASH]
        )
        if state.inside or any(self.text.find(mark, start, stop) >= 0 for mark in marks):
            quotes = pc.equal(block, pa.scalar(self.quote, pa.uint8()))
            # Sums wrap at 256, which keeps them even or odd. After an opening quote it is odd.
            sums = pc.cumulative_sum(quotes.cast(pa.uint8()), pa.scalar(state.inside, pa.uint8()))
            inside = pc.equal(pc.bit_wise_and(sums, pa.scalar(1, pa.uint8())), pa.scalar(1, pa.uint8()))
            outside = pc.invert(inside)
            beside = self._beside(start, stop)
            wrong = [
                *self._first(
                    pc.and_not(pc.and_(quotes, inside), beside.slice(0, len(block))), start, _BEFORE, "quotes"
                ),
                *self._first(
                    pc.and_not(pc.and_(quotes, outside), beside.slice(2, len(block))), start, _AFTER, "quotes"
                ),
            ]
            for mark, what, about in () if self.doubled else _ESCAPES:
                wrong += self._first(
                    pc.and_(pc.equal(block, pa.scalar(mark, pa.uint8())), outside), start, what, about
                )
            if wrong:
                at, what, about = min(wrong)
                self._advance(state, start, at, pc.and_(feeds, outside), pc.and_(returns, outside))
                return self.fault(what, about, state, at)
            feeds, returns = pc.and_(feeds, outside), pc.and_(returns, outside)
            state.inside = int(inside[-1].as_py())
        self._advance(state, start, stop, feeds, returns)
        return None

    def _beside(self, start: int, stop: int) -> pa.BooleanArray:
        """Of each byte from that before a block to that after it: whether a quote may stand beside it."""
        import pyarrow as pa
        import pyarrow.compute as pc

        allowed = bytes([self.delimiter, _LF, _CR, *([self.quote] if self.doubled and self.quote else [])])
        table = bytes(each in allowed for each in range(256))
        classes = self.text[start - 1 : stop + 1].translate(table)
        array = pa.Array.from_buffers(pa.uint8(), len(classes), [None, pa.py_buffer(classes)])
        return pc.equal(array, pa.scalar(1, pa.uint8()))

    @staticmethod
    def _first(wrong: pa.BooleanArray, start: int, what: str, about: About) -> list[tuple[int, str, About]]:
        import pyarrow as pa
        import pyarrow.compute as pc

        at = pc.index(wrong, pa.scalar(True)).as_py() if pc.any(wrong).as_py() else -1
        return [(start + at, what, about)] if at >= 0 else []

    def _advance(
        self, state: _State, start: int, stop: int, feeds: pa.BooleanArray, returns: pa.BooleanArray
    ) -> None:
        """Count the records that end before `stop`; `feeds` and `returns` are line ends outside of quotes."""
        import pyarrow as pa
        import pyarrow.compute as pc

        feeds, returns = feeds.slice(0, stop - start), returns.slice(0, stop - start)
        ends = pc.or_(feeds, returns)
        at = pc.indices_nonzero(ends)
        if len(ends):
            after_end = pa.concat_arrays([pa.array([state.at_start]), ends.slice(0, len(ends) - 1)])
            state.records += pc.sum(pc.and_not(ends, after_end)).as_py() or 0
            state.at_start = ends[-1].as_py()
            state.line_feeds += pc.sum(feeds).as_py()
        if len(at):
            state.record_start = start + at[-1].as_py() + 1
        if state.lone_return is None and pc.any(returns).as_py():
            places = pc.add(pc.indices_nonzero(returns), pa.scalar(start, pa.uint64())).cast(pa.int64())
            lone = pc.index(
                pc.equal(self.array.take(pc.add(places, 1)), pa.scalar(_LF, pa.uint8())), pa.scalar(False)
            )
            state.lone_return = places[lone.as_py()].as_py() if lone.as_py() >= 0 else None

    def fault(self, what: str, about: About, state: _State, at: int) -> Fault:
        """What is wrong at a position, with the value in whose record it is; `state` is that before the position."""
        if self.quote is None:
            raise AssertionError("without quotes nothing can be wrong with them")
        quote, delimiter = re.escape(bytes([self.quote])), re.escape(bytes([self.delimiter]))
        inner = b"(?:[^%b]++|%b%b)*+" % (quote, quote, quote) if self.doubled else b"[^%b]*+" % quote
        value = re.compile(b"%b%b%b?|[^%b\r\n]*+" % (quote, inner, quote, delimiter))
        begins, field = state.record_start, 0
        while (match := value.match(self.text, begins)) and match.end() <= at:
            begins, field = match.end() + 1, field + 1
        return Fault(what, about, state.records, field, self.line(begins), self.line(at))

    def line(self, at: int) -> int:
        """The line of a position, counted from 0."""
        return self.text.count(b"\n", 1, at) or self.text.count(b"\r", 1, at)
