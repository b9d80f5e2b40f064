"""Known corruptions of values: missing, in another unit or zone, another column's, with another sign, one value for all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sluice.core.sql import quoted
from sluice.gates.causes.compared import LEAST_DIFFERING, Compared, around, compared
from sluice.gates.causes.evidence import Evidence
from sluice.gates.causes.finding import Finding, percent
from sluice.gates.causes.units import STEPS, UNITS, times

# Share of the changed values that an explanation must explain.
_MOST = 0.6
# Rows below which no ratio and no offset is named, since tables may be about people.
_MANY = 10
# In the place of a clock reading HHMM: what is asked, and what the written number is multiplied by to be minutes.
_NO_CLOCK = (
    ("minutes since midnight instead of a clock?", 1.0),
    ("hours and hundredths instead of a clock?", 0.6),
)


def nulls(seen: Evidence) -> Iterator[Finding]:
    """Columns that lack more of their values than on nine of ten earlier days."""
    for name, (now, usual) in sorted(seen.null_shares.items(), key=lambda one: -one[1][0]):
        if now - usual > LEAST_DIFFERING:
            said = f"is missing in {percent(now)} of the rows, in {percent(usual)} at most on nine of ten earlier days"
            yield Finding(
                "missing values", 0.94 * (1 - usual / now), said, "did the producer lose values?", (name,)
            )


def nulls_of_a_group(seen: Evidence) -> Iterator[Finding]:
    """Columns that lack the values of one group, of which earlier days had most."""
    counted = ", ".join(f"avg(cast({quoted(name)} is null as int))" for name in seen.measured)
    for by in seen.texts if counted else ():
        now, before = (
            {
                group: shares
                for group, _, *shares in seen.all(
                    f"select {quoted(by)}, count(*), {counted} from {view} group by all "
                    f"having count(*) >= {LEAST_DIFFERING * seen.rows}"
                )
            }
            for view in ("batch", "recent")
        )
        for number, name in enumerate(seen.measured):
            lost = [
                one
                for one in now.keys() & before.keys()
                if now[one][number] > 0.95 and before[one][number] < 0.5
            ]
            if by != name and 0 < len(lost) < len(now) / 2:
                said = f"is missing in all rows of {len(lost)} of {len(now)} large groups of {by}, which had it before"
                yield Finding("missing values", 0.93, said, "did the producer lose values?", (name,))


def numbers(seen: Evidence) -> Iterator[Finding]:
    """What explains the numeric columns that are not as expected."""
    columns = list(compared(seen))
    differing = [one for one in columns if one.differs]
    for one in differing:
        yield from _rounded(one) or _one_value(one) or _explained(one)
    yield from _elsewhere(differing, columns)


def _said(one: Compared) -> str:
    return f"is not as expected in {percent(one.share)} of the rows"


def _rounded(one: Compared) -> list[Finding]:
    """Multiples of a round number, near what should be there."""
    for step in STEPS:
        multiples, usual = ((values[one.known] % step == 0).mean() for values in (one.now, one.was))
        away = np.abs(one.away(one.read(one.now)))[one.changed]
        if multiples > 0.98 and usual < 0.6 and (away <= step).mean() > 0.9:
            said = f"is a multiple of {step} in {percent(multiples)} of the rows, in {percent(usual)} on other days"
            return [Finding("rounded values", 0.93, said, "are values rounded?", (one.name,))]
    return []


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
    if not one.is_far:
        return
    if one.clock:
        yield from _clock(one)
    units = []
    for factor, offset, asked in UNITS:
        if one.clock and offset:
            continue
        rounding = min(0.51 / factor, one.about + 60) if factor < 1 and whole else 0.0
        share = one.explained(read((now - offset) / factor), rounding)
        if share > _MOST:
            more = f"is {times(factor, offset)} in {percent(one.share)} of the rows"
            units.append(Finding("another unit", 0.92 * max(share, 0.9), more, asked, name))
    yield from units
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
    if one.own and sorted_apart < 0.15 * apart and (one.share > 0.3 or one.near < 1e-6):
        more = f"{said}, and yet as a whole has the values of earlier days"
        yield Finding("rows mixed up", 0.88, more, "do values stand beside other rows' keys?", name)
    written = one.written
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nanmedian(now[changed] / written[changed])
    # Of few rows a number would be that of one of them.
    if changed.sum() < _MANY:
        return
    if not units and np.isfinite(ratio) and ratio > 0.05 and abs(ratio - 1) > 0.05:
        share = one.explained(read(now / ratio))
        more = f"is about {ratio:.3g} times as large as expected in {percent(one.share)} of the rows"
        asked = f"another unit, or a wrong calibration, of {ratio:.3g}?"
        yield Finding("another unit", 0.86 * share, more, asked, name)
    by = float(np.median(away[changed]))
    by_written = float(np.median((now - written)[changed]))
    for moved, undone in ((by, read(now) - by), (by_written, read(now - by_written))):
        more = f"is {'more' if moved > 0 else 'less'} than expected in {percent(one.share)} of the rows"
        # Others of the same time are themselves off by something that is much the same for all rows.
        score = (0.84 if one.own else 0.7) * one.explained(undone)
        yield Finding("constant offset", score, more, f"is about {moved:+.3g} added?", name)


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
