"""What a gate says about a batch, as data: the ledger, the mail and the page are all made from it.

A verdict is JSON all through, so that it can be kept beside its page and read back years later without the libraries
that made it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from sluice.core.partitions import Partition
from sluice.core.printable import printable

Outcome = Literal["PASS", "WARN", "HOLD", "ERROR"]
# What a failure does: holds the whole batch, sets the failing rows aside, or is only told.
Severity = Literal["hold", "quarantine", "warn"]
# Whether rows that a rule does not judge count as failing.
Unjudged = Literal["fail", "pass"]
# What may quote values of the batch.
Text = Annotated[str, AfterValidator(printable)]

# Corruptions that a held batch may have, as `gates.causes` knows them.
CauseKind = Literal[
    "stale file",
    "another day's rows",
    "another source's rows",
    "duplicate rows",
    "missing rows",
    "wrong dates",
    "another time zone",
    "other codes",
    "cut text",
    "another encoding",
    "rows mixed up",
    "swapped columns",
    "shifted columns",
    "missing values",
    "constant values",
    "rounded values",
    "another unit",
    "wrong sign",
    "constant offset",
    "not clear",
]
NOT_CLEAR: CauseKind = "not clear"

# Failing rows kept as evidence in one verdict.
SAMPLE_ROWS = 20


class RuleResult(BaseModel):
    """One rule of the suite, evaluated.

    `broken` means that the rule itself could not be evaluated; `passed` is then False. `failing_rows` and
    `failing_share` (0 to 1, of the batch's rows) are None where the rule is not about single rows. Of a `quarantine`
    rule, `worst_share` is the largest share of a day's rows that fails it, so that a bad day is not diluted by good
    ones; above the rule's `limit` the batch is held. `unjudged_rows` are those that the rule has left out, because a value
    is missing; they are among the failing ones where they count as such, which `unjudged` may declare. None where that is
    not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: str
    kind: str
    columns: tuple[str, ...]
    severity: Severity
    owner: str
    why: str
    passed: bool
    broken: bool
    observed: Text
    failing_rows: int | None = None
    failing_share: float | None = None
    limit: float | None = None
    worst_share: float | None = None
    unjudged: Unjudged | None = None
    unjudged_rows: int | None = None

    @property
    def holds(self) -> bool:
        """Whether this result keeps the whole batch back."""
        if self.passed or self.severity == "warn":
            return False
        return self.severity == "hold" or self.broken or (self.worst_share or 0.0) > (self.limit or 0.0)


class FailingRow(BaseModel):
    """One row that failed, as column to JSON value, and the rules that it fails.

    Of a rule about a day, or another group of rows, it is what the rule found.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[str, ...]
    row: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _of_one_rule(cls, data: Any) -> Any:
        """Read what was written when a row was kept once for each rule."""
        return {"rules": (data["rule"],), "row": data["row"]} if "rule" in data else data


class Cause(BaseModel):
    """The most probable cause of a held batch, as a sentence that asks; it and its evidence show no value of a row.

    `evidence` is what else speaks for it; of a cause that is not clear, what speaks for one or another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: CauseKind
    sentence: Text
    evidence: tuple[Text, ...] = ()

    @property
    def is_clear(self) -> bool:
        return self.kind != NOT_CLEAR


class Verdict(BaseModel):
    """The decision about one batch, with its evidence.

    `sample` has at most 20 failing rows, each of them once. `report` is the page's path under the evidence. `suite_hash` is the sha256 of the suite file that was applied, "" if it
    could not be read. `batch_id` is the full batch's, which was judged; `publish_batch_id` is the batch that may be
    published for it: another one where rows were set aside (`quarantined`: rule -> rows, each row once, under the first
    rule that it fails). `waiver` is the ledger's number of the waiver by which a HOLD may be published all the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict_id: str
    outcome: Outcome
    pipeline: str
    table: str
    partitions: tuple[str, ...]
    batch_id: str
    rows: int
    rules: tuple[RuleResult, ...]
    sample: tuple[FailingRow, ...]
    reasons: tuple[Text, ...]
    report: str
    evaluated_at: datetime
    seconds: float
    suite_hash: str = ""
    quarantined: dict[str, int] = {}
    publish_batch_id: str = ""
    waiver: int | None = None
    # Of a source's batch that a rule holds.
    cause: Cause | None = None
    # Days that have no rows, and may be published so if the batch may be published.
    empty: tuple[str, ...] = ()

    @property
    def days(self) -> Partition:
        """The days that were judged, as one partition."""
        return Partition.of(self.partitions)

    @property
    def publishes(self) -> bool:
        """Whether the batch may become visible."""
        return self.outcome in ("PASS", "WARN")

    @property
    def sentence(self) -> str:
        """The outcome with its reasons, which are sentences."""
        return f"{self.outcome}: {' '.join(self.reasons)}" if self.reasons else f"{self.outcome}."

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """The rules that did not pass, holding ones first."""
        return tuple(sorted((r for r in self.rules if not r.passed), key=lambda r: (not r.holds, r.severity)))
