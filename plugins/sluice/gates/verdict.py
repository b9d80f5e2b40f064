"""What a gate says about a batch, as data: the ledger, the mail and the page are all made from it.

A verdict is JSON all through, so that it can be kept beside its page and read back years later without the libraries
that made it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["PASS", "WARN", "HOLD", "ERROR"]
Severity = Literal["hold", "warn"]

# Failing rows kept as evidence in one verdict.
SAMPLE_ROWS = 20


class RuleResult(BaseModel):
    """One rule of the suite, evaluated.

    `broken` means that the rule itself could not be evaluated; `passed` is then False. `failing_rows` and
    `failing_share` (0 to 1, of the batch's rows) are None where the rule is not about single rows.
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
    observed: str
    failing_rows: int | None = None
    failing_share: float | None = None


class Verdict(BaseModel):
    """The decision about one batch, with its evidence.

    `sample` has at most 20 failing rows, each `{"rule": name, "row": {column: JSON value}}`. `report` is the page's
    path relative to `settings().reports`. `suite_hash` is the sha256 of the suite file that was applied, "" if it
    could not be read.
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
    sample: tuple[dict[str, Any], ...]
    reasons: tuple[str, ...]
    report: str
    evaluated_at: datetime
    seconds: float
    suite_hash: str = ""

    @property
    def publishes(self) -> bool:
        """Whether the batch may become visible."""
        return self.outcome in ("PASS", "WARN")

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """The rules that did not pass, holding ones first."""
        return tuple(sorted((r for r in self.rules if not r.passed), key=lambda r: r.severity))
