"""What the maintenance removes, as data: planned, then done, then recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sluice import ledger
from sluice.core import failpoints, locks
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline
from sluice.ledger import records

# Failpoint -> what has happened when it is reached: those of the maintenance, tried by tests/watch/maintenance.
POINTS = {
    "maintenance.planned": "the ledger knows what will go, and all of it is still there",
    "maintenance.snapshots_expired": "the snapshots of a table are forgotten, and their files are there",
    "maintenance.condemning": "the manifest of a batch is set aside, and is still in its place",
    "maintenance.condemned": "a batch does not exist any more, and its files are there",
    "maintenance.file_removed": "one file of a batch is deleted, and the others are not",
    "maintenance.removed": "one thing of many is gone",
    "maintenance.done": "all is gone, and the ledger does not know",
}
failpoints.POINTS.update(POINTS)

# Things that `lines` names one by one.
_NAMED = 5


@dataclass(frozen=True)
class Removal:
    """One thing that is no longer needed."""

    # snapshots, metadata_files, condemned_batches, batches, half_written_batches, part_files, restored_batches,
    # scratch, reports, mails.
    kind: str
    # A path; of evidence its name; or the id of a batch or of a snapshot, of `table`.
    what: str
    # Bytes on disk that go with it.
    size: int
    # "" of a path.
    table: str = ""

    @property
    def name(self) -> str:
        """For people and for the ledger."""
        return f"{self.table} {self.what}".lstrip()


def carry_out(
    spec: Pipeline,
    subject: str,
    plan: Callable[[], Sequence[Removal]],
    do: Callable[[], Iterable[Removal]],
    run: Run,
    *,
    dry_run: bool,
) -> list[Removal]:
    """Record what will go, let it go, record what went.

    Args:
        subject: what the ledger calls this part of the maintenance.
        do: yields each removal when it is done; it looks again at what there is.
        dry_run: only plan, and record nothing.
    """
    planned = list(plan())
    if dry_run:
        return planned
    about: dict[str, Any] = {"pipeline": spec.pipeline, "subject": subject, "run": run.run_id}
    if planned:
        ledger.append(records.Maintaining(**as_record(planned)), **about)
    failpoints.hit("maintenance.planned")
    done = []
    with locks.alone(_lock(), shared=True):
        for removal in do() if planned else ():
            done.append(removal)
            failpoints.hit("maintenance.removed")
    failpoints.hit("maintenance.done")
    ledger.append(records.Maintained(**as_record(done)), **about)
    return done


def keep_all() -> AbstractContextManager[bool]:
    """Let no process of this machine remove anything meanwhile; waits for those that do."""
    return locks.alone(_lock())


def _lock() -> Path:
    """Of what is removed from the home: shared by those who remove, alone for who needs all of it."""
    return settings().home / "run" / "maintenance.lock"


def as_record(removals: Sequence[Removal]) -> dict[str, Any]:
    """For the ledger: how many and how many bytes of each kind, and the name of every batch."""
    counts = {kind: {"count": count, "bytes": size} for kind, count, size in _counted(removals)}
    named = sorted({one.name for one in removals if one.kind.endswith("batches")})
    said = ", ".join(f"{one['count']} {kind}" for kind, one in counts.items()) or "nothing had to go"
    return {"removed": counts, "batches": named, "reasons": [said]}


def lines(removals: Sequence[Removal]) -> Iterator[str]:
    """For a task's log or a terminal: a line a kind, and the first of each by name."""
    for kind, count, size in _counted(removals):
        names = [one.name for one in removals if one.kind == kind]
        more = f" and {count - _NAMED} more" if count > _NAMED else ""
        yield f"{kind.replace('_', ' ')}: {count}, {size:,} bytes ({', '.join(names[:_NAMED])}{more})"


def _counted(removals: Sequence[Removal]) -> list[tuple[str, int, int]]:
    kinds = dict.fromkeys(one.kind for one in removals)
    return [
        (
            kind,
            sum(one.kind == kind for one in removals),
            sum(one.size for one in removals if one.kind == kind),
        )
        for kind in kinds
    ]
