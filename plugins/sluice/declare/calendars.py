"""The days that a pipeline or one of its sources is expected to have data for: `expected` in a pipeline's YAML."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, field_validator

from sluice.declare.contracts import Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
# In the order of `date.weekday`.
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Expected(Strict):
    """Which days of data there are; by default all."""

    weekdays: tuple[Weekday, ...] = Field(WEEKDAYS, min_length=1)
    # Days without data although they are on one of the weekdays.
    holidays: tuple[date, ...] = ()

    @field_validator("weekdays", "holidays")
    @classmethod
    def _names_each_once(cls, days: tuple[str | date, ...]) -> tuple[str | date, ...]:
        if repeated := next((day for place, day in enumerate(days) if day in days[:place]), None):
            raise ValueError(f"{repeated} is named twice")
        return days

    def includes(self, day: date) -> bool:
        """Whether data are expected for a day."""
        return WEEKDAYS[day.weekday()] in self.weekdays and day not in self.holidays
