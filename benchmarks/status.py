"""What `sluice status` costs for 1,000 run days: the status of a pipeline against reading what it is decided from.

Measured: `status.of` of flights as a live pipeline, in a home where each table has N published days, each with a batch of its
own and its record in the ledger; on the last two days nothing came. Floor: one reading of each table's published days and of
the landing zone's names. The home is synthetic: batches of one row, staged and committed as always, but twenty days in one
commit. It is asked in a process that has asked before, as the watcher's next look is; the first answer is said beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Clock, Figure, Lab, Sample, progress
from sluice.core.runs import Run

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest

LAST = date(2013, 12, 30)
AGES, QUICK_AGES = (100, 1000), (100,)
REPETITIONS = 5
# Days of one commit.
COMMIT = 20
RUN = Run(dag_id="status", run_id="status")


def run(lab: Lab) -> list[Figure]:
    figures = []
    for age in QUICK_AGES if lab.quick else AGES:
        home = lab.base / f"status-{age}"
        env = {"SLUICE_HOME": str(home), "SLUICE_CLOCK": str(lab.base / "clock")}
        lab.say(f"status: publishing {age:,} days of each table")
        lab.call("benchmarks.status:grow", age=age, env=env)
        taken = lab.call("benchmarks.status:ask", age=age, env=env)
        says = (
            f"{taken['items']:,} partitions, {taken['entries']:,} entries; CPU {taken['cpu']:.2f} s; "
            f"first answer of a process {taken['first']:.2f} s"
        )
        lab.say(f"status, {age:,} run days: {says}")
        figures.append(
            Figure(
                f"status of {age:,} run days / reading",
                [Sample(**one) for one in taken["status"]],
                [Sample(**one) for one in taken["reading"]],
                says,
            )
        )
    return figures


def grow(age: int) -> None:
    """Child: a home in which each table of flights has a published batch a day, for `age` run days to `LAST`."""
    from sluice.core.settings import settings

    first = LAST - timedelta(days=age - 1)
    Path(str(settings().clock)).write_text(f"{LAST}T12:00:00-05:00")
    pipeline = _pipeline(age)
    began = time.monotonic()
    read: dict[str, dict[str, str]] = {}
    for table in pipeline.tables:
        weekly = table in pipeline.sources and pipeline.sources[table].cadence == "weekly"
        run_days = [first + timedelta(days=offset) for offset in range(0, age, 7 if weekly else 1)]
        read[table] = _grow(pipeline, table, run_days if weekly else run_days[:-2], read)
        progress(f"{table}, {time.monotonic() - began:.0f} s")


def _grow(
    pipeline: Pipeline, table: str, run_days: list[date], read: dict[str, dict[str, str]]
) -> dict[str, str]:
    """Publish a table's days; returns the batch of each."""
    from sluice.lake import connection, snapshots

    staged = [_staged(pipeline, table, run_day.isoformat(), read) for run_day in run_days]
    with connection.opened() as lake:
        snapshots.create(lake, staged[0])
        for at in range(0, len(staged), COMMIT):
            several = staged[at : at + COMMIT]
            together = several[0].model_copy(
                update={
                    "partitions": tuple(day for each in several for day in each.partitions),
                    "files": {day: file for each in several for day, file in each.files.items()},
                    "rows_by_partition": dict.fromkeys(
                        (day for each in several for day in each.partitions), 1
                    ),
                }
            )
            snapshots.commit(
                snapshots.existing(lake, pipeline.pipeline, table)
                if at
                else lake.load_table((pipeline.pipeline, table)),
                together,
                "synthetic",
            )
    for manifest in staged:
        _record(pipeline, table, manifest)
    return {day: each.batch_id for each in staged for day in each.partitions}


