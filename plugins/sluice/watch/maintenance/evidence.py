"""Pages, mails and scratch folders that have outlived their use.

The rule kept here: evidence lives at least as long as what it is about. A page of a gate, or of a correction, stays while
its batch is there, however old; the decision itself stays in the ledger for ever. What stands alone (reports of monitoring,
mails, folders of failed attempts) goes by its age.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from sluice import ledger
from sluice.core import clock
from sluice.core.links import DAY, GATES
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline, broken_pipelines, load_all
from sluice.lake import connection, evidence
from sluice.lake.batches import full_id, id_in
from sluice.ledger import records
from sluice.watch.maintenance import record
from sluice.watch.maintenance.record import Removal

# Under `settings().work`: locks of mails, which are empty, and dbt's parsed projects, of which the newest is used.
_LOCKS, _PARSED = "mail", "dbt"


def clear_evidence(
    spec: Pipeline, run: Run, *, now: datetime | None = None, dry_run: bool = False
) -> list[Removal]:
    """Clear away pages, caught mails and scratch folders that are older than declared; returns them.

    Mails and scratch belong to no pipeline: they stay as long as the pipeline that keeps them longest declares, and
    all of them while the YAML of one cannot be used.

    Args: as of `clear_tables`, after which it should run: a page goes when its batch has gone.
    """
    at = now or clock.system_now()
    return record.carry_out(
        spec,
        "evidence",
        lambda: list(_found(spec, at)),
        lambda: _clear(_found(spec, at)),
        run,
        dry_run=dry_run,
    )


def _found(spec: Pipeline, now: datetime) -> Iterator[Removal]:
    yield from _reports(spec, now - timedelta(days=spec.retention.reports_days))
    if broken_pipelines():
        return
    longest = [pipeline.retention for pipeline in load_all()] or [spec.retention]
    yield from _mails(now - timedelta(days=max(one.mails_days for one in longest)))
    yield from _scratch(now - timedelta(days=max(one.scratch_days for one in longest)))


def _clear(removals: Iterable[Removal]) -> Iterator[Removal]:
    for removal in list(removals):
        if removal.kind == "reports":
            evidence.remove(removal.what)
            yield removal
            continue
        path = Path(removal.what)
        if path.is_dir():
            with suppress(FileNotFoundError):  # the maintenance of another pipeline was faster
                shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        yield removal


def _reports(spec: Pipeline, before: datetime) -> Iterator[Removal]:
    """Files in folders that are named after a day: pages that stand for the pipeline as a whole are none of them."""
    named = _named_by_alarms(spec)
    there: dict[str, set[str]] = {}
    for file in evidence.files(spec.pipeline, below=True):
        parts = file.name.split("/")[1:]
        if len(parts) < 3 or not any(DAY.fullmatch(part) for part in parts[1:-1]):
            continue
        if file.modified >= before or file.name.removesuffix(".json").removesuffix(".html") in named:
            continue
        table = parts[1] if parts[0] == GATES else PurePosixPath(file.name).stem.rpartition("_")[0]
        batch_id = id_in(parts[-1])
        if batch_id and table not in there:
            there[table] = {
                full_id(name)
                for name in connection.folders(connection.location(spec.pipeline, table, "data"))
            }
        if not batch_id or full_id(batch_id) not in there[table]:
            yield Removal("reports", file.name, file.size)


def _named_by_alarms(spec: Pipeline) -> set[str]:
    """Names, without their ending, of the pages of alarms: they are about what readers see, and there are few."""
    return {
        entry.record.report.removesuffix(".html")
        for entry in ledger.entries(records.Rewritten, pipeline=spec.pipeline)
        if entry.record.report
    }


def _mails(before: datetime) -> Iterator[Removal]:
    """What the local sink has caught, and what it had not written to its end when it was killed."""
    for pattern in ("*.eml", ".*.part"):
        for path in sorted(settings().mail.glob(pattern)):
            if _modified(path) < before:
                yield Removal("mails", str(path), _size(path))


def _scratch(before: datetime) -> Iterator[Removal]:
    work = settings().work
    if not work.is_dir():
        return
    for path in sorted(work.iterdir()):
        if path.name in (_LOCKS, _PARSED):
            continue
        yield from _old(path, before)
    parsed = sorted((path for path in (work / _PARSED).glob("*")), key=_modified)
    for path in parsed[:-1]:
        yield from _old(path, before)


def _old(path: Path, before: datetime) -> Iterator[Removal]:
    """A file, or a folder in which nothing was written since."""
    # Not by `rglob`, which fails where a task removes a folder of its own meanwhile.
    walk = os.walk(path)
    inside = [path, *(Path(folder, name) for folder, folders, files in walk for name in (*folders, *files))]
    if max(_modified(one) for one in inside) < before:
        yield Removal("scratch", str(path), sum(_size(one) for one in inside if one.is_file()))


def _modified(path: Path) -> datetime:
    """Of the path itself; now, where it has just gone."""
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return clock.system_now()


def _size(path: Path) -> int:
    """In bytes; 0 where it has just gone."""
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0
