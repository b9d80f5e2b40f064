"""What the maintenance makes sure of before it clears anything away, and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sluice import holds, ledger
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.lake import cleanup as lake
from sluice.lake import rewrites
from sluice.lake.rewrites import Rewrite
from sluice.ledger import records, schema
from sluice.notify import faults


@dataclass(frozen=True)
class Published:
    """What became of looking for the file of every published partition."""

    partitions: int
    # Those whose file is gone; and what was seen to be wrong with the days beside them.
    rewritten: tuple[Rewrite, ...]
    # Days, as `<table> <day>`, to which another writer has added files. The watcher tells of those.
    several: tuple[str, ...]


def check_chain(spec: Pipeline, run: Run) -> tuple[int, str]:
    """Check the whole chain of the ledger; returns how long it is and the hash of its last entry.

    Noted elsewhere (it is in the task's log), the hash also shows whether somebody has rewritten the whole chain.
    Besides, it is noted up to where nothing is open any more, and a ledger of an earlier version gets the indexes that
    it lacks.

    Raises:
        LedgerTamperedError: names the first entry that was edited, removed or put in.
    """
    entries = ledger.verify()
    # Of the very entry that was checked last: others may have been added since.
    head = ledger.entries(after=entries - 1)[-1].hash if entries else ""
    schema.complete()
    still_open = {"holds": holds.open_from(spec), "mails": faults.open_from(spec.pipeline)}
    ledger.mark_closed(spec.pipeline, entries, still_open)
    said = {"entries": entries, "head": head, "reasons": [f"{entries} entries, chain intact"]}
    ledger.append(records.Maintained(**said), pipeline=spec.pipeline, subject="ledger", run=run.run_id)
    return entries, head


def check_published(spec: Pipeline, run: Run) -> Published:
    """Look for the file of every published partition, however old; the watcher compares contents, of the newest ones.

    One that is missing is recorded as `rewritten`, with its page, as the watcher does.
    """
    rewritten: dict[tuple[str, str], Rewrite] = {}
    missing: list[str] = []
    several: list[str] = []
    partitions = 0
    for table in spec.tables:
        stored = lake.inventory(spec.pipeline, table, keep=1, before=datetime.min.replace(tzinfo=UTC))
        partitions += stored.partitions
        several += [f"{table} {day}" for day in stored.several]
        for day in stored.missing:
            found = {(table, one.day): one for one in rewrites.check(spec, 1, until=day, tables=[table])}
            rewritten |= found
            missing += [f"{table} {day}"] if (table, day) in found else []
    said = f"{partitions} published partitions, {len(missing)} without their file"
    ledger.append(
        records.Maintained(partitions=partitions, missing=missing, several_files=several, reasons=[said]),
        pipeline=spec.pipeline,
        subject="published",
        run=run.run_id,
    )
    return Published(partitions, tuple(rewritten.values()), tuple(several))
