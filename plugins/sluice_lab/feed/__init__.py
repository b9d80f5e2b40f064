"""The source system of the default pipeline, replayed: for each day the files that would have been delivered then.

On the morning of a day arrive its schedule, the arrivals and weather of the day before, and on Mondays (and when there
is none yet) the registers. Nothing is delivered earlier than it would have been known.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sluice.core.errors import SpecInvalidError
from sluice.core.partitions import date_of, day_of, days_between, read_day
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.ingest import deliveries
from sluice.lake.landing import Landing
from sluice_lab.feed import corrupt as damages
from sluice_lab.feed import data
from sluice_lab.feed.formats import encode

# Local time of delivery: before the run of the day (04:00), after the last departure of the day before.
_MORNING = time(3)
_MONDAY = 0


def deliver(
    spec: Pipeline,
    run_day: str,
    *,
    corrupt: str | None = None,
    sources: Sequence[str] | None = None,
    number: int = 1,
) -> list[str]:
    """Deliver everything that arrives on the morning of a day, and move the pipeline's clock to it.

    Args:
        run_day: YYYY-MM-DD within 2013.
        corrupt: one of `sluice_lab.feed.corrupt.MODES`; damages `sources`, or arrivals where none are named.
        sources: deliver these only, and registers among them on any day.
        number: 2 or higher for a correction of what was delivered before.

    Returns: names of the files, relative to the landing zone. The same call writes the same bytes again.

    Raises:
        SpecInvalidError: the day, source or mode is not one that can be replayed.
        SourceUnknownError: the pipeline does not declare a source.
        LandingUnreachableError: the landing zone cannot be written.
    """
    day = _day(run_day)
    landing = Landing(spec.landing_url)
    landing.create()
    damaged = (["arrivals"] if sources is None else sources) if corrupt is not None else []
    names = []
    for source in _arriving(spec, day, landing) if sources is None else sources:
        declared = spec.source(source)
        rows = data.rows(source, date_of(spec.data_day(source, run_day)))
        if rows.num_rows == 0:  # the source did not exist yet: arrivals and weather begin on 1 January
            continue
        if corrupt is not None and source in damaged:
            rows = damages.damage(rows, source, declared, corrupt)
        made = sent = encode(rows, declared.format)
        if corrupt == "truncated" and source in damaged:
            sent = made[: len(made) // 2]
        delivered_at = datetime.combine(day, _MORNING, ZoneInfo(spec.timezone)) + timedelta(hours=number - 1)
        names.append(
            deliveries.write(
                landing,
                spec,
                source,
                run_day,
                sent,
                rows=rows.num_rows,
                number=number,
                delivered_at=delivered_at.astimezone(UTC),
                sha256=hashlib.sha256(made).hexdigest(),
            )
        )
    pipeline_clock.advance(spec, day)
    return names


def deliver_range(spec: Pipeline, first: str, last: str) -> list[str]:
    """Deliver each day from `first` to `last`, both included (YYYY-MM-DD); returns and raises as `deliver`."""
    if _day(last) < _day(first):
        raise SpecInvalidError(
            f"The range {first} to {last} ends before it begins.",
            where="sluice feed",
            allowed="a first day that is not after the last",
            todo="exchange the days",
        )
    return [name for day in days_between(first, last) for name in deliver(spec, day)]


def _arriving(spec: Pipeline, day: date, landing: Landing) -> list[str]:
    """Daily sources, and the weekly ones on Mondays or while none was delivered on an earlier day."""
    return [
        name
        for name, source in spec.sources.items()
        if source.cadence == "daily" or day.weekday() == _MONDAY or not _delivered_before(name, day, landing)
    ]


def _delivered_before(source: str, day: date, landing: Landing) -> bool:
    return any(name.split("/")[1] < day_of(day) for name in landing.list(source))


def _day(text: str) -> date:
    day = read_day(text, where="sluice feed")
    if not data.FIRST <= day <= data.LAST:
        raise SpecInvalidError(
            f"There is nothing to replay for {text!r}.",
            where="sluice feed",
            allowed=f"a day from {data.FIRST} to {data.LAST}, as YYYY-MM-DD",
            todo="choose a day within the data",
        )
    return day
