"""What ended an incident, and when: found in the ledger and the manifests, kept as data, told in sentences only at the end.

The rule kept here: an incident ended with the first entry of the ledger after it that ends its kind, on the day that it is
about. What happened to the same day later ended another incident, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from sluice import ledger, waivers
from sluice.errors import BatchUnknownError
from sluice.lake import batches
from sluice.lake.batches import full_id
from sluice.ledger import Entry
from sluice.partitions import covers, days_of
from sluice.spec import Pipeline

Kind = Literal[
    "released",  # the held batch itself was published on a waiver
    "replaced",  # another batch was published in its place, on a waiver
    "corrected_delivery",
    "corrected_rule",
    "corrected_reading",  # the contract or its mapping: the same file was read as other rows
    "rebuilt",
    "delivered",
    "staged",
    "published",
    "stated",  # by whoever closed it, in its own words: a task that succeeded, a hold that has expired
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
    # Of what was published on a waiver: who answers for it, until when and why.
    by: str = ""
    signed: str = ""
    until: str = ""
    why: str = ""
    # Of `stated`.
    text: str = ""

    @property
    def on_waiver(self) -> bool:
        return self.kind in ("released", "replaced")

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
            "delivered": f"The delivery came: {self._files}.",
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


def find(spec: Pipeline, table: str, seen: Entry) -> Ending:
    """What ended one occurrence of a fault of a table, as the ledger and the manifests tell it.

    Args:
        seen: the entry of kind `mail` that saw it last.
    """
    days = days_of(seen.partition or "")
    read_only = seen.data["ends_with"] == f"staged {table}" or seen.data["event"] == "missing_delivery"
    ended = _first_after(spec, table, days, seen.seq, "staged" if read_only else "published")
    if ended is None and read_only:
        ended, read_only = _first_after(spec, table, days, seen.seq, "published"), False
    if ended is None:
        return stated("It is over.")
    batch_id = full_id(ended.data["batch_id"])
    about = {"at": ended.at, "entry": ended.seq, "files": _files(spec, table, batch_id)}
    if seen.data["event"] == "missing_delivery":
        return Ending(kind="delivered", **about)
    if read_only:
        return Ending(kind="staged", **about)
    held = seen.data["batch_id"]
    if waiver := _waiver(spec, ended):
        word = {"by": waiver.by, "signed": waiver.signed, "until": waiver.until, "why": waiver.why}
        return Ending(kind="released" if held == batch_id else "replaced", **about, **word)
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


def _first_after(spec: Pipeline, table: str, days: Sequence[str], seq: int, kind: str) -> Entry | None:
    """The entry with which the last of the days got its first entry of a kind after `seq`; None if one has none."""
    found = ledger.entries(
        kind=kind, pipeline=spec.pipeline, subject=table, after=seq, days=(days[0], days[-1])
    )
    oldest_first = list(reversed(found))
    firsts = [next((one for one in oldest_first if covers(one.partition or "", day)), None) for day in days]
    there = [one for one in firsts if one is not None]
    return max(there, key=lambda one: one.seq) if len(there) == len(days) else None


def _waiver(spec: Pipeline, published: Entry) -> waivers.Waiver | None:
    """The waiver that a publication names, if it was made on one."""
    number = published.data.get("waiver")
    granted = ledger.entries(kind="waiver", pipeline=spec.pipeline, subject=published.subject)
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
