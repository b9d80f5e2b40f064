"""What a mail is about, as data: everything that the reader needs, gathered where it happened.

An event never carries a secret or more than five failing rows: passwords inside URLs are struck out, and rows beyond
the fifth are dropped rather than refused, because an event is made while something else is already failing.
Columns with personal data must be left out by whoever makes the event, as only the pipeline's spec knows them.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from sluice.core.printable import printable_all, printable_lines
from sluice.ledger.records import EndsWith

# One template of this name each, under `templates/`.
Kind = Literal[
    "held_batch",
    "broken_gate",
    "failed_task",
    "failed_run",
    "missing_delivery",
    "unexpected_file",
    "stuck_day",
    "history_rewritten",
    "ledger_broken",
    "broken_declaration",
    "waiver_expired",
    "refused_model",
    "damaged_model",
    "stuck_model",
    "approval_requested",
    "rollback_requested",
    "rolled_back",
    "resolved",
    "digest",
    "fitness",
]

# Failing rows shown in one mail.
SAMPLE_ROWS = 5
# An exception's text can be a whole log: the mail shows its beginning, the UI the rest.
SUMMARY_CHARS = 2000

_URL_PASSWORD = re.compile(r"(://)[^/\s@]*:[^\s@]*@")


def _without_passwords(text: str) -> str:
    return _URL_PASSWORD.sub(r"\1***@", text)


def _summary(text: str) -> str:
    text = _without_passwords(text).strip()
    return text if len(text) <= SUMMARY_CHARS else text[:SUMMARY_CHARS] + " […]"


Text = Annotated[str, AfterValidator(_without_passwords)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _printable(cls, given: Any) -> Any:
        """Nothing in an event can forge a line, a header or a colour of the mail, whoever delivered it."""
        if not isinstance(given, dict):
            return given
        # Sentences of ours, a line each; what they quote has been made printable in the error or verdict.
        summary = {name: printable_lines(given[name]) for name in ("summary",) if name in given}
        return {
            **printable_all({name: each for name, each in given.items() if name not in summary}),
            **summary,
        }


class FailedRule(_Frozen):
    """A rule that did not pass. `failing_rows` is None where the rule is not about single rows."""

    rule: str
    severity: str
    owner: str
    why: str
    observed: Text
    columns: tuple[str, ...] = ()
    failing_rows: int | None = None
    # Whether it keeps the batch back; where it does not, it warns or sets rows aside.
    holds: bool = True


class FailingRow(_Frozen):
    """One row that broke `rules`, as column to JSON value."""

    rules: tuple[str, ...]
    row: dict[str, Any]


class Item(_Frozen):
    """One line of a section: `lead` is what it is about, `note` is said in a smaller voice."""

    lead: Text
    text: Text
    note: Text = ""


class Section(_Frozen):
    """A titled list, for what only some kinds of mail have."""

    title: str
    items: tuple[Item, ...] = Field(min_length=1)


class Event(_Frozen):
    """Something that somebody must know about.

    `subject` is the table, the task or the model that it is about; `partition` is a day, a range of days, or None where
    the work has none; `run_day` is the partition key of the run, where that is another day.

    Events with the same kind, pipeline, subject and `cause` are one fault. `occurrence` tells one from another within a
    partition, such as the content that was held. A fault of which `ends_with` names nothing never ends, it is only told once.

    `rows` counts the rows that were not published, None where there was no batch yet; `rules_total` counts the rules
    that were evaluated, failed or not.
    """

    kind: Kind
    pipeline: str
    subject: str
    partition: str | None
    run_day: str | None = None
    # The run of Airflow that it was seen in; "" where that is no run's fault.
    dag_id: str = ""
    run_id: str = ""
    # How often that run had been cleared before.
    clear_number: int = 0
    task: str = ""
    # The table that it is about, where the subject is not the table itself.
    table: str = ""
    cause: str = Field(min_length=1)
    occurrence: str = ""
    ends_with: EndsWith = EndsWith()
    batch_id: str = ""
    owner: str
    # Whether the stakeholders are told as well as the operators; the daily mail is theirs alone.
    for_stakeholders: bool = False
    # What it means for those who read the data, in whole sentences: the mail opens with it.
    effect: Text = ""
    # What is most probably wrong with a held batch, in a word or two ("" where that is not clear) and as a sentence.
    probable_kind: str = ""
    probable_cause: Text = ""
    # What happened, in whole sentences.
    summary: Annotated[str, AfterValidator(_summary)]
    rows: int | None = None
    rules: tuple[FailedRule, ...] = ()
    rules_total: int | None = None
    sample: Annotated[tuple[FailingRow, ...], BeforeValidator(lambda rows: tuple(rows)[:SAMPLE_ROWS])] = ()
    sections: tuple[Section, ...] = ()
    # Of a RESOLVED: the kind of `notify.resolution.Ending`, where all that is over ended alike; and its subject line, which a mail to
    # stakeholders has too.
    ended_by: str = ""
    subject_line: Text = ""
    # Further facts about it, as label to value.
    facts: dict[str, Text] = {}
    # Tables that readers still see without this partition: the batch's own, and those that wait for it.
    not_published: tuple[str, ...] = ()
    next_steps: tuple[Text, ...] = Field(min_length=1)
    # What to type, as command to what it does.
    commands: dict[Text, str] = {}
    # Label to URL; the first is the mail's button.
    links: dict[str, Annotated[str, Field(pattern=r"^https?://")]] = Field(min_length=1)
    occurred_at: AwareDatetime

    @property
    def fault(self) -> str:
        """Identity of the fault (32 hex digits)."""
        return fault_of(self.kind, self.pipeline, self.subject, self.cause)

    @property
    def occurrence_key(self) -> str:
        """Identity of this occurrence of the fault: a repetition has the same (32 hex digits)."""
        return _digest(self.fault, self.partition, self.ends_with.text(), self.occurrence)

    @property
    def key(self) -> str:
        """Identity of the first mail about this occurrence (32 hex digits)."""
        return self.incident_key(0)

    def incident_key(self, number: int) -> str:
        """Identity of the mail that opens the fault for the `number`-th time, counted from 0 (32 hex digits)."""
        return _digest(self.occurrence_key, number)


def fault_of(kind: str, pipeline: str, subject: str, cause: str) -> str:
    """Identity of a fault (32 hex digits)."""
    return _digest(kind, pipeline, subject, cause)


def _digest(*identity: object) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
