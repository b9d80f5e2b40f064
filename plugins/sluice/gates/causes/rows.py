"""Known corruptions of whole rows: another day's, another system's, missing, repeated, under days or keys that are not theirs."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from sluice.core.sql import quoted
from sluice.gates.causes.evidence import Evidence
from sluice.gates.causes.finding import Finding, percent

# Shares of rows below which nothing is said, because days differ by as much.
LEAST = 0.04
# Of rows that may not be at all, such as repeated keys.
LEAST_WRONG = 0.02


# Hours from the zone that is the furthest ahead to UTC (Pacific/Kiritimati).
MOST_ZONES = 14
# Earlier days below which nobody knows how much of a day is usually that of another.
_LEAST_DAYS = 3


def another_day(seen: Evidence) -> Iterator[Finding]:
    """Rows that an earlier day had, value for value: the file of that day, or some of its rows."""
    if not seen.dates or seen.recent_days < _LEAST_DAYS:
        return
    day, share, rows = seen.repeated
    usual = seen.usually_repeated
    said = f"{percent(share)} of the rows have the values of {day}, {percent(usual)} on other days"
    # A plan may be nearly that of the day before, but not all of it.
    if share >= 0.98 and usual < 0.97 and seen.rows >= 0.98 * rows:
        yield Finding("stale file", share, said, "was an earlier file delivered again?")
    elif usual < 0.2 and share - usual > LEAST:
        if seen.fullness > 1 + LEAST or seen.extra_rows > LEAST:
            more = f"{said}, and there are {percent(seen.fullness)} of the usual rows"
            yield Finding("another day's rows", 0.97, more, "are rows of another day among them?")
        else:
            yield Finding("stale file", 0.95, said, "is a part of the file an earlier one?")


def days_off(seen: Evidence) -> Iterator[Finding]:
    """Rows under a date that is not the partition's."""
    listed = ", ".join(map(quoted, seen.columns))
    for name in seen.dates:
        hours = f"date_diff('hour', cast(ds as timestamp), cast({quoted(name)} as timestamp))"
        low, high = seen.all(f"select min({hours}), max({hours}) from recent")[0]
        if low is None:
            continue
        off = f"{hours} not between {low} and {high}"
        newest = "ds = (select max(ds) from recent)"
        before = seen.all(f"select min({hours}), max({hours}) from recent where not {newest}")[0]
        # A date that stays what it was is one day further away each day: it is no day of the rows.
        if (
            before[0] is None
            or seen.one(
                f"select avg(cast({hours} not between {before[0]} and {before[1]} as int)) from recent where {newest}"
            )
            > LEAST
        ):
            continue
        share, beyond, most, known = seen.all(
            f"select avg(cast({off} as int)), median(if({hours} > {high}, {hours} - {high}, {hours} - {low})) filter ({off}), "
            f"max(greatest({hours} - {high}, {low} - {hours})) filter ({off}), "
            f"avg(cast(hash({listed}) in (select hash({listed}) from history) as int)) filter ({off}) from batch"
        )[0]
        if (share or 0) < LEAST_WRONG:
            continue
        said = f"is another day's in {percent(share)} of the rows"
        if known > 0.8:
            more = f"{said}, and {percent(known)} of these are rows of an earlier day"
            if share > 0.95:
                yield Finding("stale file", 1.0, more, "was an earlier file delivered again?", (name,))
            else:
                asked = "are rows of another day among them?"
                yield Finding("another day's rows", 1.0, more, asked, (name,))
        elif seen.types[name] == "timestamp" and most <= MOST_ZONES:
            # Beyond the hours that other days have.
            more = f"is up to {most} hours outside its day in {percent(share)} of the rows"
            yield Finding("another time zone", 0.98, more, "another time zone?", (name,))
        else:
            more = f"{said}, by about {max(1, abs(round(beyond / 24))):,} days"
            yield Finding("wrong dates", 0.98, more, "wrong dates?", (name,))


