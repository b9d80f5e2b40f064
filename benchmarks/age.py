"""What a day costs against the age of the installation: stage, audit and publish with many days before it, against one.

Measured: the crossing of a source's real days, in a home whose table has N published partitions and whose ledger has
the record of each. Floor: the same days in a home that has one. The days before are synthetic: a real day's rows under
other dates, which went through the same staging, publishing and recording, but not through the gate, which would take an
hour. What readers of the old installation ask for (what is held, the index of evidence, the chain of the ledger) is said
beside the figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks.measure import Clock, Figure, Lab, Sample, progress
from sluice.core.runs import Run

SOURCE = "schedule"
FIRST, DAYS = "2013-04-08", 5
AGES, QUICK_AGES = (1, 100, 365, 1000), (1, 100)
RUN = Run(dag_id="age", run_id="age")
STEPS = ("stage", "audit", "publish")


def run(lab: Lab) -> list[Figure]:
    ages = QUICK_AGES if lab.quick else AGES
    taken: dict[int, dict[str, Any]] = {}
    homes = {age: {"SLUICE_HOME": str(lab.base / f"age-{age}")} for age in ages}
    for age in ages:
        lab.say(f"age: publishing {age:,} days")
        lab.call("benchmarks.age:grow", age=age, env=homes[age])
    # One right after the other: the machine is the same for all.
    for age in ages:
        taken[age] = lab.call("benchmarks.age:live", env=homes[age])
        lab.say(
            f"age {age}: "
            + ", ".join(f"{name} {_seconds(taken[age], name):.3f} s" for name in STEPS)
            + "; "
            + ", ".join(f"{name} {spent:.3f} s" for name, spent in taken[age]["asked"].items())
        )
    return [
        Figure(
            f"{step} of a day, {age:,} partitions / {ages[0]}",
            [Sample(**one) for one in taken[age][step]],
            [Sample(**one) for one in taken[ages[0]][step]],
            _says(taken[age]) if step == "publish" else "",
        )
        for age in ages[1:]
        for step in STEPS
    ]


def _seconds(taken: dict[str, Any], step: str) -> float:
    return median(one["seconds"] for one in taken[step])


def _says(taken: dict[str, Any]) -> str:
    asked = ", ".join(f"{name} {spent:.2f} s" for name, spent in taken["asked"].items())
    return f"{taken['entries']:,} entries; {asked}"


def grow(age: int) -> None:
    """Child: a home whose table has `age` published partitions, the last of them the day before `FIRST`."""
    import pyarrow as pa

    from sluice import crossing, ledger
    from sluice.declare import spec
    from sluice.gates.verdict import Verdict
    from sluice.lake import batches
    from sluice.ledger import records
    from sluice_lab import feed

    pipeline = spec.load("flights")
    first = date.fromisoformat(FIRST)
    eve = (first - timedelta(days=1)).isoformat()
    feed.deliver(pipeline, eve, sources=[SOURCE])
    real = crossing.stage(pipeline, SOURCE, [eve], RUN)
    verdict = crossing.audit(pipeline, SOURCE, real.batch_id, RUN)
    rows = _rows(real.files[eve])
    at = rows.schema.get_field_index("flight_date")
    began = time.monotonic()
    for back in range(age, 1, -1):
        day = first - timedelta(days=back)
        dated = pa.repeat(pa.scalar(day), rows.num_rows)
        moved = rows.set_column(rows.schema.get_field_index("ds"), "ds", dated).set_column(
            at, "flight_date", dated
        )
        staged = batches.stage(
            pipeline.pipeline, SOURCE, moved, partitions=[day.isoformat()], received=moved.num_rows,
            dropped={}, inputs=[{**real.inputs[0], "day": day.isoformat()}], run=RUN,
            sort_by=pipeline.key_of(SOURCE),
        )  # fmt: skip
        judged: Verdict = verdict.model_copy(
            update={
                "verdict_id": f"{staged.batch_id}-000000",
                "batch_id": staged.batch_id,
                "publish_batch_id": staged.batch_id,
                "partitions": staged.partitions,
                "evaluated_at": datetime.now(UTC),
            }
        )
        about: dict[str, Any] = {
            "pipeline": pipeline.pipeline,
            "subject": SOURCE,
            "partition": day.isoformat(),
        }
        ledger.append(records.Staged(batch_id=staged.batch_id, content_hash=staged.content_hash), **about)
        ledger.append(records.Verdict(**judged.model_dump(mode="json")), **about)
        crossing.publish(pipeline, SOURCE, staged.batch_id, RUN)
        if back % 100 == 0:
            progress(f"{age - back:,} of {age:,} days, {time.monotonic() - began:.0f} s")
    crossing.publish(pipeline, SOURCE, real.batch_id, RUN)


def _rows(file: str) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(file, partitioning=None)


def live() -> dict[str, Any]:
    """Child: cross `DAYS` further days, and ask what an operator asks."""
    from sluice import crossing, holds, ledger
    from sluice.declare import spec
    from sluice.orchestration.preload import preload
    from sluice.web import index
    from sluice_lab import feed

    preload()
    pipeline = spec.load("flights")
    taken: dict[str, Any] = {step: [] for step in STEPS}
    for offset in range(DAYS):
        day = (date.fromisoformat(FIRST) + timedelta(days=offset)).isoformat()
        feed.deliver(pipeline, day, sources=[SOURCE])
        with _timed(taken["stage"]):
            manifest = crossing.stage(pipeline, SOURCE, [day], RUN)
        with _timed(taken["audit"]):
            verdict = crossing.audit(pipeline, SOURCE, manifest.batch_id, RUN)
        with _timed(taken["publish"]):
            crossing.publish(pipeline, SOURCE, verdict.publish_batch_id, RUN)
    asked = {
        "held": lambda: holds.open_holds(pipeline),
        "index": lambda: index.read(pipeline.pipeline, days=7),
        "chain": ledger.verify,
    }
    taken["asked"] = {}
    for name, ask in asked.items():
        started = time.perf_counter()
        ask()
        taken["asked"][name] = time.perf_counter() - started
    taken["entries"] = ledger.entries(limit=1)[0].seq
    return taken


@contextmanager
def _timed(into: list[dict[str, Any]]) -> Iterator[None]:
    with Clock() as clock:
        yield
    into.append(clock.sample())
