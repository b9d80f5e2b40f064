"""What a pipeline declares about time, as the ledger keeps it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sluice.declare.calendars import Expected
from sluice.declare.spec import Pipeline


class Declared(BaseModel):
    """Schedule, zone, calendars and deadlines of a pipeline as they were declared at some time."""

    # Later versions may record more.
    model_config = ConfigDict(extra="ignore", frozen=True)

    schedule: str
    timezone: str
    expected: Expected
    # Source -> its deadline; and its calendar, where it has one of its own.
    deadlines: dict[str, str]
    calendars: dict[str, Expected]

    @classmethod
    def of(cls, spec: Pipeline) -> Declared:
        """What a pipeline declares now."""
        return cls(
            schedule=spec.schedule,
            timezone=spec.timezone,
            expected=spec.expected,
            deadlines={name: source.deadline for name, source in spec.sources.items()},
            calendars={name: source.expected for name, source in spec.sources.items() if source.expected},
        )

    def applied_to(self, spec: Pipeline) -> Pipeline:
        """A pipeline as it was declared then, without the sources that it has got since.

        A holiday that is named now counts for the past too, and one that was named then and is no more still does.
        """
        sources = {
            name: source.model_copy(
                update={
                    "deadline": self.deadlines[name],
                    "expected": _with_holidays_of(self.calendars.get(name), source.expected),
                }
            )
            for name, source in spec.sources.items()
            if name in self.deadlines
        }
        return spec.model_copy(
            update={
                "schedule": self.schedule,
                "timezone": self.timezone,
                "expected": _with_holidays_of(self.expected, spec.expected),
                "sources": sources,
            }
        )


def _with_holidays_of(then: Expected | None, now: Expected | None) -> Expected | None:
    if then is None or now is None:
        return then
    return Expected(weekdays=then.weekdays, holidays=tuple(sorted({*then.holidays, *now.holidays})))
