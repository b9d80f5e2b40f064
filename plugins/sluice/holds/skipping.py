"""Skip: a person gives up a day, so that nothing waits for it any more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sluice import ledger, waivers
from sluice.core.errors import SkipRefusedError
from sluice.core.partitions import Partition, date_of, day_of
from sluice.core.runs import Run
from sluice.declare import pipeline_clock
from sluice.declare.spec import Pipeline
from sluice.holds import stopped
from sluice.lake import tables
from sluice.ledger import Entry, records


def skip(
    spec: Pipeline, run_day: str, names: Sequence[str] = (), *, by: str, why: str, run: Run
) -> list[Entry]:
    """Record that a person gives up what is not published of a run day (YYYY-MM-DD), corrections that are held included.

    What has come, or comes later, is not lost: it can be ingested by hand, and is published then.

    Args:
        names: tables, and with them those whose rows come from one of them; all of the pipeline, if none is given.

    Returns: the entries, one a table.
    Raises:
        SkipRefusedError: no name or reason, a day on which nothing is expected yet or ever was and of which no mail told, or
            everything that was asked for is published.
        DeliveryMissingError: the clock is the feed's, and the feed has not delivered anything yet.
        SourceUnknownError: the pipeline has no such table.
    """
    where = f"{spec.pipeline} {run_day}"
    require_reason(where, by=by, why=why)
    first, today = spec.starts or date.min, pipeline_clock.today(spec)
    if not (first <= date_of(run_day) or _was_mailed(spec, run_day)) or run_day > day_of(today):
        since = f"{spec.starts} to " if spec.starts else "up to "
        raise SkipRefusedError(
            f"Nothing is expected of {spec.pipeline} for {run_day}, so that there is nothing to give up.",
            where=where,
            allowed=f"a run day {since}{today}",
            todo="check the day; days on which nothing will come are declared under `expected` in the pipeline's YAML",
        )
    days = {spec.require_table(name): spec.data_day(name, run_day) for name in names or spec.tables}
    held = stopped.read(spec)
    lost = {name: day for name, day in days.items() if not tables.published(spec.pipeline, name, day, day)}
    left = {name: day for name, day in days.items() if name in lost or (name, day) in held}
    if not left:
        raise SkipRefusedError(
            f"All of {', '.join(days)} is published for the run day {run_day}, and nothing of it is held: there is nothing to give up.",
            where=where,
            allowed="a run day: "
            + ", ".join(
                f"the {name} of {run_day} belong to the run of {spec.run_day(name, run_day)}" for name in days
            ),
            todo=f"look at `sluice status {spec.pipeline}`",
        )
    origins = {}
    for name, derived in spec.derived.items():
        # Where only a correction is given up, readers see its rows, and what was made of them.
        day = lost.get(derived.rows_from or "")
        if day and day == spec.data_day(name, run_day) and name not in left:
            left[name], origins[name] = day, derived.rows_from
    return [
        ledger.append(
            records.Skipped(
                by=by, why=why, account=waivers.account(), run_day=run_day, rows_from=origins.get(name)
            ),
            pipeline=spec.pipeline,
            subject=name,
            partition=day,
            run=run.run_id,
        )
        for name, day in left.items()
    ]


def require_reason(where: str, *, by: str, why: str) -> None:
    """Make sure that who gives something up says who it is, and why.

    Raises:
        SkipRefusedError: one of the two is missing.
    """
    if not by.strip() or not why.strip():
        raise SkipRefusedError(
            "Something is given up only with a name and a reason.",
            where=where,
            allowed="who gives it up, and why, in a sentence",
            todo="say both",
        )


def _was_mailed(spec: Pipeline, run_day: str) -> bool:
    """Whether a mail told of a run day or the days of its data, while the pipeline began earlier: skipping ends what it told of."""
    days = {spec.data_day(name, run_day) for name in spec.tables}
    span = Partition(min(days), max(days))
    return bool(ledger.entries(records.Mail, pipeline=spec.pipeline, days=span, limit=1))
