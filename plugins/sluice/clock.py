"""What time it is: the one place that decides.

Everything that records, compares or shows an instant asks `utc_now`: the system's clock, or, where `SLUICE_CLOCK` names a
file, the instant in it (ISO 8601 with its offset), so that a test moves all processes of an installation through weeks in
minutes. That clock stands still until the file is replaced. Times of files and of Iceberg's snapshots are the system's
whatever is set, and are compared with `system_now`. How long something may take is measured by `time.monotonic`.

A live pipeline goes by the wall clock of its time zone. A replayed one goes by its feed: today is the latest day
that was delivered, so that freshness and deadlines mean on the replay what they would have meant at the time.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from sluice import locks
from sluice.errors import DeliveryMissingError, SpecInvalidError
from sluice.settings import settings
from sluice.spec import Pipeline


def utc_now() -> datetime:
    """The present instant, in UTC.

    Raises:
        SpecInvalidError: `SLUICE_CLOCK` names a file that holds no instant.
    """
    return set_time() or system_now()


def system_now() -> datetime:
    """The system's own time, in UTC, also where another one is set: for ages of files, whose times it wrote."""
    return datetime.now(UTC)


def set_time() -> datetime | None:
    """The instant, in UTC, that `SLUICE_CLOCK` sets; None where the system's clock counts.

    Raises:
        SpecInvalidError: as `utc_now`.
    """
    path = settings().clock
    try:
        text = Path(path).read_text(encoding="utf-8").strip() if path else None
    except FileNotFoundError:
        text = None
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise SpecInvalidError(
            f"{text!r} is not an instant.",
            where=f"{path}, which variable SLUICE_CLOCK names",
            allowed="an instant with its offset, such as 2026-01-31T06:00:00+00:00; or no file, for the system's clock",
            todo="write it to another file and rename that one, so that nobody reads half of it",
        )
    return instant.astimezone(UTC)


def notice() -> str:
    """A sentence for logs and commands where the clock is set; "" where the system's counts."""
    instant = set_time()
    return (
        f"The clock is set to {instant.isoformat()} by {settings().clock} (SLUICE_CLOCK)." if instant else ""
    )


def today(spec: Pipeline) -> date:
    """The current day of a pipeline.

    Raises:
        DeliveryMissingError: the clock is the feed's, and the feed has not delivered anything yet.
    """
    if spec.clock == "wall":
        return utc_now().astimezone(ZoneInfo(spec.timezone)).date()
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
        return utc_now().astimezone(zone)
    return datetime.combine(today(spec), time.max, zone)


def deadline(run_day: date, at: str, zone: tzinfo) -> datetime:
    """The instant of a local time (HH:MM) of a day, where a clock change may skip or repeat it.

    Of an hour that is repeated it is the second one, as long as any clock shows the time; in an hour that is skipped it
    is as long after the change as it would have been after the hour's beginning (RFC 5545, section 3.3.5). So nothing is
    overdue before its time has come on every reading. On an ordinary day both are the same.
    """
    return instant(datetime.combine(run_day, time.fromisoformat(at)), zone)


def instant(local: datetime, zone: tzinfo, *, first: bool = False) -> datetime:
    """The instant of a local time, as `deadline` says; with `first` the first one of a time that is repeated."""
    # Compared as instants: of two times in one zone Python compares what the clock shows.
    readings = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return (min(readings) if first else max(readings)).astimezone(zone)


def passed(now: datetime, deadline: datetime) -> bool:
    """Whether a deadline has come; as instants, because an hour that is repeated shows every time twice."""
    return deadline.astimezone(UTC) <= now.astimezone(UTC)


def scoring_deadline(spec: Pipeline, day: date) -> datetime:
    """The last instant at which the predictions of a day are made in time.

    `model.deadline` of the day; its end, where none is declared, and for a replayed pipeline, whose clock knows only days.
    """
    zone = ZoneInfo(spec.timezone)
    if spec.clock == "wall" and spec.model.deadline:
        return deadline(day, spec.model.deadline, zone)
    return deadline(day, time.max.isoformat(), zone)


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
