"""How far the data of a source may be relied on today: one letter, after Lawrence's data readiness levels.

C: it is loaded. B: it is valid as well, its newest verdict lets it pass. A: it is fit for this task now: fresh, within
its purpose, nothing of it held, nothing of it shown under a waiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice import schedule
from sluice.core import clock
from sluice.core.partitions import date_of
from sluice.declare.spec import Pipeline

_DAY = timedelta(days=1)
# A weekly source is fresh until the next one is due.
_FRESH = timedelta(days=6)


@dataclass(frozen=True)
class Standing:
    """What is known of a source today."""

    # Newest day that readers see; None where nothing was ever published.
    newest: str | None
    # Outcome of the newest verdict, and the days it is about; "" where there was none.
    outcome: str
    judged: str
    # Labels of the days that are held or refused, and that are shown under a waiver.
    held: tuple[str, ...]
    waived: tuple[str, ...]


@dataclass(frozen=True)
class Readiness:
    """`band` is A, B, C or "" (nothing is there); `missing` says what keeps it from the next one."""

    band: str
    missing: tuple[str, ...]


def readiness(spec: Pipeline, name: str, standing: Standing, now: datetime | None) -> Readiness:
    """The band of a source.

    Args:
        now: the pipeline's present instant; None where its clock has not started.
    """
    source = spec.source(name)
    held = (f"held or refused: {', '.join(standing.held)}",) if standing.held else ()
    if standing.newest is None or now is None:
        return Readiness("", ("nothing is published yet", *held))
    if standing.outcome not in ("PASS", "WARN"):
        said = f"the newest verdict is {standing.outcome or 'missing'}, of {standing.judged or 'no day'}"
        return Readiness("C", (said, *held))
    missing = []
    if late := days_late(spec, name, standing.newest, now):
        missing.append(f"the newest day is {standing.newest}, {late} day(s) behind")
    if source.purpose_expires and now.date() > source.purpose_expires:
        missing.append(f"its purpose ended on {source.purpose_expires}")
    missing += held
    if standing.waived:
        missing.append(f"shown under a waiver: {', '.join(standing.waived)}")
    return Readiness("B" if missing else "A", tuple(missing))


def days_late(spec: Pipeline, name: str, newest: str, now: datetime) -> int:
    """Days that are due by now and expected, and newer than the newest published one."""
    declared, known = spec.source(name), schedule.read(spec)
    run_day = now.date() if clock.passed(now, known.deadline(name, now.date())) else now.date() - _DAY
    due, shown = run_day - timedelta(days=declared.lag_days), date_of(newest)
    if declared.cadence == "weekly":
        return max(0, (due - shown - _FRESH).days)
    return len(known.expected_days(name, shown + _DAY, due))
