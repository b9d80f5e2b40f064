"""Types of a pipeline's YAML for time zones and cron schedules: one that does not exist is refused where it is declared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter  # type: ignore[import-untyped]
from pydantic import AfterValidator


def _check_time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}; write it as America/New_York or UTC") from None
    return name


def _check_cron(schedule: str) -> str:
    """Accept what Airflow's timetables take as five fields; they read it with the same parser."""
    form = "minute, hour, day of the month, month and day of the week, such as 0 4 * * *"
    if len(schedule.split()) != 5:
        raise ValueError(f"{schedule!r} is no cron schedule of five fields: {form}")
    try:
        croniter(schedule, datetime.now(UTC)).get_next()
    except CroniterBadDateError:
        raise ValueError(f"the cron schedule {schedule!r} never comes") from None
    except CroniterBadCronError:
        raise ValueError(f"{schedule!r} is no cron schedule: {form}") from None
    return schedule


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Cron = Annotated[str, AfterValidator(_check_cron)]
