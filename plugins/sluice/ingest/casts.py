"""How values become those of a declared type: what is read, in which form, and what would lose something.

A value is accepted only if it means the same to everybody (no hexadecimal integers, no local times that nobody
declared, no NaN) and if nothing of it is lost. The formats agree because a value in a type of Parquet or JSON is read
where the text that CSV has for it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.contracts import ColumnType

_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DIGITS = r"^-?[0-9]+$"
# Of an integer that is not written as digits alone: nothing but zeros is after the point.
_WHOLE_TEXT = r"^-?[0-9]+\.0*$"
_BOOLEAN = r"^(?i:true|false|1|0)$"
# A day, written as the instant at which it begins.
_MIDNIGHT = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(:00(\.0+)?)?$"
_WITH_OFFSET = r"[T ][0-9:.]+(Z|[+-][0-9:]+)$"
_LOCAL_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+$"
# Zeros after the microsecond.
_FINER = r"(\.[0-9]{6})0+(Z|[+-][0-9:]+)?$"
# From here on a float stands for several integers.
_WHOLE = 2**53
# Texts of integers up to this length are within it.
_SHORT = 15
# 0001-01-01 and 10000-01-01, in days and in microseconds since 1970: neither Python nor most readers of the lake hold
# a value beyond them.
_FIRST_DAY, _END_DAY = -719_162, 2_932_897
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Rule:
    """How a declared type is read."""

    noun: str
    means: str
    type: pa.DataType
    # Arrow types that are taken besides text, of values as `plain` gives them.
    typed: Callable[[pa.DataType], bool]
    # Values in the type; ArrowInvalid if any of them is not one. The text is the zone of local times.
    cast: Callable[[pa.ChunkedArray, str | None], pa.ChunkedArray]

    def accepts(self, found: pa.DataType, zone: str | None) -> bool:
        import pyarrow.types as types

        if types.is_timestamp(self.type) and zone is None and _is_local(found):
            return False
        return types.is_string(found) or self.typed(found)


@lru_cache(maxsize=1)
def rules() -> dict[ColumnType, Rule]:
    import pyarrow as pa
    import pyarrow.types as types

    def numeric(found: pa.DataType) -> bool:
        return types.is_integer(found) or types.is_floating(found) or types.is_decimal(found)

    def logical(found: pa.DataType) -> bool:
        return types.is_boolean(found) or types.is_integer(found) or types.is_decimal(found)

    def day(found: pa.DataType) -> bool:
        return types.is_date(found) or _is_local(found)

    return {
        "string": Rule("a text without NUL", "text without NUL", pa.string(), types.is_string, _text),
        "integer": Rule(
            "an integer",
            "an integer such as -42, within 64 bits; with a fraction or exponent, as 2.0, below 2^53",
            pa.int64(),
            numeric,
            _integer,
        ),
        "number": Rule(
            "a finite number",
            "a finite number such as -1.5 or 2e3; an integer must be one that a 64-bit float holds exactly",
            pa.float64(),
            numeric,
            _number,
        ),
        "boolean": Rule("a boolean", "true or false, 1 or 0", pa.bool_(), logical, _boolean),
        "date": Rule(
            "a date", "a date as YYYY-MM-DD, or midnight without an offset", pa.date32(), day, _date
        ),
        "timestamp": Rule(
            "an instant with an offset",
            "an instant with its offset from UTC, such as 2013-01-31T06:00:00Z, to the microsecond",
            pa.timestamp("us", "UTC"),
            types.is_timestamp,
            _timestamp,
        ),
    }


def plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values without an encoding of their own; a column without any value as text."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    kinds = (types.is_large_string, types.is_string_view, types.is_null)
    return values.cast(pa.string()) if any(kind(values.type) for kind in kinds) else values


def without_nulls(values: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    """Values of a file, with null for each declared text that means it, also where its type has the value of that text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if types.is_floating(values.type) and "nan" in map(str.lower, texts):
        values = _nulled(values, pc.is_nan(values))
    meant = []
    for text in texts:
        with suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):  # the type has no such value
            meant.append(pa.scalar(text).cast(values.type))
    if not meant:
        return values
    return _nulled(values, pc.is_in(values, pa.array([each.as_py() for each in meant], values.type)))


def without_sentinels(
    made: pa.ChunkedArray, rule: Rule, texts: Sequence[str], zone: str | None
) -> pa.ChunkedArray:
    """Typed values, with null for each that a declared text stands for, however it was written: -999.0 for "-999"."""
    import pyarrow as pa
    import pyarrow.compute as pc

    meant = []
    for text in texts:
        try:
            meant += rule.cast(pa.chunked_array([[text]], pa.string()), zone).to_pylist()
        except pa.ArrowInvalid:
            continue  # a word, which was found as text
    return _nulled(made, pc.is_in(made, pa.array(meant, made.type))) if meant else made


def is_local_time(text: str) -> bool:
    return bool(re.search(_LOCAL_TIME, text))


def _nulled(values: pa.ChunkedArray, where: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.fill_null(where, False), pa.scalar(None, values.type), values)


def _refuse_unless(good: pa.ChunkedArray) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(good, min_count=0).as_py():
        raise pa.ArrowInvalid("not of the declared type")


def _is_text(values: pa.ChunkedArray) -> bool:
    import pyarrow.types as types

    return types.is_string(values.type)


