"""What day it is, for a pipeline: the one place that decides.

A live pipeline goes by the wall clock of its time zone. A replayed one goes by its feed: today is the latest day
that was delivered, so that freshness and deadlines mean on the replay what they would have meant at the time.
"""

from __future__ import annotations

import json
import os
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from sluice.errors import DeliveryMissingError
from sluice.settings import settings
from sluice.spec import Pipeline


def today(spec: Pipeline) -> date:
    """The current day of a pipeline.

    Raises:
        DeliveryMissingError: the clock is the feed's, and the feed has not delivered anything yet.
    """
    if spec.clock == "wall":
        return datetime.now(ZoneInfo(spec.timezone)).date()
    day = _read(spec)
    if day is None:
        raise DeliveryMissingError(
            f"The clock of {spec.pipeline!r} is its feed's, and the feed has not delivered a day yet.",
            where=str(_file(spec)),
            allowed="at least one delivered day, or `clock: wall`",
            todo="deliver a day with `sluice feed`",
        )
    return day


def now(spec: Pipeline) -> datetime:
    """The present instant of a pipeline, in its time zone; by the feed's clock, the end of its latest day.

    Raises:
        DeliveryMissingError: as `today`.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall":
        return datetime.now(zone)
    return datetime.combine(today(spec), time.max, zone)


def advance(spec: Pipeline, day: date) -> None:
    """Move a feed's clock to a day that it delivered; a correction of an earlier day does not turn it back."""
    path = _file(spec)
    if day <= (_read(spec) or date.min):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps({"today": day.isoformat()}), encoding="utf-8")
    part.replace(path)


def _file(spec: Pipeline) -> Path:
    return settings().home / "clock" / f"{spec.pipeline}.json"


def _read(spec: Pipeline) -> date | None:
    try:
        return date.fromisoformat(json.loads(_file(spec).read_text(encoding="utf-8"))["today"])
    except FileNotFoundError:
        return None
