"""Types of the fields of a pipeline's YAML: what does not exist or says nothing is refused where it is declared."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from pydantic import AfterValidator, StringConstraints

# A declaration that says nothing is none.
NonEmptyStr = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# Names become parts of DAG ids, task ids, tags and paths.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Address = Annotated[str, StringConstraints(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$")]

# Whether a schedule ever comes does not depend on when it is asked.
_ANY_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


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
        croniter(schedule, _ANY_INSTANT).get_next()
    except CroniterBadDateError:
        raise ValueError(f"the cron schedule {schedule!r} never comes") from None
    except CroniterBadCronError:
        raise ValueError(f"{schedule!r} is no cron schedule: {form}") from None
    return schedule


def _check_connection_id(name: str) -> str:
    """Accept the id of a connection; an address in its place is a secret that is told to nobody."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", name):
        raise ValueError(
            "the id of an Airflow connection, which keeps the URL as its password, is wanted here: letters, digits, _, . and -"
        )
    return name


TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Cron = Annotated[str, AfterValidator(_check_cron)]
ConnectionId = Annotated[str, AfterValidator(_check_connection_id)]
