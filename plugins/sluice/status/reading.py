"""Read the status of a pipeline: each table, the landing zone and the ledger once, however many days there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from sluice import ledger, schedule
from sluice.core import clock
from sluice.core.errors import (
    ContractBrokenError,
    DeliveryMissingError,
    DeliveryUnreadableError,
)
from sluice.core.partitions import date_of, day_of, is_day
from sluice.declare import pipeline_clock
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.holds import stopped
from sluice.holds.stopped import Stopped
from sluice.ingest import deliveries
from sluice.ingest.stage import is_as_read
from sluice.lake import batches, inputs, tables
from sluice.lake.batches import full_id
from sluice.lake.landing import Landing
from sluice.lake.snapshots import Published
from sluice.ledger import Entry, champion, model_records, skips
from sluice.models import rolled_back, scorer
from sluice.schedule import Schedule, missing_history
from sluice.status import training
from sluice.status.needs import Needs
from sluice.status.parts import MONITORING, Item, State, Status, by_table

# A number from which a delivery corrects an earlier one.
_CORRECTION = 2


def of(spec: Pipeline, *, first: str | None = None, last: str | None = None) -> Status:
    """Say what should be and what is, for the run days of a pipeline up to now.

    A run day is due from the pipeline's `starts` on or, where it has none, from the first day that was published. A manifest is
    opened only where something newer may be there: a delivery that is not the first, or a younger batch of a source.

    Args:
        first, last: only these run days (YYYY-MM-DD, both included).

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    try:
        now = pipeline_clock.now(spec)
    except DeliveryMissingError:
        return Status(spec.pipeline, None, ())
    known = _Known.read(spec, now)
    begin = known.begin(first)
    end = min(now.date(), date_of(last)) if last else now.date()
    items: list[Item] = []
    for run_day in known.schedule.run_days(begin, end, known.days_with_deliveries):
        if clock.passed(now, known.schedule.time_of(run_day)):
            items += known.items(run_day)
    return Status(spec.pipeline, now, tuple(items))


