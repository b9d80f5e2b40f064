"""What a pipeline declares about time, as the ledger keeps it."""

from __future__ import annotations

from sluice.declare.calendars import Expected
from sluice.declare.spec import Pipeline
from sluice.ledger.records import Scheduled


def declared_now(spec: Pipeline) -> Scheduled:
    """Return what a pipeline declares about time now."""
    return Scheduled(
        schedule=spec.schedule,
        timezone=spec.timezone,
        expected=spec.expected,
        deadlines={name: source.deadline for name, source in spec.sources.items()},
        calendars={name: source.expected for name, source in spec.sources.items() if source.expected},
    )


def as_declared_then(spec: Pipeline, then: Scheduled) -> Pipeline:
    """Return a pipeline as it was declared then, without the sources that it has got since.

    A holiday that is named now counts for the past too, and one that was named then and is no more still does.
    """
    sources = {
        name: source.model_copy(
            update={
                "deadline": then.deadlines[name],
                "expected": _with_holidays_of(then.calendars.get(name), source.expected),
            }
        )
        for name, source in spec.sources.items()
        if name in then.deadlines
    }
    return spec.model_copy(
        update={
            "schedule": then.schedule,
            "timezone": then.timezone,
            "expected": _with_holidays_of(then.expected, spec.expected),
            "sources": sources,
        }
    )


def _with_holidays_of(then: Expected | None, now: Expected | None) -> Expected | None:
    if then is None or now is None:
        return then
    return Expected(weekdays=then.weekdays, holidays=tuple(sorted({*then.holidays, *now.holidays})))
