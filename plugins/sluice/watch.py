"""The watcher: what did not happen, and what happened behind everybody's back.

The rule kept here: it asks the clock, the landing zone, the tables and the ledger, never the run that should have been, so
that a run that did not happen, or a scheduler that was off, hides nothing. It may look as often as it likes: the same finding
is the same fault, and is told once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sluice import clock, integrity, ledger, waivers
from sluice.errors import DeliveryMissingError, LandingUnreachableError, SluiceError
from sluice.ingest import deliveries
from sluice.integrity import Rewrite
from sluice.lake import tables
from sluice.lake.landing import Landing
from sluice.spec import Pipeline, Source
from sluice.waivers import inherited
from sluice.waivers.inherited import Rebuild

# Run days back from today that are watched for deliveries. One that is missing for longer was told of in its time.
WATCHED_DAYS = 7
# How far back a source's last publication is looked for.
_SOURCE_DAYS = 60


@dataclass(frozen=True)
class Missed:
    """A delivery that was not in by its deadline, and is not in yet."""

    source: str
    run_day: str
    day: str
    deadline: datetime

    def sentence(self) -> str:
        return (
            f"{self.source} of {self.day} (run of {self.run_day}) was due "
            f"by {self.deadline:%Y-%m-%d %H:%M %Z} and has not been delivered."
        )


def missed_deliveries(spec: Pipeline) -> list[Missed]:
    """Deliveries that are overdue by the pipeline's clock; each is recorded once, as `deadline_missed`.

    Of a daily source, each of the last days that it was expected for; of a weekly one, the next after its last.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    if not _has_begun(spec):
        return []
    now = clock.now(spec)
    landing = Landing(spec.landing_url)
    found = []
    for name, source in spec.sources.items():
        for run_day in _expected(spec, name, source, now.date(), landing):
            at = clock.deadline(run_day, source.deadline, ZoneInfo(spec.timezone))
            if clock.passed(now, at) and not _is_in(spec, name, run_day.isoformat(), landing):
                day = spec.data_day(name, run_day.isoformat())
                found.append(Missed(name, run_day.isoformat(), day, at))
    for missed in found:
        ledger.append(
            "deadline_missed",
            pipeline=spec.pipeline,
            subject=missed.source,
            partition=missed.day,
            once=f"deadline_missed:{spec.pipeline}.{missed.source}:{missed.day}",
            data={
                "run_day": missed.run_day,
                "deadline": missed.deadline.isoformat(),
                "reasons": [missed.sentence()],
            },
        )
    return found


def rewritten_history(spec: Pipeline, days: int | None = None) -> list[Rewrite]:
    """Published partitions of the last days that are not what was published: see `sluice.integrity.check`."""
    return integrity.check(spec, days) if _has_begun(spec) else []


def lapsed_waivers(spec: Pipeline) -> list[ledger.Entry]:
    """Waivers that are over while readers still see what was published on them."""
    if not _has_begun(spec):
        return []
    lapsed: dict[int, ledger.Entry] = {}
    for table in spec.tables:
        granted = ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=table)
        days = {(entry.partition or "").partition("..")[0] for entry in granted}
        for waiver in waivers.of_partitions(spec, table, sorted(days)).values():
            if waivers.expired(spec, waiver):
                lapsed[waiver.seq] = waiver
    return [lapsed[seq] for seq in sorted(lapsed)]


def rebuilds(spec: Pipeline) -> list[Rebuild]:
    """What was made from released data whose waiver is over, or which was replaced since."""
    return inherited.rebuilds(spec) if _has_begun(spec) else []


def over(spec: Pipeline, kind: str, still: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """Table and day of recorded findings of a kind (`deadline_missed`, `rewritten`) that are not found any more.

    Args:
        still: table and day of what was found now.
    """
    if not _has_begun(spec):
        return []
    # Older ones left the window that is looked at: nothing is known of them.
    since = (clock.today(spec) - timedelta(days=_window(spec, kind))).isoformat()
    recorded = ledger.entries(kind=kind, pipeline=spec.pipeline)
    told = {(entry.subject, entry.partition) for entry in recorded if entry.partition}
    return sorted((table, day) for table, day in told if day and day > since and (table, day) not in still)


def findings(spec: Pipeline, days: int | None = None) -> list[str]:
    """All of the above in sentences, for a person who looks by hand."""
    return [
        *(missed.sentence() for missed in missed_deliveries(spec)),
        *(rewrite.sentence() for rewrite in rewritten_history(spec, days)),
        *(lapse(waiver) for waiver in lapsed_waivers(spec)),
        *(rebuild.sentence() for rebuild in rebuilds(spec)),
    ]


def lapse(waiver: ledger.Entry) -> str:
    """A waiver that is over, in a sentence."""
    released = waivers.read(waiver)
    return f"{released.table} {released.partition} rests on a waiver of {released.by} that ended on {released.until}."


def _has_begun(spec: Pipeline) -> bool:
    """Whether the pipeline has a today: a replayed one has none before its first delivery."""
    try:
        clock.today(spec)
    except DeliveryMissingError:
        return False
    return True


def _window(spec: Pipeline, kind: str) -> int:
    return spec.integrity_days if kind == "rewritten" else WATCHED_DAYS


def _expected(spec: Pipeline, name: str, source: Source, today: date, landing: Landing) -> list[date]:
    """Run days that a source is expected for, oldest first."""
    lag = timedelta(days=source.lag_days)
    since = today - timedelta(days=_SOURCE_DAYS)
    shown = [
        date.fromisoformat(day) + lag
        for day in tables.published(spec.pipeline, name, (since - lag).isoformat(), today.isoformat())
    ]
    if source.cadence == "weekly":
        return _weekly(name, shown, today, landing)
    watched = today - timedelta(days=WATCHED_DAYS - 1)
    # Before its first day a pipeline expected nothing.
    begin = spec.starts or (min(shown) if shown else today)
    first = max(watched, begin)
    return [first + timedelta(days=offset) for offset in range((today - first).days + 1)]


def _weekly(name: str, shown: list[date], today: date, landing: Landing) -> list[date]:
    if not shown:
        return []  # it was never there: the first run that needs it says so
    last = max(shown)
    due = last + timedelta(days=7)
    names = (path.split("/")[1] for path in landing.list(name) if path.endswith(deliveries.MANIFEST))
    landed = any(last.isoformat() < day <= today.isoformat() for day in names)
    return [] if landed or due > today else [due]


def _is_in(spec: Pipeline, source: str, run_day: str, landing: Landing) -> bool:
    """Whether anything usable or not was delivered: of one that cannot be used the run that reads it tells."""
    day = spec.data_day(source, run_day)
    if tables.published(spec.pipeline, source, day, day):
        return True
    try:
        return deliveries.find(spec, source, run_day, landing=landing) is not None
    except LandingUnreachableError:
        raise
    except SluiceError:
        return True
