"""What ended an incident, and when: found in the ledger and the manifests, kept as data, told in sentences only at the end.

The rule kept here: an incident of a table ends when readers see each of its days, or when a day was given up, by a person or
because it had been held for too long. It ended with the first such entry of the ledger after it: what happened to the same
day later ended another incident, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from sluice import ledger, waivers
from sluice.core.errors import BatchUnknownError
from sluice.core.partitions import LATEST, Partition
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.lake import batches, inputs
from sluice.lake.batches import full_id
from sluice.ledger import Entry, records
from sluice.models import scorer

Kind = Literal[
    "released",  # the held batch itself was published on a waiver
    "replaced",  # another batch was published in its place, on a waiver
    "corrected_delivery",
    "corrected_rule",
    "corrected_reading",  # the contract or its mapping: the same file was read as other rows
    "rebuilt",
    "delivered",
    "given_up",  # a person skipped the day
    "staged",  # of an earlier version, in which a step that failed ended when it succeeded
    "published",
    "stated",  # by whoever closed it, in its own words: a task that succeeded
]


class Ending(BaseModel):
    """The end of one occurrence of a fault, as the ledger keeps it with the mail that tells it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Kind
    # When it ended; None in entries of an earlier version, which kept the sentence alone.
    at: AwareDatetime | None = None
    # The entry of the ledger that ended it.
    entry: int | None = None
    # Names of the deliveries that ended it.
    files: tuple[str, ...] = ()
    # Who answers for what was published on a waiver, until when and why; or who gave the day up, and why.
    by: str = ""
    signed: str = ""
    until: str = ""
    why: str = ""
    # Of `stated`.
    text: str = ""

    @property
    def on_waiver(self) -> bool:
        return bool(self.until)

    def sentence(self) -> str:
        """What ended it, in a sentence or two."""
        return {
            "released": f"Released by {self.signed} until {self.until}, although it did not pass its rules. "
            f"Reason given: {self.why}",
            "replaced": f"Replaced by {self._files}, which was released by {self.signed} until {self.until} although it did "
            f"not pass its rules. Reason given: {self.why}",
            "corrected_delivery": f"A corrected delivery passed: {self._files}.",
            "corrected_rule": "The rule or its gate was corrected: the same batch was audited again and passed.",
            "corrected_reading": "The contract or its mapping was corrected: the same delivery was read again and passed.",
            "rebuilt": "It was built again, and passed.",
            "delivered": f"The delivery came: {self._files}."
            + (
                f" It was released by {self.signed} until {self.until}, although it did not pass its rules. "
                f"Reason given: {self.why}"
                if self.on_waiver
                else ""
            ),
            "given_up": f"Given up by {self.by}: {self.why}",
            "staged": f"The step that failed succeeded later, with {self._files}.",
            "published": f"It was published after the failure, from {self._files}.",
            "stated": self.text,
        }[self.kind]

    def headline(self) -> str:
        """The same for a subject line."""
        if self.kind == "released":
            return f"released by {self.by} until {self.until}, it did not pass its rules"
        return (self.sentence().splitlines() or ["it is over"])[0]

    @property
    def _files(self) -> str:
        if len(self.files) > 3:
            return f"{self.files[0]} and {len(self.files) - 1} more files"
        return ", ".join(self.files) or "its inputs"


def stated(text: str, at: Any = None) -> Ending:
    """An end that whoever closes an incident states in its own words."""
    return Ending(kind="stated", text=text, at=at)


def read(recorded: str | dict[str, Any]) -> Ending:
    """An ending from the ledger; earlier versions kept a sentence."""
    return stated(recorded) if isinstance(recorded, str) else Ending.model_validate(recorded)


def tables_of(spec: Pipeline, seen: Entry) -> dict[str, list[str]]:
    """The tables, each with its days, that end one occurrence of a fault; none where something else does.

    In earlier versions a step that failed had ended when it had `staged` its table; it ends with the publication, as all do.
    """
    end, days = seen.record.ends_with, occurrence_days(seen)
    names = [name for name in end.names if name in spec.tables and days]
    if end.how == "run":
        return {name: [spec.data_day(name, day) for day in days] for name in names}
    return dict.fromkeys(names, days) if end.how in ("published", "staged") else {}


def occurrence_days(seen: Entry) -> list[str]:
    """The days of an occurrence; none where it has no partition, or an earlier version recorded what is no day."""
    try:
        return list(seen.days) if seen.partition else []
    except ValueError:
        return []


def end_of(spec: Pipeline, seen: Entry) -> Entry | None:
    """The entry of the ledger with which the last day of an occurrence ended; None while one of its days has not."""
    if seen.record.ends_with.how == "completed":
        return _completed(spec, occurrence_days(seen), seen.seq)
    ends = [_first_end(spec, table, days, seen) for table, days in tables_of(spec, seen).items()]
    there = [one for one in ends if one is not None]
    return max(there, key=lambda one: one.seq) if there and len(there) == len(ends) else None


