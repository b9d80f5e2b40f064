"""What day it is, for a pipeline: the one place that decides.

A live pipeline goes by the wall clock of its time zone. A replayed one goes by its feed: today is the latest day
that was delivered, so that freshness and deadlines mean on the replay what they would have meant at the time.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, time, tzinfo
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


def deadline(run_day: date, at: str, zone: tzinfo) -> datetime:
    """The instant of a local time (HH:MM) of a day, where a clock change may skip or repeat it.

    Of an hour that is repeated it is the second one, as long as any clock shows the time; in an hour that is skipped it
    is as long after the change as it would have been after the hour's beginning (RFC 5545, section 3.3.5). So nothing is
    overdue before its time has come on every reading. On an ordinary day both are the same.
    """
    local = datetime.combine(run_day, time.fromisoformat(at), zone)
    # Compared as instants: of two times in one zone Python compares what the clock shows.
    latest = max(local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    return latest.astimezone(zone)


def passed(now: datetime, deadline: datetime) -> bool:
    """Whether a deadline has come; as instants, because an hour that is repeated shows every time twice."""
    return deadline.astimezone(UTC) <= now.astimezone(UTC)


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
