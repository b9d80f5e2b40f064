"""What time it is: the one place that decides.

Everything that records, compares or shows an instant asks `utc_now`: the system's clock, or, where `SLUICE_CLOCK` names a
file, the instant in it (ISO 8601 with its offset), so that a test moves all processes of an installation through weeks in
minutes. That clock stands still until the file is replaced. Times of files and of Iceberg's snapshots are the system's
whatever is set, and are compared with `system_now`. How long something may take is measured by `time.monotonic`. What day it is for a pipeline is in `sluice.declare.pipeline_clock`.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings


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
