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

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

# One template of this name each, under `templates/`.
Kind = Literal["held_batch", "broken_gate", "failed_task", "refused_model"]

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


class FailedRule(_Frozen):
    """A rule that did not pass. `failing_rows` is None where the rule is not about single rows."""

    rule: str
    severity: str
    owner: str
    why: str
    observed: Text
    columns: tuple[str, ...] = ()
    failing_rows: int | None = None


class FailingRow(_Frozen):
    """One row that broke `rule`, as column to JSON value."""

    rule: str
    row: dict[str, Any]


class Event(_Frozen):
    """Something that somebody must know about.

    `subject` is the table (held_batch, broken_gate), the task (failed_task) or the model (refused_model); `partition`
    is a day, a range of days, or None where the work has none. `cause` makes two events the same: a mail is sent once for each kind, pipeline,
    subject, partition and cause. `rows` counts the rows that were not published, None where there was no batch yet;
    `rules_total` counts the rules that were evaluated, failed or not.
    """

    kind: Kind
    pipeline: str
    subject: str
    partition: str | None
    cause: str = Field(min_length=1)
    owner: str
    # What happened, in whole sentences.
    summary: Annotated[str, AfterValidator(_summary)]
    rows: int | None = None
    rules: tuple[FailedRule, ...] = ()
    rules_total: int | None = None
    sample: Annotated[tuple[FailingRow, ...], BeforeValidator(lambda rows: tuple(rows)[:SAMPLE_ROWS])] = ()
    # Tables that readers still see without this partition: the batch's own, and those that wait for it.
    not_published: tuple[str, ...] = ()
    next_steps: tuple[Text, ...] = Field(min_length=1)
    # Label to URL; the first is the mail's button.
    links: dict[str, Annotated[str, Field(pattern=r"^https?://")]] = Field(min_length=1)
    occurred_at: AwareDatetime

    @property
    def key(self) -> str:
        """Identity of the mail: equal for two events that are about the same thing (32 hex digits)."""
        identity = [self.kind, self.pipeline, self.subject, self.partition, self.cause]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]
