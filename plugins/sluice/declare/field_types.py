"""Types of the fields of a pipeline's YAML: what does not exist or says nothing is refused where it is declared."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

# A declaration that says nothing is none.
NonEmptyStr = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# An infinite limit switches off what it limits, and nothing would say so.
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Whether a schedule ever comes does not depend on when it is asked.
_ANY_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_ADDRESS = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: it begins with a small letter, and has up to 60 small letters, digits and _"
        )
    return name


def _check_time_of_day(given: object) -> object:
    """Accept HH:MM; YAML reads what is not in quotes as a number of minutes."""
    if not isinstance(given, str) or not _TIME_OF_DAY.fullmatch(given):
        raise ValueError(f'{given!r} is no time of day: "00:00" to "23:59", in quotes')
    return given


def _check_address(given: str) -> str:
    if not _ADDRESS.fullmatch(given):
        raise ValueError(f"{given!r} is no address of mail, such as desk@example.com")
    return given


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


# Names become parts of DAG ids, task ids, tags and paths.
Name = Annotated[str, AfterValidator(_check_name)]
TimeOfDay = Annotated[str, BeforeValidator(_check_time_of_day)]
Address = Annotated[str, AfterValidator(_check_address)]
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Cron = Annotated[str, AfterValidator(_check_cron)]
ConnectionId = Annotated[str, AfterValidator(_check_connection_id)]
