"""What the ledger records of data, of people's decisions, of mails and of the maintenance; a class a kind."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator

from sluice.declare.calendars import Expected
from sluice.ledger.model_records import Choice
from sluice.ledger.record import Record


class Started(Record, kind="started"):
    """A run was started for what is due and not done."""

    because: tuple[str, ...]
    attempt: int


class Skipped(Record, kind="skipped"):
    """A person gave up a day of a table."""

    by: str
    why: str = ""
    account: str = ""
    run_day: str = ""
    # Of a table that is given up only because what its rows come from is.
    rows_from: str | None = None


class Staged(Record, kind="staged"):
    """A batch was written where no reader looks."""

    batch_id: str
    dag_id: str | None = None
    received: int = 0
    rows: int = 0
    dropped: dict[str, int] = {}
    unmatched: dict[str, int] = {}
    content_hash: str = ""
    noted: tuple[dict[str, Any], ...] = ()


class Refused(Choice, kind="refused"):
    """A delivery could not be used, or a candidate may not become champion."""

    # Of a delivery.
    dag_id: str | None = None
    error: str = ""
    what: str = ""
    where: str = ""
    allowed: str = ""
    todo: str = ""
    files: tuple[str, ...] = ()
    report: str = ""
    # Why its page could not be written.
    unwritten: str = ""


class Judgement(Record):
    """What a gate said about a batch: see `sluice.gates.verdict.Verdict`."""

    outcome: str
    verdict_id: str = ""
    pipeline: str = ""
    table: str = ""
    partitions: tuple[str, ...] = ()
    # Of the full batch, which was judged.
    batch_id: str = ""
    rows: int = 0
    rules: tuple[dict[str, Any], ...] = ()
    sample: tuple[dict[str, Any], ...] = ()
    report: str = ""
    evaluated_at: str = ""
    seconds: int | float = 0
    suite_hash: str = ""
    quarantined: dict[str, int] = {}
    # The batch that may be published for it.
    publish_batch_id: str = ""
    waiver: int | None = None
    # What is most probably wrong with a batch that is held: see `sluice.gates.verdict.Cause`.
    cause: dict[str, Any] | None = None
    empty: tuple[str, ...] = ()
    # Number of the ledger's last entry when it was begun.
    begun_after: int | None = None


class Verdict(Judgement, kind="verdict"):
    """A gate's verdict that publishes."""


class Held(Judgement, kind="held"):
    """A gate's verdict that does not publish."""


