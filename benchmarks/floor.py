"""A day as a bare script: the calls that the DAGs make, in one process, one after the other, and nothing else.

What Airflow does around them is left out: processes, scheduling, retries, logs, results kept between tasks, a UI. What
the platform does is not: every table is staged, audited by Great Expectations, published on Iceberg and recorded in
the ledger. Against this floor one sees what running under Airflow costs, not what the checks cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from benchmarks.measure import Together, progress
from sluice import crossing, ledger
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.ingest.completion import complete, due_sources
from sluice.ledger import model_records
from sluice.models import monitoring, roles, training
from sluice.models.config import registry
from sluice.orchestration.preload import preload
from sluice_lab import feed

RUN = Run(dag_id="floor", run_id="floor")


def day(pipeline: Pipeline, run_day: str) -> str:
    """Ingest, transform, score and monitor one run day; returns what monitoring decided."""
    load(pipeline, [run_day])
    cross(pipeline, PREDICTIONS, [run_day])
    monitoring.report_days(pipeline, run_day, RUN)
    decision: str = monitoring.decide(pipeline, run_day, RUN)["action"]
    if decision == "retrain":
        monitoring.record_request(pipeline, run_day, RUN)
    return decision


def load(pipeline: Pipeline, run_days: Sequence[str]) -> dict[str, float]:
    """Land and derive the tables of one day, or of a range in one batch each; returns the seconds of each step."""
    taken: dict[str, float] = {}
    for source in due_sources(pipeline, run_days):
        taken |= cross(pipeline, source, run_days)
    with _timed(taken, "complete_day"):
        complete(pipeline, run_days, RUN)
    for table in pipeline.derived:
        taken |= cross(pipeline, table, run_days)
    return taken


def cross(pipeline: Pipeline, table: str, run_days: Sequence[str]) -> dict[str, float]:
    """Stage, audit and publish one table; returns the seconds of each step, which is named as the task that does it."""
    taken: dict[str, float] = {}
    with _timed(taken, f"stage_{table}"):
        batch_id = crossing.stage(pipeline, table, run_days, RUN).batch_id
    with _timed(taken, f"audit_{table}"):
        crossing.require_publishable(crossing.audit(pipeline, table, batch_id, RUN))
    with _timed(taken, f"publish_{table}"):
        crossing.publish(pipeline, table, batch_id, RUN)
    return taken


@contextmanager
def _timed(taken: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    taken[step] = time.perf_counter() - started


def history(first: str, count: int) -> None:
    """Child: load `count` days from `first` and train a model on them, which becomes champion whatever its worth."""
    preload()
    pipeline = spec.load("flights")
    run_days = days(first, count)
    feed.deliver_range(pipeline, run_days[0], run_days[-1])
    load(pipeline, run_days)
    registry().init()
    version = training.stage_candidate(pipeline, run_days[-1], RUN)
    about = {"pipeline": pipeline.pipeline, "subject": pipeline.model.name, "partition": run_days[-1]}
    said = {"version": version, "champion": roles.current(pipeline).champion}
    roles.promote(pipeline, ledger.append(model_records.Audited(**said), **about), RUN)


def live(first: str, count: int, ranges: Sequence[int]) -> dict[str, Any]:
    """Child: live days one after the other, then ranges in one go each; imports and deliveries are not counted."""
    import psutil

    preload()
    pipeline = spec.load("flights")
    seconds: list[float] = []
    taken: list[dict[str, Any]] = []
    me = psutil.Process()
    with Together(lambda: [me, *me.children(recursive=True)]) as memory:
        for run_day in days(first, count):
            feed.deliver(pipeline, run_day)
            started = time.perf_counter()
            decision = day(pipeline, run_day)
            seconds.append(time.perf_counter() - started)
            progress(f"bare script, {run_day}: {seconds[-1]:.1f} s; monitoring: {decision}")
        for run_days in spans(first, count, ranges):
            feed.deliver_range(pipeline, run_days[0], run_days[-1])
            started = time.perf_counter()
            steps = load(pipeline, run_days)
            taken.append({"seconds": time.perf_counter() - started, "steps": steps})
            progress(f"bare script, {len(run_days)} days in one go: {taken[-1]['seconds']:.1f} s")
    return {"seconds": seconds, "ranges": taken, "start": memory.start, "peak": memory.peak}


def spans(first: str, count: int, ranges: Sequence[int]) -> Iterator[list[str]]:
    """Ranges of so many days each, one after the other, behind the first `count` days."""
    following = days(first, count + sum(ranges))[count:]
    for length in ranges:
        yield following[:length]
        following = following[length:]


def days(first: str, count: int) -> list[str]:
    """`count` days (YYYY-MM-DD) from `first` on."""
    start = date.fromisoformat(first)
    return [(start + timedelta(days=offset)).isoformat() for offset in range(count)]