def _staged(pipeline: Pipeline, table: str, run_day: str, read: dict[str, dict[str, str]]) -> Manifest:
    import pyarrow as pa

    from sluice.lake import batches

    day = pipeline.data_day(table, run_day)
    rows = pa.table({"ds": pa.array([date.fromisoformat(day)]), "key": ["a"]})
    return batches.stage(
        pipeline.pipeline, table, rows, partitions=[day], received=1, dropped={}, run=RUN, sort_by=["key"],
        inputs=list(_inputs(pipeline, table, run_day, read)),
    )  # fmt: skip


def _inputs(
    pipeline: Pipeline, table: str, run_day: str, read: dict[str, dict[str, str]]
) -> Iterator[dict[str, Any]]:
    """What a batch was made from: the delivery, which is put into the landing zone; or the weeks before of each input."""
    from sluice.declare.spec import PREDICTIONS
    from sluice.ingest import deliveries
    from sluice.ingest.stage import as_input
    from sluice.lake import inputs
    from sluice.lake.landing import Landing

    if table in pipeline.sources:
        landing = Landing(pipeline.landing_url)
        landing.create()
        deliveries.write(
            landing, pipeline, table, run_day, b"key\na\n", rows=1, number=1, delivered_at=_delivered(run_day)
        )
        found = deliveries.find(pipeline, table, run_day, landing=landing)
        assert found is not None
        yield as_input(found, pipeline.source(table).contract, None).record()
        return
    names = [pipeline.model.features_table] if table == PREDICTIONS else [*pipeline.sources]
    for name in names:
        last = pipeline.data_day(name, run_day)
        first = (date.fromisoformat(last) - timedelta(days=pipeline.history_days)).isoformat()
        made_from = {day: batch for day, batch in read[name].items() if first <= day <= last}
        yield inputs.Snapshot(table=name, snapshot_id=1, first=first, last=last, batches=made_from).record()


def _delivered(run_day: str) -> Any:
    from datetime import UTC, datetime

    return datetime.combine(date.fromisoformat(run_day), datetime.min.time(), UTC)


def _record(pipeline: Pipeline, table: str, manifest: Manifest) -> None:
    """What the ledger has of a day that was published, and monitored."""
    from sluice import ledger
    from sluice.declare.spec import PREDICTIONS
    from sluice.ledger import model_records, records

    about = {"pipeline": pipeline.pipeline, "partition": manifest.partitions[0], "run": "status"}
    ledger.append(records.Published(batch_id=manifest.batch_id), subject=table, **about)
    if table == PREDICTIONS:
        ledger.append(model_records.Decided(action="nothing"), subject=pipeline.model.name, **about)


def ask(age: int) -> dict[str, Any]:
    """Child: the status, and the bare readings, in turns."""
    from sluice import ledger, status

    pipeline = _pipeline(age)
    started = time.perf_counter()
    found = status.of(pipeline)
    taken: dict[str, Any] = {"first": time.perf_counter() - started, "status": [], "reading": []}
    spent = time.process_time()
    for _ in range(REPETITIONS):
        with Clock() as clock:
            status.of(pipeline)
        taken["status"].append(clock.sample())
    taken["cpu"] = (time.process_time() - spent) / REPETITIONS
    for _ in range(REPETITIONS):
        with Clock() as clock:
            _read(pipeline)
        taken["reading"].append(clock.sample())
    taken |= {"items": len(found.items), "entries": ledger.entries(limit=1)[0].seq}
    return taken


def _read(pipeline: Pipeline) -> None:
    from sluice.lake import tables
    from sluice.lake.landing import Landing

    for table in pipeline.tables:
        tables.published(pipeline.pipeline, table)
    landing = Landing(pipeline.landing_url)
    for source in pipeline.sources:
        landing.list(source)


def _pipeline(age: int) -> Pipeline:
    """Flights as a live pipeline that began `age` run days before."""
    from sluice.declare import spec

    update = {"clock": "wall", "starts": LAST - timedelta(days=age - 1)}
    return spec.load("flights").model_copy(update=update)