class PublishedDay(BaseModel):
    """The content of one day of a publication."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    rows: int


class Published(Record, kind="published"):
    """A batch became visible to readers."""

    batch_id: str
    split_of: str | None = None
    verdict_id: str = ""
    snapshot_id: int | None = None
    rows: int = 0
    received: int = 0
    dropped: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    # The entry of the waiver on which a HOLD was published.
    waiver: int | None = None
    waived_inputs: tuple[dict[str, Any], ...] = ()
    missing_history: tuple[dict[str, Any], ...] = ()
    # Predictions that were made after their time.
    made_late: bool = False
    partitions: dict[str, PublishedDay] = {}
    # Day -> the batch with other rows that it had before; how they differ (see `sluice.lake.diff`), and the page of that.
    replaced: dict[str, str] = {}
    diff: dict[str, Any] | None = None
    report: str = ""


class DayCompleted(Record, kind="day_completed"):
    """All sources of a run day have crossed."""

    first_day: str
    # Source -> the snapshot that shows it.
    snapshots: dict[str, int] = {}
    # Sources that lag behind the run day.
    stale: tuple[str, ...] = ()


class Waiver(Record, kind="waiver"):
    """A person lets a held batch be published."""

    by: str
    why: str
    # The last day that it is valid.
    until: str
    # Of the full batch that was audited.
    content_hash: str
    batch_id: str
    verdict_id: str = ""
    rules: tuple[str, ...] = ()
    # Of the UI, who asked for it.
    requested_by: str = ""
    # Of a command, user of the operating system and host.
    account: str = ""
    self_approved: bool = False


class ReleaseRejected(Record, kind="release_rejected"):
    """A person was asked for a release, and rejected it."""

    by: str
    why: str
    requested_by: str = ""


class Replayed(Record, kind="replayed"):
    """What was held was sent through its gate again."""

    repaired: int
    still_held: int
    expired: int
    reason: str
    # Of the hold: held, refused, quarantined.
    kind: str
    # Who asked for it: a user of Airflow or, of a command, of the operating system; "" where nobody is known.
    by: str = ""


class Expired(Record, kind="expired"):
    """What was held has been given up, because it is too old."""

    # Of the hold: held, refused, quarantined.
    kind: str = ""
    rows: int | None = None
    hold_days: int = 0
    # What it was made from, as in a manifest, or the files that were refused; none in earlier versions.
    inputs: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()


class Scheduled(Record, kind="scheduled"):
    """A live pipeline declares another schedule, zone, calendar or deadline than before."""

    schedule: str
    timezone: str
    expected: Expected
    # Source -> its deadline; and its calendar, where it has one of its own.
    deadlines: dict[str, str]
    calendars: dict[str, Expected]

    def stored(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include=self.model_fields_set)


class DeadlineMissed(Record, kind="deadline_missed"):
    """A delivery is overdue."""

    run_day: str = ""
    deadline: str = ""


class Rewritten(Record, kind="rewritten"):
    """A published partition is not what was published."""

    problem: str = ""
    # Hashes and rows: what the ledger has recorded, and what was found.
    recorded: str | None = None
    found: str | None = None
    recorded_rows: int | None = None
    found_rows: int | None = None
    diff: dict[str, Any] | None = None
    report: str = ""


class EndsWith(BaseModel):
    """What ends a fault; kept as text, such as `run features,outcomes`, which is part of the fault's identity."""

    model_config = ConfigDict(frozen=True)

    # published, run (published for the run's day), matches: tables; completed: the day's sources; succeeded: a task;
    # champion: a model; removed: entries of the landing zone, each by its digest; "": nothing. In earlier versions
    # `staged`: a table.
    how: str = ""
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, how: str, *names: str) -> Self:
        return cls(how=how, names=names)

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        how, _, names = given.partition(" ")
        return {"how": how, "names": names.split(",") if names else ()}

    @model_serializer
    def text(self) -> str:
        return f"{self.how} {','.join(self.names)}".rstrip()


class Mail(Record, kind="mail"):
    """A mail was sent, or could not be, or something that a mail is about was seen again or is over."""

    status: str = ""
    # Kind of the event, and identity of its fault: see `sluice.notify.events`.
    event: str = ""
    fault: str = ""
    table: str = ""
    dag_id: str = ""
    clear_number: int | None = None
    # Key of the incident that it belongs to.
    incident: str = Field("", alias="episode")
    # Of what was seen: its identity, what ends it, and the batch.
    occurrence_key: str = Field("", alias="seen_as")
    ends_with: EndsWith = EndsWith()
    batch_id: str = ""
    occurred_at: str = ""
    # What is over: its identity -> a `sluice.notify.resolution.Ending`; in earlier versions a sentence.
    ended: dict[str, Any] = {}
    # Of a message: its identity, that of the one it answers, who gets it, and who was refused by the server.
    message: str = ""
    answers: str = ""
    mail_subject: str = ""
    to: tuple[str, ...] = ()
    refused: dict[str, str] = {}
    # Of a message to a webhook: the Airflow connection that has its URL; such an entry belongs to no incident.
    webhook: str = ""
    # Of one that no server has taken: why, what its status will be, and its event as JSON.
    error: str = ""
    when_sent: str = ""
    content: str = ""
    # Of one that was sent after all: when it was tried first.
    first_tried: str = ""
    # Of a digest: number of the last entry that it tells of.
    upto: int | None = None


class Removals(Record):
    """Things that are no longer needed."""

    # Kind of thing -> how many, and their bytes.
    removed: dict[str, dict[str, int]] = {}
    batches: tuple[str, ...] = ()


class Maintaining(Removals, kind="maintaining"):
    """What the maintenance is about to remove."""


class Maintained(Removals, kind="maintained"):
    """What the maintenance has removed or checked."""

    # Of the chain: its length, and the hash of its last entry.
    entries: int | None = None
    head: str = ""
    # Of what is published.
    partitions: int | None = None
    missing: tuple[str, ...] = ()
    several_files: tuple[str, ...] = ()


class ClosedUpTo(Record, kind="settled"):
    """Up to where in the ledger nothing is open any more."""

    upto: dict[str, int]
