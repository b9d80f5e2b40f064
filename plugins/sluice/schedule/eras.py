"""The schedule of a pipeline through the times at which it was declared differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sluice.core import clock
from sluice.core.errors import DayInvalidError, SpecInvalidError
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.schedule import firing

_DAY = timedelta(days=1)
# No schedule waits longer for its next day: from 29 February to the next takes eight years around 2100.
_LONGEST_WAIT = timedelta(days=9 * 366)
# How many days `next_due` looks through at a time.
_STRIDE = timedelta(days=62)


@dataclass(frozen=True)
class Era:
    """A pipeline as it was declared until an instant; None of the present one."""

    spec: Pipeline
    until: datetime | None = None


@dataclass(frozen=True)
class Schedule:
    """When the runs of a pipeline are due, and what is expected of them."""

    _eras: Sequence[Era]

    def run_days(self, first: date, last: date, came: Iterable[date] = ()) -> list[date]:
        """Days between two, both included, on which the pipeline is due to run, oldest first.

        A live pipeline is due on the local days on which its `schedule` fires, once however often it fires, from `starts`
        on; a replayed one every day. Days on which no table is expected to get a partition (`expected`) are left out. A day on
        which something `came` is among them all the same, whether or not the schedule fires on it.
        """
        firing_days = self._firing_days(first, last)
        due = {day for day, spec in firing_days if _is_anything_expected(spec, day)}
        begin = max(first, self._begins_on or first)
        return sorted(due | {day for day in came if begin <= day <= last})

    def expected_days(self, table: str, first: date, last: date) -> list[date]:
        """Days of a table's data between two, both included, that a run is due to publish, oldest first.

        None of a weekly source: it is due a week after its last delivery, whatever day that is.
        """
        present = self._eras[-1].spec
        if not _is_daily(present, table):
            return []
        lag = timedelta(days=present.lag_days(table))
        found = ((run_day - lag, spec) for run_day, spec in self._firing_days(first + lag, last + lag))
        return [day for day, spec in found if _is_expected(spec, table, day)]

    def expects(self, table: str, run_day: date) -> bool:
        """Whether a run is to publish a day of a daily table: the schedule fires, it was declared then, and its calendar has the day."""
        lag, then = timedelta(days=self._eras[-1].spec.lag_days(table)), self._era_of(run_day).spec
        return self.fires_on(run_day) and _is_expected(then, table, run_day - lag)

    def declared_since(self, table: str) -> date | None:
        """The first run day since which a live pipeline that declares `starts` has declared a table; None of another pipeline."""
        begin = self._begins_on
        if begin is None:
            return None
        ended = [begin, *(_ended_on(era, self._eras[-1].spec) for era in self._eras[:-1])]
        return next(
            max(begin, day) for day, era in zip(ended, self._eras, strict=True) if table in era.spec.tables
        )

    def fires_on(self, run_day: date) -> bool:
        """Whether the schedule that counted on a day fires on it."""
        return firing.at(self._era_of(run_day).spec, run_day) is not None

    def due_at(self, run_day: date) -> datetime:
        """The instant at which the run of a day is to start, in the pipeline's zone: the first time its `schedule` fires.

        A replayed pipeline has no such time: its day is due from its beginning on.

        Raises:
            DayInvalidError: the schedule does not fire on that day.
        """
        spec = self._era_of(run_day).spec
        due = firing.at(spec, run_day)
        if due is None:
            raise DayInvalidError(
                f"Pipeline {spec.pipeline!r} does not run on {run_day}.",
                where=f"dags/pipelines/{spec.pipeline}.yml",
                allowed=f"days on which its schedule {spec.schedule!r} fires",
                todo="choose one of them, or correct the schedule",
            )
        return due

    def time_of(self, run_day: date) -> datetime:
        """When the run of a day is due; from its beginning, where the schedule does not fire on it."""
        try:
            return self.due_at(run_day)
        except DayInvalidError:
            zone = ZoneInfo(self._era_of(run_day).spec.timezone)
            return clock.instant(datetime.combine(run_day, time.min), zone)

    def deadline(self, source: str, run_day: date) -> datetime:
        """The instant by which a source must be delivered on a run day, in the pipeline's zone."""
        for era in self._eras:
            # A source that is new was declared by nobody before.
            declared = era.spec.sources.get(source) or self._eras[-1].spec.source(source)
            at = clock.deadline(run_day, declared.deadline, ZoneInfo(era.spec.timezone))
            if era.until is None or clock.passed(era.until, at):
                return at
        raise AssertionError("the present declaration has no end")

    def next_due(self, after: datetime) -> datetime:
        """The first instant after another at which a run is to start.

        Raises:
            SpecInvalidError: there is none: `expected` leaves out every day on which the schedule fires.
        """
        spec = self._eras[-1].spec
        # A time that a clock change skips may come on the day after.
        first = after.astimezone(ZoneInfo(spec.timezone)).date() - _DAY
        first = max(first, spec.starts or first)
        end = first + _LONGEST_WAIT
        while first < end:
            for run_day in self.run_days(first, first + _STRIDE):
                at = self.due_at(run_day)
                if not clock.passed(after, at):
                    return at
            first += _STRIDE + _DAY
        raise SpecInvalidError(
            f"Pipeline {spec.pipeline!r} never runs: its schedule {spec.schedule!r} fires on no day that is expected.",
            where=f"dags/pipelines/{spec.pipeline}.yml",
            todo="correct `schedule` or `expected`",
        )

    @property
    def _begins_on(self) -> date | None:
        """The first run day of a live pipeline that declares it."""
        present = self._eras[-1].spec
        return present.starts if present.clock == "wall" else None

    def _firing_days(self, first: date, last: date) -> Iterator[tuple[date, Pipeline]]:
        """Days on which a run is due but for `expected`, each with the pipeline as it was declared then."""
        present = self._eras[-1].spec
        first = max(first, self._begins_on or first)
        found: dict[date, Pipeline] = {}
        begin = first
        for era in self._eras:
            # The last day of an era, on the clock of a zone that may be a day and two hours ahead of this one.
            end = min(last, _ended_on(era, present) + 2 * _DAY) if era.until else last
            found |= {day: era.spec for day in firing.days(era.spec, begin, end) if self._era_of(day) is era}
            begin = max(first, _ended_on(era, present)) if era.until else begin
        yield from sorted(found.items(), key=lambda each: each[0])

    def _era_of(self, day: date) -> Era:
        """The declaration that a run day is judged by: the one under which it came to be due, or could have."""
        present = self._eras[-1].spec
        for era in self._eras:
            if era.until is None or day < _ended_on(era, present):
                return era
            due = firing.at(era.spec, day)
            if due is not None and clock.passed(era.until, due):
                return era
        raise AssertionError("the present declaration has no end")


def _ended_on(era: Era, present: Pipeline) -> date:
    """The last day of an era that has ended, by the clock of the pipeline as it is declared now."""
    assert era.until is not None
    return era.until.astimezone(ZoneInfo(present.timezone)).date()


def _is_anything_expected(spec: Pipeline, run_day: date) -> bool:
    tables = [table for table in (*spec.sources, *spec.derived) if _is_daily(spec, table)]
    return any(
        spec.expected_of(table).includes(run_day - timedelta(days=spec.lag_days(table))) for table in tables
    )


def _is_expected(spec: Pipeline, table: str, day: date) -> bool:
    return table in spec.tables and spec.expected_of(table).includes(day)


def _is_daily(spec: Pipeline, table: str) -> bool:
    if table in spec.sources:
        return spec.sources[table].cadence == "daily"
    return table in spec.derived or table == PREDICTIONS
