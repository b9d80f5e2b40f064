"""Known corruptions of values: missing, in another unit or zone, another column's, with another sign, one value for all."""

from __future__ import annotations

from collections.abc import Iterator
from math import pi

import numpy as np

from sluice.core.sql import quoted
from sluice.gates.causes.compared import LEAST_DIFFERING, Compared, around, compared
from sluice.gates.causes.evidence import Evidence
from sluice.gates.causes.finding import Finding, percent

# What a value is multiplied by, and then moved by, in another unit, and what to ask then.
UNITS = (
    (60, 0, "seconds instead of minutes, or minutes instead of hours?"),
    (1 / 60, 0, "hours instead of minutes, or minutes instead of seconds?"),
    (1 / 6, 0, "tenths of hours instead of minutes?"),
    (1.609344, 0, "kilometres instead of miles?"),
    (1 / 1.609344, 0, "miles instead of kilometres?"),
    (1 / 1.150779, 0, "nautical instead of statute miles?"),
    (1.150779, 0, "statute instead of nautical miles?"),
    (0.44704, 0, "metres per second instead of miles per hour?"),
    (1 / 0.44704, 0, "miles per hour instead of metres per second?"),
    (0.3048, 0, "metres instead of feet?"),
    (1 / 0.3048, 0, "feet instead of metres?"),
    (25.4, 0, "millimetres instead of inches?"),
    (1 / 25.4, 0, "inches instead of millimetres?"),
    (0.02953, 0, "inches of mercury instead of millibar?"),
    (1 / 0.02953, 0, "millibar instead of inches of mercury?"),
    (pi / 180, 0, "radians instead of degrees?"),
    (180 / pi, 0, "degrees instead of radians?"),
    (1 / 1.8, -32 / 1.8, "degrees Celsius instead of Fahrenheit?"),
    (1.8, 32, "degrees Fahrenheit instead of Celsius?"),
    (1 / 1.8, 273.15 - 32 / 1.8, "kelvin instead of degrees Fahrenheit?"),
    (1, 273.15, "kelvin instead of degrees Celsius?"),
    (0.45359237, 0, "kilograms instead of pounds?"),
    (1 / 0.45359237, 0, "pounds instead of kilograms?"),
    *((factor, 0, "another unit, or a slipped digit?") for factor in (10, 100, 1000, 0.1, 0.01, 0.001)),
)
# Share of the changed values that an explanation must explain.
_MOST = 0.6
# In the place of a clock reading HHMM: what is asked, and what the written number is multiplied by to be minutes.
_NO_CLOCK = (
    ("minutes since midnight instead of a clock?", 1.0),
    ("hours and hundredths instead of a clock?", 0.6),
)


def nulls(seen: Evidence) -> Iterator[Finding]:
    """Columns that lack more of their values than on any earlier day."""
    for name in seen.columns:
        missing = f"avg(cast({quoted(name)} is null as int))"
        now = seen.one(f"select {missing} from batch")
        usual = seen.one(f"select max(share) from (select {missing} as share from history group by ds)")
        if now - usual > LEAST_DIFFERING:
            score = 0.94 if now > 2 * usual else 0.94 * (now - usual) / now
            said = f"is missing in {percent(now)} of the rows, in {percent(usual)} at most on earlier days"
            yield Finding("missing values", score, said, "did the producer lose values?", (name,))


def numbers(seen: Evidence) -> Iterator[Finding]:
    """What explains the numeric columns that are not as expected."""
    columns = list(compared(seen))
    differing = [one for one in columns if one.differs]
    for one in differing:
        yield from _one_value(one) or _explained(one)
    yield from _elsewhere(differing, columns)


def _said(one: Compared) -> str:
    return f"is not as expected in {percent(one.share)} of the rows"


def _one_value(one: Compared) -> list[Finding]:
    """One value in nearly all rows that are not as expected."""
    values, counts = np.unique(one.now[one.changed], return_counts=True)
    value, share = values[counts.argmax()], counts.max() / counts.sum()
    if share <= 0.8 or counts.sum() < 5:
        return []
    said = f"{_said(one)}, and in {percent(share)} of these is one value"
    should = one.was[one.changed]
    beyond = [
        (should * side >= one.read(value) * side).mean() > 0.9
        for side, edge in ((1, np.nanmax(one.now)), (-1, np.nanmin(one.now)))
        if value == edge
    ]
    if any(beyond) and (one.now[one.known] == value).mean() < 0.97:
        more = f"{said}, beyond which there is none"
        return [Finding("rounded values", 0.92, more, "are values cut off?", (one.name,))]
    return [
        Finding("constant values", 0.92, said, "a default, an error code or a stuck sensor?", (one.name,))
    ]