def _is_local(found: pa.DataType) -> bool:
    """Whether it is the type of timestamps without a zone."""
    import pyarrow as pa
    import pyarrow.types as types

    # Compared, not read: the name of a zone may be damaged, and does not matter.
    return types.is_timestamp(found) and found == pa.timestamp(found.unit)


def _text(values: pa.ChunkedArray, _: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(values):
        # CSV cannot have it.
        _refuse_unless(pc.invert(pc.match_substring(values, "\0")))
    return values.cast(pa.string())


def _as_written(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values with decimals as their text."""
    import pyarrow as pa
    import pyarrow.types as types

    return values.cast(pa.string()) if types.is_decimal(values.type) else values


def _integer(values: pa.ChunkedArray, _: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    values = _as_written(values)
    if _is_text(values):
        digits = pc.match_substring_regex(values, _DIGITS)
        if not pc.all(digits, min_count=0).as_py():
            _refuse_unless(pc.match_substring_regex(values, _NUMBER))
            none = pa.scalar(None, pa.string())
            others = pc.if_else(digits, none, values)
            made = _whole(others.cast(pa.float64()))
            odd = others.filter(pc.invert(pc.match_substring_regex(others, _WHOLE_TEXT)))
            for text in odd.drop_null().unique().to_pylist():
                if not _is_exact(text):
                    raise pa.ArrowInvalid("a fraction that a float rounds away")
            return pc.coalesce(pc.if_else(digits, values, none).cast(pa.int64()), made)
    return _whole(values) if types.is_floating(values.type) else values.cast(pa.int64())


def _is_exact(text: str) -> bool:
    """Whether a float is exactly the number that a text says."""
    try:
        return Decimal(text) == Decimal(float(text))
    except ArithmeticError:  # an exponent beyond all bounds
        return False


def _whole(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    _refuse_unless(pc.less(pc.abs(values.cast(pa.float64())), float(_WHOLE)))
    return values.cast(pa.int64())


def _number(values: pa.ChunkedArray, zone: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    values = _as_written(values)
    if types.is_integer(values.type):
        try:
            return values.cast(pa.float64())
        except pa.ArrowInvalid:  # beyond 2^53: some are a float all the same
            return _number(values.cast(pa.string()), zone)
    if _is_text(values):
        _refuse_unless(pc.match_substring_regex(values, _NUMBER))
    made = values.cast(pa.float64())
    _refuse_unless(pc.is_finite(made))
    if _is_text(values):
        long = values.filter(pc.greater(pc.binary_length(values), _SHORT))
        for text in long.filter(pc.match_substring_regex(long, _DIGITS)).to_pylist():
            if int(text.lstrip("-0") or "0") != abs(float(text)):
                raise pa.ArrowInvalid("no float is this integer")
    return made


def _boolean(values: pa.ChunkedArray, _: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    values = _as_written(values)
    if types.is_integer(values.type):
        values = values.cast(pa.string())
    if _is_text(values):
        _refuse_unless(pc.match_substring_regex(values, _BOOLEAN))
    return values.cast(pa.bool_())


def _date(values: pa.ChunkedArray, _: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        made = values.cast(pa.date32())
    except pa.ArrowInvalid:
        if not _is_text(values):
            raise
        made = pc.replace_substring_regex(values, _MIDNIGHT, r"\1").cast(pa.date32())
    if not _is_text(values):
        _refuse_unless(pc.equal(made.cast(values.type), values))  # what is no midnight
    days = made.cast(pa.int32())
    _refuse_unless(pc.and_(pc.greater_equal(days, _FIRST_DAY), pc.less(days, _END_DAY)))
    return made


def _timestamp(values: pa.ChunkedArray, zone: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    made = _instants(values, zone)
    instants = made.cast(pa.int64())
    first, end = (pa.scalar(day * _DAY_US) for day in (_FIRST_DAY, _END_DAY))
    _refuse_unless(pc.and_(pc.greater_equal(instants, first), pc.less(instants, end)))
    return made


def _instants(values: pa.ChunkedArray, zone: str | None) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    utc = pa.timestamp("us", "UTC")
    if not _is_text(values):
        return _in_zone(values.cast(pa.timestamp("us")), zone) if _is_local(values.type) else values.cast(utc)
    try:
        return values.cast(utc)
    except pa.ArrowInvalid:
        values = pc.replace_substring_regex(values, _FINER, r"\1\2")
    if zone is None:
        return values.cast(utc)
    none, offset = pa.scalar(None, pa.string()), pc.match_substring_regex(values, _WITH_OFFSET)
    local = pc.if_else(offset, none, values)
    _refuse_unless(pc.match_substring_regex(local, _LOCAL_TIME))
    instants = pc.if_else(offset, values, none).cast(utc)
    return pc.coalesce(instants, _in_zone(local.cast(pa.timestamp("us")), zone))


def _in_zone(local: pa.ChunkedArray, zone: str | None) -> pa.ChunkedArray:
    """Instants of local times; ArrowInvalid where a clock shows a time twice or never."""
    import pyarrow as pa
    import pyarrow.compute as pc

    utc = pa.timestamp("us", "UTC")
    if zone is None:
        raise pa.ArrowInvalid("local times, and no zone")
    return local.cast(utc) if zone == "UTC" else pc.assume_timezone(local, zone).cast(utc)