def find(spec: Pipeline, seen: Entry) -> Ending:
    """What ended one occurrence of a fault of a table, as the ledger and the manifests tell it.

    Args:
        seen: the entry of kind `mail` that saw it last.
    """
    ended = end_of(spec, seen)
    if ended is None:
        return stated("It is over.")
    about: dict[str, Any] = {"at": ended.at, "entry": ended.seq}
    if ended.kind == "day_completed":
        text = f"The day {ended.partition} is complete: every source that was due is published."
        return Ending(kind="stated", text=text, **about)
    if ended.kind == "skipped":
        return Ending(kind="given_up", by=ended.record.by, why=ended.record.why, **about)
    table, batch_id, held = ended.subject, full_id(ended.record.batch_id), seen.record.batch_id
    if seen.record.event == "rolled_back":
        made = inputs.read(batches.made_of(spec.pipeline, table, batch_id), inputs.Model)
        by = "".join(f" by {one.named}" for one in made)
        return Ending(
            kind="stated", text=f"The predictions of {seen.partition} were made again{by}.", **about
        )
    about["files"] = _files(spec, table, batch_id)
    waiver = _waiver(spec, ended)
    if waiver:
        about |= {"by": waiver.by, "signed": waiver.signed, "until": waiver.until, "why": waiver.why}
    if seen.record.event == "missing_delivery":
        return Ending(kind="delivered", **about)
    if waiver:
        return Ending(kind="released" if held == batch_id else "replaced", **about)
    return Ending(kind=_correction(spec, table, held, batch_id), **about)


def _correction(spec: Pipeline, table: str, held: str, batch_id: str) -> Kind:
    if not held:
        return "published"
    if batch_id == held:
        return "corrected_rule"
    if table not in spec.sources:
        return "rebuilt"
    same = _contents(spec, table, batch_id) == _contents(spec, table, held)
    return "corrected_reading" if same else "corrected_delivery"


def _first_end(spec: Pipeline, table: str, days: Sequence[str], seen: Entry) -> Entry | None:
    """The entry with which the last of the days was published or given up for the first time after a mail."""
    late = seen.record.event == "missing_delivery"
    weeks = [week_of(spec, table, day) if late else Partition(day, day) for day in days]
    span = Partition(days[0], weeks[-1].last)
    found = ledger.entries(pipeline=spec.pipeline, subject=table, after=seen.seq, days=span)
    oldest_first = [one for one in reversed(found) if _ends(spec, one)]
    firsts = [next((one for one in oldest_first if _is_about(one, week)), None) for week in weeks]
    there = [one for one in firsts if one is not None]
    # Of a weekly source only some of the days of a range are ever delivered.
    enough = bool(there) if _is_weekly(spec, table) else len(there) == len(days)
    return max(there, key=lambda one: one.seq) if enough else None


def week_of(spec: Pipeline, table: str, day: str) -> Partition:
    """The days as which a delivery of a day may come: a weekly one later in its week, or as the next one that comes."""
    return Partition(day, LATEST if _is_weekly(spec, table) else day)


def _is_weekly(spec: Pipeline, table: str) -> bool:
    return table in spec.sources and spec.sources[table].cadence == "weekly"


def _is_about(entry: Entry, week: Partition) -> bool:
    """Whether an entry is about the first day of a week, or publishes it later in it."""
    return entry.covers(week.first) or (entry.kind == "published" and entry.days.first in week)


def _ends(spec: Pipeline, entry: Entry) -> bool:
    """Whether an entry ends what is wrong with a day: readers see it, or a person gave it up. That a hold has expired ends nothing, nor
    does a day of predictions that nobody scored.
    """
    if entry.kind == "published" and entry.subject == PREDICTIONS:
        return not scorer.has_abstained(spec, entry.record.batch_id)
    return entry.kind in ("published", "skipped")


def _completed(spec: Pipeline, days: Sequence[str], seq: int) -> Entry | None:
    """The entry with which the last of some run days was complete after `seq`."""
    found = ledger.entries(records.DayCompleted, pipeline=spec.pipeline, subject="raw", after=seq)
    runs = [(Partition(one.record.first_day, one.days.last), one) for one in reversed(found)]
    firsts = [next((one for run, one in runs if day in run), None) for day in days]
    there = [one for one in firsts if one is not None]
    return max(there, key=lambda one: one.seq) if there and len(there) == len(days) else None


def _waiver(spec: Pipeline, published: Entry) -> waivers.Waiver | None:
    """The waiver that a publication names, if it was made on one."""
    number = published.record.waiver
    granted = ledger.entries(records.Waiver, pipeline=spec.pipeline, subject=published.subject)
    return next((waivers.read(one) for one in granted if one.seq == number), None)


def _contents(spec: Pipeline, table: str, batch_id: str) -> set[str]:
    return {each.get("sha256", "") for each in _inputs(spec, table, batch_id)}


def _files(spec: Pipeline, table: str, batch_id: str) -> tuple[str, ...]:
    inputs = _inputs(spec, table, batch_id)
    return tuple(each["uri"].rsplit("/", 1)[-1] for each in inputs if "uri" in each)


def _inputs(spec: Pipeline, table: str, batch_id: str) -> Sequence[dict[str, Any]]:
    try:
        return batches.load(spec.pipeline, table, batch_id).inputs
    except BatchUnknownError:
        # Cleared away since: the mail says less, and goes out.
        return ()
