"""What a batch was made from, as its manifest records it: one model a kind of input.

The rule kept here: what an older manifest does not record is None, and None is never compared. A manifest keeps its inputs
as plain JSON, with whatever else is worth showing to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from sluice.lake.batches import Manifest


class _Input(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    def record(self) -> dict[str, Any]:
        """Return it as a manifest keeps it."""
        return self.model_dump(mode="json")


class Delivery(_Input):
    """A delivered file, and how it was read."""

    kind: Literal["delivery"] = "delivery"
    # The day of its data.
    day: str
    # 1 for a first delivery, higher for a correction.
    number: int | None = None
    sha256: str
    contract_version: int | None = None
    read_as_version: int | None = None
    # Hash of the declaration and the mapping that were used.
    contract: str | None = None
    pseudonym_key: str | None = None

    @property
    def reading(self) -> tuple[Any, ...]:
        """What makes it the same rows: a file that is delivered again, or read in the same way again, is the same input."""
        return self.day, self.sha256, self.contract_version, self.read_as_version, self.contract

    def agrees_with(self, other: Delivery) -> bool:
        """Whether both are the same file, read in the same way, as far as both say."""
        pairs = zip(self.reading, other.reading, strict=True)
        return all(mine == their for mine, their in pairs if None not in (mine, their))


class Snapshot(_Input):
    """The days `first` to `last` of a published table, as of one of its snapshots."""

    kind: Literal["snapshot"] = "snapshot"
    table: str
    # None where nothing was ever published.
    snapshot_id: int | None
    first: str | None = None
    last: str | None = None
    # Day -> the batch that was read; says which rows they were when the snapshot has been expired.
    batches: dict[str, str] | None = None


class Batch(_Input):
    """The batch whose set-aside rows were brought into its quarantine table."""

    kind: Literal["batch"] = "batch"
    table: str
    batch_id: str


class Freshness(_Input):
    """How far a daily source was behind the day that was built from it."""

    kind: Literal["freshness"] = "freshness"
    table: str
    # The newest day that its calendar has, and the newest that was published; None where none was.
    expected: str
    newest: str | None
    # Days from the one to the other; 0 where it is fresh.
    age_days: int


class Model(_Input):
    """The model that scored; no version where the baseline did, or nobody."""

    kind: Literal["model"] = "model"
    name: str
    version: int | None
    # Number in the ledger of the entry that decided who is champion (it or, where it stands in, another); 0 before the first.
    # Of predictions that were made late, who was champion at their time.
    promoted: int | None = None
    # The step of the ladder (`model.fallback`): champion, previous, baseline, or abstain, where nobody scored; "" in an earlier version.
    scored_as: str = ""

    @property
    def abstained(self) -> bool:
        return self.scored_as == "abstain"

    @property
    def named(self) -> str:
        """Who scored, in words."""
        if self.abstained:
            return "nobody"
        return "the baseline" if self.version is None else f"version {self.version}"


class Clock(_Input):
    """When predictions were made, by the pipeline's clock."""

    kind: Literal["clock"] = "clock"
    # The pipeline's day then.
    today: str
    # The day that they are of, and the end of the time in which they had to be made; None in an earlier version.
    day: str | None = None
    deadline: datetime | None = None
    # Whether they were made after it.
    made_late: bool | None = None


class CodeChange(BaseModel):
    """What today's code, the dbt models or what scores, makes of a day that others made and that readers see, from the same inputs."""

    model_config = ConfigDict(frozen=True)

    day: str
    # Rows of either side, those of one key counted once.
    rows: int = 0
    # What `sluice.lake.diff` found; empty where the day could not be built again, and why.
    diff: dict[str, Any] = {}
    problem: str = ""
    # Whether that was for what it was made of, which is gone, and not for the models.
    inputs_gone: bool = False

    @property
    def share(self) -> float:
        """Share of the rows that differ, 0 to 1."""
        return sum(self.diff.get(name, 0) for name in ("added", "removed", "changed")) / max(self.rows, 1)


class Code(_Input):
    """The code that made a derived batch or predictions, and what it changes where the last publication was made by another."""

    kind: Literal["code"] = "code"
    fingerprint: str
    change: CodeChange | None = None


def age_days(manifest: Manifest) -> int:
    """Days that the oldest source behind a batch was behind when the batch was built."""
    return max((one.age_days for one in of(manifest, Freshness)), default=0)


def scored_by(manifest: Manifest) -> tuple[str, int | None] | None:
    """Name and version of the model that made a batch of predictions, None for the baseline's version; None of any other batch."""
    return next(((one.name, one.version) for one in of(manifest, Model)), None)


def made_late(manifest: Manifest) -> bool:
    """Whether a batch is of predictions that were made after their time; False where that is not recorded."""
    return any(made.made_late for made in of(manifest, Clock))


def abstained(recorded: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a batch with these inputs has no predictions because nobody could score: it is published, and readers see none of it."""
    return any(model.abstained for model in read(recorded, Model))


Kind = TypeVar("Kind", bound=_Input)

# Of a delivery: what is told as a warning, in words (`sluice.lake.notes`).
_WARNED_OF = ("extra_columns", "undeclared_nulls")


def facts(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What is worth showing to a person of an input, as its manifest records it."""
    shown: dict[str, Any] = {}
    for name, value in recorded.items():
        if name == "batches" and value:
            # The snapshot may have been expired: the batch says which rows they were.
            shown |= {"batch": next(iter(value.values()))} if len(value) == 1 else {"partitions": len(value)}
        elif name == "version" and value is None and recorded.get("kind") == "model":
            shown[name] = "none" if recorded.get("scored_as") == "abstain" else "none, the baseline"
        elif name == "promoted" and not value:
            continue  # nobody has decided yet
        elif name == "change":
            continue  # the gate says what it changes
        elif value is not None and name not in (*_WARNED_OF, "batches"):
            shown[name] = value
    return shown


def of(manifest: Manifest, kind: type[Kind]) -> list[Kind]:
    """Return the inputs of one kind."""
    return read(manifest.inputs, kind)


def snapshot_of(manifest: Manifest, table: str) -> Snapshot | None:
    """What a batch read of another table; None where it does not say."""
    return next((one for one in of(manifest, Snapshot) if one.table == table), None)


def read(recorded: Iterable[Mapping[str, Any]], kind: type[Kind]) -> list[Kind]:
    """Return the inputs of one kind among those that a manifest, or the ledger, has recorded."""
    name = kind.model_fields["kind"].default
    return [kind.model_validate(each) for each in recorded if each.get("kind") == name]


def identity(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the deliveries and tables that a batch was made from, with what tells them from others and nothing else."""
    found: list[Delivery | Snapshot] = [*of(manifest, Delivery), *of(manifest, Snapshot)]
    return [one.model_dump(mode="json", include=set(type(one).model_fields)) for one in found]
