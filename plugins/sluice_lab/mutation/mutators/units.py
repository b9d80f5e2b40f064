"""Damage: another unit, or another column's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sluice_lab.mutation.draft import Draft
from sluice_lab.mutation.mutators.registry import SOURCES, mutator
from sluice_lab.mutation.mutators.values import minute

_Convert = Callable[[Any], Any]
# By source: columns, and what they are in another unit. Integers stay integers, as a producer would write them.
_UNITS: dict[str, list[tuple[tuple[str, ...], str, _Convert]]] = {
    "schedule": [
        (("distance",), "kilometres", lambda v: round(v * 1.609344)),
        (("distance",), "nautical miles", lambda v: round(v / 1.150779)),
        (("sched_dep_time", "sched_arr_time"), "minutes since midnight", minute),
        (("sched_dep_time", "sched_arr_time"), "hours and hundredths", lambda v: round(minute(v) / 0.6)),
    ],
    "arrivals": [
        (("dep_delay", "arr_delay", "air_time"), "seconds", lambda v: v * 60),
        (("dep_delay", "arr_delay", "air_time"), "hours", lambda v: round(v / 60)),
        (("air_time",), "tenths of hours", lambda v: round(v / 6)),
        (("air_time",), "HHMM", lambda v: v // 60 * 100 + v % 60),
        (("dep_time", "arr_time"), "minutes since midnight", lambda v: minute(v) or 1440),
        (("dep_delay",), "seconds", lambda v: v * 60),
        (("arr_delay",), "seconds", lambda v: v * 60),
    ],
    "weather": [
        (("temp", "dewp"), "degrees Celsius", lambda v: (v - 32) / 1.8),
        (("temp",), "degrees Celsius", lambda v: (v - 32) / 1.8),
        (("temp", "dewp"), "kelvin", lambda v: (v - 32) / 1.8 + 273.15),
        (("wind_speed", "wind_gust"), "knots", lambda v: v / 1.150779),
        (("wind_speed", "wind_gust"), "metres per second", lambda v: v * 0.44704),
        (("wind_speed", "wind_gust"), "kilometres per hour", lambda v: v * 1.609344),
        (("pressure",), "inches of mercury", lambda v: v * 0.02953),
        (("precip",), "millimetres", lambda v: v * 25.4),
        (("visib",), "kilometres", lambda v: v * 1.609344),
        (("humid",), "a share", lambda v: v / 100),
    ],
    "planes": [
        (("seats",), "rows of six", lambda v: -(-v // 6)),
        (("year",), "years of age", lambda v: 2013 - v),
        (("year",), "two digits", lambda v: v % 100),
        (("speed",), "knots", lambda v: round(v / 1.150779)),
    ],
    "airports": [
        (("alt",), "metres", lambda v: round(v * 0.3048)),
        (("lat", "lon"), "radians", lambda v: v * 0.0174533),
        (("tz",), "minutes", lambda v: v * 60),
    ],
}
_WITH_UNITS = tuple(name for name in SOURCES if name in _UNITS)


@mutator("units", sources=_WITH_UNITS)
def another_unit(draft: Draft) -> str:
    """Columns are in another unit, in all rows."""
    names, unit, convert = draft.rng.choice(_UNITS[draft.source])
    for name in names:
        draft.change(name, range(draft.size), convert)
    return f"{', '.join(names)} in {unit}"


@mutator("units", sources=_WITH_UNITS)
def another_unit_in_part(draft: Draft) -> str:
    """Columns are in another unit in a share of the rows, or for one group: one of the producer's systems changed."""
    names, unit, convert = draft.rng.choice(_UNITS[draft.source])
    rows, where = draft.rows()
    for name in names:
        draft.change(name, rows, convert)
    return f"{', '.join(names)} in {unit} {where}"


@mutator("swaps")
def columns_swapped(draft: Draft) -> str:
    """Two columns of the same type have each other's values."""
    one, other = _pair(draft)
    draft.columns[one], draft.columns[other] = draft.columns[other], draft.columns[one]
    return f"{one} and {other} are swapped"


@mutator("swaps")
def columns_swapped_in_part(draft: Draft) -> str:
    """Two columns of the same type are swapped in a share of the rows, or for one group."""
    one, other = _pair(draft)
    rows, where = draft.rows()
    for i in rows:
        left, right = draft.columns[one], draft.columns[other]
        left[i], right[i] = right[i], left[i]
    return f"{one} and {other} are swapped {where}"


@mutator("shifts")
def column_slips(draft: Draft) -> str:
    """A column slips by some rows against the others, as where a row was dropped from one of two joined files."""
    name, by = draft.column("integer", "number", "string"), draft.rng.randint(1, 5)
    values = draft.columns[name]
    draft.columns[name] = values[-by:] + values[:-by]
    return f"{name} slips by {by} rows"


@mutator("shifts")
def fields_move_up(draft: Draft) -> str:
    """A field was lost and those after it moved up: each number stands under its neighbour's name."""
    names = draft.require(draft.of_type("integer", "number"), 3)
    rows, where = draft.rows()
    for i in rows:
        row = [draft.columns[name][i] for name in names]
        for name, value in zip(names, row[1:] + row[:1], strict=True):
            draft.columns[name][i] = value
    return f"numbers stand one column to the left {where}"


def _pair(draft: Draft) -> tuple[str, str]:
    by_type: dict[str, list[str]] = {}
    for name in draft.of_type("integer", "number", "string", key=True):
        by_type.setdefault(draft.declared.contract.columns[name].type, []).append(name)
    pairs = [names for names in by_type.values() if len(names) > 1]
    if not pairs:
        draft.require([])
    one, other = draft.rng.sample(draft.rng.choice(pairs), 2)
    return one, other
