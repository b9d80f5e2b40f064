"""What day and time it is for a pipeline.

A live pipeline goes by the wall clock of its time zone. A replayed one goes by its feed: today is the latest day
that was delivered, so that freshness and deadlines mean on the replay what they would have meant at the time.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from sluice.core import clock, locks
from sluice.core.errors import DeliveryMissingError
from sluice.core.files import replacing
from sluice.core.partitions import date_of, day_of
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline


def today(spec: Pipeline) -> date:
    """The current day of a pipeline.

    Raises:
        DeliveryMissingError: the clock is the feed's, and the feed has not delivered anything yet.
    """
    if spec.clock == "wall":
        return clock.utc_now().astimezone(ZoneInfo(spec.timezone)).date()
    day = _read(spec)
    if day is None:
        raise DeliveryMissingError(
            f"The clock of {spec.pipeline!r} is its feed's, and the feed has not delivered a day yet.",
            where=str(_file(spec)),
            allowed="at least one delivered day, or `clock: wall`",
            todo="deliver a day with `sluice land`, or of the default pipeline with `sluice feed`",
        )
    return day


def now(spec: Pipeline) -> datetime:
    """The present instant of a pipeline, in its time zone; by the feed's clock, the end of its latest day.

    Raises:
        DeliveryMissingError: as `today`.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall":
        return clock.utc_now().astimezone(zone)
    return datetime.combine(today(spec), time.max, zone)


def scoring_deadline(spec: Pipeline, day: date) -> datetime:
    """The last instant at which the predictions of a day are made in time.

    `model.deadline` of the day; its end, where none is declared, and for a replayed pipeline, whose clock knows only days.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall" and spec.model.deadline:
        return clock.deadline(day, spec.model.deadline, zone)
    return clock.deadline(day, time.max.isoformat(), zone)


def is_late(spec: Pipeline, day: date) -> bool | None:
    """Whether predictions of a day that are made now are made after their time.

    None where that is not known: the clock is the feed's, and the feed has not delivered anything yet.
    """
    try:
        present = now(spec)
    except DeliveryMissingError:
        return None
    return present.astimezone(UTC) > scoring_deadline(spec, day).astimezone(UTC)


def advance(spec: Pipeline, day: date) -> None:
    """Move a feed's clock to a day that it delivered; a correction of an earlier day does not turn it back.

    Of several processes of this machine one at a time looks at the clock and moves it.
    """
    path = _file(spec)
    with locks.alone(path.with_suffix(".lock")):
        if day <= (_read(spec) or date.min):
            return
        with replacing(path) as part:
            part.write_text(json.dumps({"today": day_of(day)}), encoding="utf-8")


def _file(spec: Pipeline) -> Path:
    return settings().home / "clock" / f"{spec.pipeline}.json"


def _read(spec: Pipeline) -> date | None:
    try:
        return date_of(json.loads(_file(spec).read_text(encoding="utf-8"))["today"])
    except FileNotFoundError:
        return None
