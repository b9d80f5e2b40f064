"""What somebody who reads the data sees while something is held, and when it is over: read from the ledger.

The ledger answers also where the tables do not, and a mail must go out above all when something is broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sluice import ledger
from sluice.core.partitions import Partition
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ledger import records
from sluice.status import MONITORING, TRAINING, Item

# Newest publications of a table that are looked through.
_LOOKED_AT = 400


def waiting(spec: Pipeline, table: str, partitions: Sequence[str]) -> str:
    """What readers see while partitions of a table are not published."""
    if len(partitions) > 1:
        return (
            f"The {len(partitions)} days of {table} from {partitions[0]} to {partitions[-1]} are not loaded; "
            "readers see what they saw before."
        )
    day = partitions[0]
    run_day = spec.run_day(table, day)
    before = shown(spec, table, day)
    if before and table == PREDICTIONS:
        return f"Readers still see the predictions of {day} as they were published before."
    if before:
        unaffected = "; no prediction is affected" if spec.has_model else ""
        return f"Readers still see the {table} of {day} as published before{unaffected}."
    if table == spec.outcomes_table:
        return (
            f"How the predictions of {day} turned out cannot be told yet: their outcomes are not published."
        )
    if not spec.has_model or (table in spec.derived and table != spec.features_table):
        return f"The {table} of {day} are missing for readers; {_last(spec, table, day)}."
    if shown(spec, PREDICTIONS, run_day):
        return f"The {table} of {day} are missing for readers; the predictions of {run_day} were made before and stand."
    if table in spec.sources and getattr(spec, "stale_input", "refuse") == "mark":
        return f"The {table} of {day} are missing: predictions of {run_day} rest on older input, and are marked so."
    return f"The predictions of {run_day} are not made; {_last(spec, PREDICTIONS, run_day)}."


def failing(
    spec: Pipeline, table: str | None, data_days: Sequence[str], partition: str | None, *, day_waits: bool
) -> str:
    """What readers see while a task fails: one of a table, one that the day's sources wait for, or another."""
    if table:
        return waiting(spec, table, data_days) if data_days else ""
    if day_waits and partition:
        return _without_the_day(spec, partition)
    if day_waits:
        return ""
    return "What readers see has not changed."


def _without_the_day(spec: Pipeline, partition: str) -> str:
    """What readers see while the sources of a run day, or of a range, do not come."""
    if spec.features_table:
        return waiting(spec, spec.features_table, list(Partition.parse(partition)))
    return f"What was delivered for {partition} is not published; readers see what they saw before."


def undone(spec: Pipeline, item: Item) -> str:
    """What readers see while something that could be done is not."""
    if item.table == MONITORING:
        return f"The predictions of {item.day} are not measured yet."
    if item.table == TRAINING:
        return f"Predictions go on as before; the model that was asked for on {item.day} is not trained."
    return waiting(spec, item.table, [item.day])


def visible(spec: Pipeline, table: str, partitions: Sequence[str], *, since: datetime) -> str:
    """What readers see now that partitions of a table are published."""
    days = f"of {partitions[0]}" if len(partitions) == 1 else f"of {len(partitions)} partitions"
    sentence = f"Readers now see the {table} {days}, since {since:%Y-%m-%d %H:%M} UTC."
    later = waits_for(spec, table)
    if later and len(partitions) == 1:
        run_day = spec.run_day(table, partitions[0])
        if not shown(spec, later[-1], spec.data_day(later[-1], run_day)):
            sentence += f" What waited for it goes on: {', '.join(later)} of the run of {run_day}."
    return sentence


def waits_for(spec: Pipeline, table: str) -> tuple[str, ...]:
    """The tables that are built from a table."""
    if table in spec.sources:
        return tuple(name for name in spec.tables if name not in spec.sources)
    return (PREDICTIONS,) if table == spec.features_table else ()


def shown(spec: Pipeline, table: str, day: str, last: str = "", *, after: int = 0) -> bool:
    """Whether a day, or one up to a last one, has been published, by an entry of the ledger later than `after`."""
    span = Partition(day, last or day)
    found = ledger.entries(
        records.Published, pipeline=spec.pipeline, subject=table, days=span, after=after, limit=1
    )
    return bool(found)


def _last(spec: Pipeline, table: str, day: str) -> str:
    """What readers see of a table where a day is missing."""
    found = ledger.entries(records.Published, pipeline=spec.pipeline, subject=table, limit=_LOOKED_AT)
    days = sorted(entry.days.last for entry in found)
    earlier = [each for each in days if each < day]
    if earlier:
        return f"readers still see those of {earlier[-1]}"
    return (
        "there are none from an earlier day"
        if not days
        else f"readers see those of later days, to {days[-1]}"
    )