def repeated_keys(seen: Evidence) -> Iterator[Finding]:
    """More rows than keys."""
    if seen.extra_rows >= LEAST_WRONG:
        for hours, share in _moved(seen):
            said = f"{percent(share)} of the keys that there are twice would be those that are missing {abs(hours)} hours {'before' if hours > 0 else 'later'}"
            yield Finding("another time zone", 0.96, said, "are some rows in another time zone?")
        said = f"{percent(seen.extra_rows)} of the rows have a key that another row has, and there are {percent(seen.fullness)} of the usual rows"
        yield Finding("duplicate rows", 0.93, said, "are rows delivered twice?")


def _moved(seen: Evidence) -> Iterator[tuple[int, float]]:
    """Hours by which rows were moved onto the keys of others, and the share of the repeated keys that this explains."""
    for name in seen.instants:
        others = "".join(f"{quoted(one)}, " for one in seen.key if one != name)
        explained = {}
        for hours in (1, -1, 4, -4, 5, -5):
            twice, explained[hours] = seen.all(
                f'with keys as (select {others}{quoted(name)} as "the instant", count(*) as "the rows" from batch group by all), '
                f'twice as (select * exclude ("the rows") replace ("the instant" - interval ({hours}) hour as "the instant") '
                f'from keys where "the rows" > 1) '
                f'select count(*), count(*) filter (keys."the rows" is null) from twice left join keys using ({others}"the instant")'
            )[0]
        hours = max(explained, key=lambda one: explained[one])
        # Of keys that collide by chance each number of hours explains about as many.
        if twice > 3 and explained[hours] > max(0.4 * twice, 2 * median(explained.values())):
            yield hours, explained[hours] / twice


def missing_rows(seen: Evidence) -> Iterator[Finding]:
    """Fewer rows than on such a day, or none of a group that was never missing."""
    are_repeated = seen.extra_rows >= LEAST_WRONG
    said = f"There are {percent(seen.fullness)} of the usual rows"
    asked = "is a part of the file missing?"
    if not are_repeated and seen.fullness < (0.98 if seen.is_constant else 0.8):
        # A holiday has fewer rows as well, whatever else is wrong with them.
        yield Finding("missing rows", 0.9 if seen.is_constant else 0.8, said, asked)
    for name in seen.texts:
        column = quoted(name)
        groups = seen.all(
            f"with shares as (select ds, {column} as one, count(*) / sum(count(*)) over (partition by ds) as share, count(*) as rows "
            f"from recent group by ds, {column}) select avg(share) from shares where one is not null group by one "
            "having count(*) = (select count(distinct ds) from recent) and min(share) > 0.03 and min(rows) > 1 "
            f"and one not in (select {column} from batch where {column} is not null)"
        )
        now_null, usually_null = seen.null_shares[name]
        if not groups or seen.new_values[name] >= LEAST_WRONG or now_null - usually_null > LEAST:
            continue
        gone = sum(share for (share,) in groups)
        values = f"{len(groups)} {'values' if len(groups) > 1 else 'value'} of {name}"
        more = f"{said}, and none of {values} with {percent(gone)} of the rows of earlier days"
        if seen.fullness > 1 - gone / 2:
            yield Finding("other codes", 0.96, more, f"is {name} written otherwise?")
        elif not are_repeated:
            yield Finding("missing rows", 0.93, more, asked)


def unknown_rows(seen: Evidence) -> Iterator[Finding]:
    """Rows of which no earlier day knows the entity, and what makes them unknown."""
    unknown, usual = seen.unknown
    if unknown - usual < LEAST:
        return
    said = f"{percent(unknown)} of the rows are of unknown keys, {percent(usual)} on other days"
    name, other, share = seen.exchanged
    if share > 0.6:
        more = f"{said}, and {percent(share)} of these are known with {name} and {other} exchanged"
        yield Finding("swapped columns", 0.96, more, "are these columns exchanged?")
    name, share = seen.unknown_by
    if share > 0.6:
        more = f"{said}, {percent(share)} of them by {name} alone"
        # Numbers of flights change with each season's plan, codes do not.
        most = 0.95 if name in seen.texts else 0.85
        yield Finding(
            "other codes", most * share * (1 - usual / unknown), more, f"is {name} written otherwise?"
        )
    else:
        more = f"{said}, and there are {percent(seen.fullness)} of the usual rows"
        yield Finding(
            "another source's rows",
            0.85 * (1 - usual / unknown),
            more,
            "are rows of another source among them?",
        )