def to_score_again(spec: Pipeline) -> list[str]:
    """Run days whose predictions readers see, or that are held, and that the champion of now makes again, in time.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    scored = [item for items in of(spec).of("score").values() for item in items if item.is_possible]
    held = stopped.read(spec)
    return [
        item.run_day
        for item in scored
        if (item.batch_id or (item.table, item.day) in held) and rolled_back.is_in_time(spec, item.run_day)
    ]


@dataclass
class _Known:
    """All that is asked for, read once."""

    spec: Pipeline
    now: datetime
    schedule: Schedule
    landing: Landing
    # Table -> day of data -> what readers see.
    shown: dict[str, dict[str, Published]] = field(default_factory=dict)
    # Source -> run day -> number of the newest delivery that was announced; 0 where only files without a known name were.
    delivered: dict[str, dict[str, int]] = field(default_factory=dict)
    # Source -> run days on which it came, sorted.
    came: dict[str, list[str]] = field(default_factory=dict)
    # Weekly source -> run days after its last on which it is due.
    weeks: dict[str, set[str]] = field(default_factory=dict)
    stopped: dict[tuple[str, str], Stopped] = field(default_factory=dict)
    skipped: dict[tuple[str, str], str] = field(default_factory=dict)
    needs: Needs = field(init=False)
    # Table and day of what was made without history that is published now -> what that is.
    rebuilds: dict[tuple[str, str], str] = field(default_factory=dict)
    monitored: set[str | None] = field(default_factory=set)
    # What decided on the champion, newest first; nothing where nobody ever rolled back.
    moves: list[Entry] = field(default_factory=list)
    # Run day -> the request for a new model that was made on it.
    requests: dict[str, Item] = field(default_factory=dict)

    @classmethod
    def read(cls, spec: Pipeline, now: datetime) -> _Known:
        known = cls(spec, now, schedule.read(spec), Landing(spec.landing_url))
        for table in spec.tables:
            known.shown[table] = tables.published(spec.pipeline, table)
        for source in spec.sources:
            known.delivered[source] = deliveries.numbers(spec, source, landing=known.landing)
            shown = {spec.run_day(source, day) for day in known.shown[source]}
            # Neither a folder that is no day nor one of a day to come is a delivery that came.
            landed = {day for day in known.delivered[source] if is_day(day) and day <= day_of(now.date())}
            known.came[source] = sorted(shown | landed)
        known.stopped = stopped.read(spec)
        given_up = skips.given_up(spec.pipeline)
        known.skipped = {part: skips.sentence(entry) for part, entry in given_up.items()}
        known.needs = Needs(spec, known.shown, known.skipped)
        known.weeks = {
            name: set(known._weeks(name)) for name, one in spec.sources.items() if one.cadence == "weekly"
        }
        known.rebuilds = {
            (one.table, one.day): one.because for one in missing_history.rebuilds(spec, known.shown)
        }
        if spec.has_model:
            decided = ledger.entries(model_records.Decided, pipeline=spec.pipeline, subject=spec.model.name)
            known.monitored = {entry.partition for entry in decided}
            known.requests = training.requests(spec, decided)
            moves = champion.decisions(spec.pipeline, spec.model.name)
            known.moves = moves if any(one.kind == "rolled_back" for one in moves) else []
        return known

    def begin(self, first: str | None) -> date:
        """The first run day that anything is expected of."""
        spec = self.spec
        daily = [name for name, source in spec.sources.items() if source.cadence == "daily"]
        shown = [date_of(spec.run_day(name, day)) for name in daily for day in list(self.shown[name])[:1]]
        begin = spec.starts or min(shown, default=self.now.date())
        return max(begin, date_of(first)) if first else begin

    @property
    def days_with_deliveries(self) -> set[date]:
        return {date_of(day) for days in self.delivered.values() for day in days if is_day(day)}

    def items(self, run_day: date) -> Iterator[Item]:
        key, spec = day_of(run_day), self.spec
        sources = [item for name in spec.sources if (item := self._source(name, run_day))]
        yield from sources
        derived = [item for table in spec.derived if (item := self._derived(table, run_day, sources))]
        yield from derived
        predictions = self._predictions(key, by_table(derived)) if spec.has_model else None
        if predictions is not None:
            yield predictions
            yield self._monitoring(key, predictions)
        if key in self.requests:
            yield self.requests[key]

    def _source(self, name: str, run_day: date) -> Item | None:
        """A source on a run day; None where it is not expected on it, and did not come."""
        spec, key = self.spec, day_of(run_day)
        day = spec.data_day(name, key)
        delivered = self.delivered[name].get(key)
        there = day in self.shown[name] or delivered is not None
        if not there and not self._is_expected(name, run_day):
            return None
        deadline = self.schedule.deadline(name, run_day)
        if day in self.shown[name]:
            return self._published("ingest", name, key, self._newer_delivery(name, day, delivered), deadline)
        state: State = "awaited"
        if delivered is not None:
            state = "ready"
        elif clock.passed(self.now, deadline):
            state = "missing"
        reason = {
            "ready": f"delivery {delivered} is there",
            "awaited": f"it is due by {deadline:%Y-%m-%d %H:%M %Z}",
            "missing": f"it was due by {deadline:%Y-%m-%d %H:%M %Z} and has not been delivered",
        }[state]
        return self._unpublished("ingest", name, key, state, reason, deadline)

    def _is_expected(self, name: str, run_day: date) -> bool:
        """Whether a source is to come on a run day."""
        spec, key = self.spec, day_of(run_day)
        came = self.came[name]
        if spec.sources[name].cadence == "daily":
            # Before its first day a source was not expected, where the pipeline does not say since when it is.
            begun = spec.starts is not None or key >= (came[0] if came else day_of(self.now.date()))
            return begun and self.schedule.expects(name, run_day)
        return key in self.weeks[name]

    def _weeks(self, name: str) -> Iterator[str]:
        """Run days on which a weekly source is due after its last, or after the pipeline's first day: each week that was given up,
        and the first that was not."""
        came, today = self.came[name], self.now.date()
        # A register is due on a day of the schedule, whatever else came on another one.
        taken = {day for day in self.days_with_deliveries if self.schedule.fires_on(day)}
        last = date_of(came[-1]) if came else self.schedule.declared_since(name)
        due = last + timedelta(days=7) if last else date.max
        while run_days := self.schedule.run_days(due, today, taken) if due <= today else []:
            yield day_of(run_days[0])
            if (name, self.spec.data_day(name, day_of(run_days[0]))) not in self.skipped:
                return
            due += timedelta(days=7)

    def _newer_delivery(self, name: str, day: str, delivered: int | None) -> str:
        """Why readers do not see the newest delivery of a day; "" if they do."""
        if delivered is None or delivered < _CORRECTION:
            return ""
        read = _delivery(self._inputs(name, self.shown[name][day].batch_id), day)
        if read is None or not self._is_another(name, day, delivered, read):
            return ""
        return f"delivery {delivered} has come since delivery {read.number} was published"

    def _came_since(self, one: Stopped, table: str, run_day: str) -> str:
        """What has come since something of a day was stopped: another delivery, or other inputs; "" if nothing has."""
        day, read_from = self.spec.data_day(table, run_day), one.inputs or self._inputs(table, one.batch_id)
        if table not in self.spec.sources:
            changed = self._changed(read_from, run_day) or self._filled(one, table, day)
            return changed or (self._scored_again(run_day, read_from) if table == PREDICTIONS else "")
        delivered = self.delivered[table].get(run_day)
        if delivered is None:
            return ""
        if one.batch_id is None:
            now = deliveries.names(self.spec, table, [run_day], landing=self.landing)
            # Of a range, the files of all its days.
            before = [name for name in one.files if name.startswith(f"{table}/{run_day}/")]
            return "" if {*now} == {*before} else "what was delivered is not what was refused"
        read = _delivery(read_from, day)
        # Of what expired under an earlier version it is not known what it was made from.
        came = one.has_expired if read is None else self._is_another(table, day, delivered, read)
        return f"delivery {delivered} has come since another was held" if came else ""

    def _is_another(self, name: str, day: str, delivered: int, read: inputs.Delivery) -> bool:
        """Whether the newest delivery of a day is another than was read; the same file under a new number is not."""
        if read.number is None or delivered <= read.number:
            return False
        run_day = self.spec.run_day(name, day)
        try:
            found = deliveries.find(self.spec, name, run_day, landing=self.landing)
        except (DeliveryUnreadableError, ContractBrokenError):
            return True  # its own run refuses it, and says why
        return found is not None and not is_as_read(self.spec, found, read)

    def _derived(self, table: str, on: date, sources: list[Item]) -> Item | None:
        """A derived table on a run day; None where its calendar has no such day, and nothing came of it."""
        run_day = day_of(on)
        day = self.spec.data_day(table, run_day)
        if day in self.shown[table]:
            why = self._newer_inputs(table, run_day) or self.rebuilds.get((table, day), "")
            item = self._published("transform", table, run_day, why)
            if item.is_possible and (
                lacks := self.needs.incomplete(table, run_day, sources) or self.needs.history(table, run_day)
            ):
                return replace(item, state="blocked", reason=f"{item.reason}; {lacks}")
            return item
        asked_for = self.schedule.expects(table, on) or (table, day) in self.stopped
        if not asked_for and not self.needs.came(table, day):
            return None
        if incomplete := self.needs.incomplete(table, run_day, sources):
            return self._unpublished("transform", table, run_day, "blocked", incomplete)
        item = self._unpublished("transform", table, run_day, "ready", "the day is complete")
        if item.is_possible and (lacks := self.needs.history(table, run_day)):
            return self._unpublished("transform", table, run_day, "blocked", lacks)
        return item

    def _newer_inputs(self, table: str, run_day: str) -> str:
        batch_id = self.shown[table][self.spec.data_day(table, run_day)].batch_id
        if not self._may_be_outdated(run_day, batch_id):
            return ""
        return self._changed(self._inputs(table, batch_id), run_day)

    def _changed(self, read_from: Sequence[Mapping[str, Any]], run_day: str) -> str:
        """Which of some inputs was published anew, on its run's own day, since it was read; "" if none was."""
        for read in inputs.read(read_from, inputs.Snapshot):
            own = self.spec.data_day(read.table, run_day)
            now = self.shown.get(read.table, {}).get(own)
            if now is None or read.batches is None or not read.first or not read.last:
                continue
            before = read.batches.get(own)
            if read.first <= own <= read.last and not batches.same_rows(
                self.spec.pipeline, read.table, own, before, now.batch_id
            ):
                return f"{read.table} {own} was published anew since"
        return ""

    def _scored_again(self, run_day: str, made_of: Sequence[Mapping[str, Any]] | None = None) -> str:
        """Why predictions are made again, by the champion of now or because nobody could score; "" where they are not, or are too late.

        Args:
            made_of: inputs of their batch; of what readers see, if not given.
        """
        if not rolled_back.is_in_time(self.spec, run_day):
            return ""
        shown = self.shown[PREDICTIONS].get(run_day)
        if made_of is None:
            made_of = self._inputs(PREDICTIONS, shown.batch_id if shown else None)
        return rolled_back.why_again(made_of, self.moves) or scorer.can_score_again(self.spec, made_of)

    def _predictions(self, run_day: str, derived: dict[tuple[str, str], Item]) -> Item | None:
        """Predictions of a run day; None before the first day that was ever predicted, where `starts` says none, or on one without features."""
        spec = self.spec
        if run_day in self.shown[PREDICTIONS]:
            in_time = not pipeline_clock.is_late(spec, date_of(run_day))
            newer = (
                (self._newer_inputs(PREDICTIONS, run_day) or self._scored_again(run_day)) if in_time else ""
            )
            return self._published("score", PREDICTIONS, run_day, newer)
        if spec.starts is None and run_day < min(self.shown[PREDICTIONS], default=run_day):
            return None
        table = spec.model.features_table
        features = derived.get((table, spec.data_day(table, run_day)))
        if features is None:
            return None
        if features.batch_id is None:
            state: State = "skipped" if features.state == "skipped" else "blocked"
            return self._unpublished("score", PREDICTIONS, run_day, state, features.sentence())
        return self._unpublished("score", PREDICTIONS, run_day, "ready", "its features are published")

    def _monitoring(self, run_day: str, predictions: Item) -> Item:
        state: State
        if predictions.state == "skipped":
            state, reason = "skipped", predictions.reason
        elif predictions.batch_id is None:
            state, reason = "blocked", predictions.sentence()
        elif run_day in self.monitored or not self.shown[PREDICTIONS][run_day].rows:
            state, reason = "published", ""
        else:
            state, reason = "ready", "its predictions are published"
        return Item("monitor", MONITORING, run_day, run_day, state, reason)

    def _published(
        self, stage: str, table: str, run_day: str, newer: str, deadline: datetime | None = None
    ) -> Item:
        """A partition that readers see; `newer` says why what they see is not the newest."""
        day = self.spec.data_day(table, run_day)
        batch_id, reason = self.shown[table][day].batch_id, ""
        state: State = "published"
        one = self.stopped.get((table, day))
        # Predictions that readers see stay as they were made, once their time is over; and an expired hold needs no answer where
        # the newest is what readers see.
        stays = one is None or (not newer and (table == PREDICTIONS or one.has_expired))
        came = "" if one is None or stays else self._came_since(one, table, run_day)
        if one is not None and newer and not came:
            state, reason = ("published", "") if (table, day) in self.skipped else ("held", one.reason)
        elif newer or came:
            state, reason = "outdated", newer or came
        return Item(stage, table, run_day, day, state, reason, deadline, batch_id)

    def _unpublished(
        self,
        stage: str,
        table: str,
        run_day: str,
        state: State,
        reason: str,
        deadline: datetime | None = None,
    ) -> Item:
        """A partition that readers do not see."""
        day = self.spec.data_day(table, run_day)
        one = self.stopped.get((table, day))
        if said := self.skipped.get((table, day)):
            state, reason = "skipped", said
        elif one is not None and state != "blocked" and not self._came_since(one, table, run_day):
            state, reason = "held", one.reason
        return Item(stage, table, run_day, day, state, reason, deadline)

    def _filled(self, one: Stopped, table: str, day: str) -> str:
        """Which history that a batch was made without is published now; "" if none is, or its batch is gone."""
        batch_id = one.batch_id or ""
        return "; ".join(
            f"{lacked.table} {gap} has come since it was held"
            for lacked in missing_history.of_batch(self.spec, table, batch_id)
            if day in lacked.days
            for gap in missing_history.came_since(
                self.spec, table, day, batch_id, lacked, self.shown.get(lacked.table)
            )
        )

    def _may_be_outdated(self, run_day: str, batch_id: str) -> bool:
        """Whether a source of a run day has a younger batch than one that was made from them; of the last days that is looked up.

        Ids begin with the time of staging, by the clock of whoever staged, and clocks differ by less than days.
        """
        if date_of(run_day) > self.now.date() - timedelta(days=self.spec.integrity_days):
            return True
        own = (self.shown[source].get(self.spec.data_day(source, run_day)) for source in self.spec.sources)
        return any(found is not None and full_id(found.batch_id) > full_id(batch_id) for found in own)

    def _inputs(self, table: str, batch_id: str | None) -> Sequence[Mapping[str, Any]]:
        """What a batch was made from; nothing where that is not known."""
        return batches.made_of(self.spec.pipeline, table, batch_id)


def _delivery(read_from: Sequence[Mapping[str, Any]], day: str) -> inputs.Delivery | None:
    """The delivery that a day of a source was read from; None where that is not known."""
    return next((one for one in inputs.read(read_from, inputs.Delivery) if one.day == day), None)