def _explained(one: Compared) -> Iterator[Finding]:
    """Each corruption that, undone, makes most of the changed values what they should be."""
    now, read, said, name = one.now, one.read, _said(one), (one.name,)
    whole = bool(np.all(now[one.known] == np.round(now[one.known])))
    if one.clock:
        yield from _clock(one)
    for factor, offset, asked in UNITS:
        if one.clock and offset:
            continue
        rounding = min(0.51 / factor, one.about + 60) if factor < 1 and whole else 0.0
        share = one.explained(read((now - offset) / factor), rounding)
        if share > _MOST:
            more = f"is {_times(factor, offset)} in {percent(one.share)} of the rows"
            yield Finding("another unit", 0.92 * max(share, 0.9), more, asked, name)
    share = one.explained(read(-now))
    if share > _MOST:
        more = f"has the opposite sign in {percent(share * one.share)} of the rows"
        yield Finding("wrong sign", 0.95 * max(share, 0.9), more, "is the sign flipped or lost?", name)
    changed, away = one.changed, one.away(read(now))
    apart, sorted_apart = (
        np.abs(left - right).mean()
        for left, right in (
            (read(now)[one.known], one.was[one.known]),
            (np.sort(read(now)[one.known]), np.sort(one.was[one.known])),
        )
    )
    if one.own and sorted_apart < 0.15 * apart and apart > 2 * one.usual.mean():
        more = f"{said}, and yet as a whole has the values of earlier days"
        yield Finding("rows mixed up", 0.88, more, "do values stand beside other rows' keys?", name)
    for step in (10, 20, 50):
        multiples, usual = ((values[one.known] % step == 0).mean() for values in (now, one.was))
        if multiples > 0.98 and usual < 0.6 and (np.abs(away[changed]) <= step).mean() > 0.9:
            more = f"is a multiple of {step} in {percent(multiples)} of the rows"
            yield Finding("rounded values", 0.93, more, "are values rounded?", name)
            break
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nanmedian(now[changed] / one.was[changed])
    if not one.clock and np.isfinite(ratio) and abs(ratio) > 0.05 and abs(ratio - 1) > 0.05:
        share = one.explained(now / ratio)
        more = f"is about {ratio:.3g} times as large as expected in {percent(one.share)} of the rows"
        yield Finding(
            "another unit", 0.86 * share, more, f"another unit, or a wrong calibration, of {ratio:.3g}?", name
        )
    by = np.median(away[changed])
    share = one.explained(read(now) - by)
    more = f"is {'more' if by > 0 else 'less'} than expected in {percent(one.share)} of the rows"
    # Others of the same time are themselves off by something that is much the same for all rows.
    yield Finding(
        "constant offset", (0.84 if one.own else 0.7) * share, more, f"is about {by:+.3g} added?", name
    )


def _clock(one: Compared) -> Iterator[Finding]:
    """Clock readings that are whole hours off, or no clock readings."""
    for asked, factor in _NO_CLOCK:
        share = one.explained(one.now * factor)
        if share > _MOST:
            yield Finding("another unit", 0.94 * max(share, 0.9), _said(one), asked, (one.name,))
    # A column that moves by more from day to day says nothing about an hour.
    if one.about > 20:
        return
    away = one.away(one.read(one.now))[one.changed]
    hours = np.round(away / 60)
    found, counts = np.unique(hours[hours != 0], return_counts=True)
    if not len(found):
        return
    hour = found[counts.argmax()]
    share = one.explained(one.read(one.now) - 60 * hour)
    if share > _MOST and abs(np.median(away[hours == hour]) - 60 * hour) <= 4:
        said = f"is {abs(hour):.0f} hours off in {percent(share * one.share)} of the rows"
        asked = "a twelve-hour clock?" if abs(hour) == 12 else "another time zone?"
        yield Finding("another time zone", 0.95 * max(share, 0.95), said, asked, (one.name,))


def _elsewhere(differing: list[Compared], columns: list[Compared]) -> Iterator[Finding]:
    """Values that another column should have: of two columns each other's, of more each the next one's."""
    places: dict[str, tuple[str, float]] = {}
    for one in differing:
        for other in columns:
            if other.name == one.name or not (one.own and other.own):
                continue
            away = other.read(one.now) - other.was
            fits = (np.abs(around(away) if other.clock else away)[one.changed] <= other.about).mean()
            if fits > max(_MOST, places.get(one.name, ("", 0.0))[1]):
                places[one.name] = other.name, float(fits)
    exchanged = [name for name, (other, _) in places.items() if places.get(other, ("",))[0] == name]
    moved = [name for name, (other, _) in places.items() if other in places and name not in exchanged]
    for exchange, names in ((True, exchanged), (False, moved)):
        if names:
            others = ", ".join(places[name][0] for name in names)
            share = percent(min(places[name][1] for name in names))
            yield Finding(
                "swapped columns" if exchange else "shifted columns",
                0.95,
                f"has the values of {others} in {share} of the rows in which they are not as expected",
                "are columns exchanged?" if exchange else "is a field missing before them?",
                tuple(names),
            )


def _times(factor: float, offset: float) -> str:
    if offset:
        return "in another unit as expected"
    return (
        f"about {factor:.4g} times as large as expected"
        if factor >= 1
        else f"about 1/{1 / factor:.4g} as large as expected"
    )
