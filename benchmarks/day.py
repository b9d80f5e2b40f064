"""A day under Airflow against the same calls in a bare script (`benchmarks.floor`).

Measured: a whole local stack on free ports, from triggering `flights_ingest` with the day as partition key until
`flights_monitor` of that day has ended, through the assets that chain the four DAGs. Floor: the same functions in the
same order on the same days in one process that has imported everything. Both start from a copy of the same history,
in the same folder. The floor runs before the stack is started and again after it is stopped, never beside it.
"""

from __future__ import annotations

import shutil
import socket
import time
from contextlib import ExitStack
from statistics import mean, median
from typing import Any

from benchmarks.measure import Figure, Lab, Sample, Together, progress

# A week later than the data that the features need; the days that are lived are those of the demo.
HISTORY = ("2013-02-25", 35)
FIRST, DAYS, QUICK_DAYS = "2013-04-01", 7, 2


def run(lab: Lab) -> list[Figure]:
    count = QUICK_DAYS if lab.quick else DAYS
    floor = _floor(lab, count)
    prepare(lab)
    lab.say(f"day: {count} days under Airflow; starting the stack")
    port, smtp = free_ports(3), free_ports(1)
    live = lab.call(
        "benchmarks.day:live",
        first=FIRST,
        count=count,
        env={"SLUICE_API_PORT": str(port), "SLUICE_SMTP_PORT": str(smtp)},
    )
    floor += _floor(lab, count)
    measured = [Sample(s, live["start"], live["peak"], {}) for s in live["seconds"]]
    # Day by day, because a Monday lands three sources more than another day.
    overhead = [
        (taken.seconds - mean(one.seconds for one in floor[number::count])) / tasks
        for number, (taken, tasks) in enumerate(zip(measured, live["tasks"], strict=True))
    ]
    says = f"{median(live['tasks']):.0f} tasks a day, {median(overhead):.2f} s of overhead each"
    return [Figure("a day under Airflow / bare script", measured, floor, says)]


def prepare(lab: Lab) -> None:
    """Put the home back to where the history is loaded and a champion is there; it is loaded once."""
    kept = lab.base / "history"
    shutil.rmtree(lab.home, ignore_errors=True)
    if not kept.exists():
        lab.say(f"loading {HISTORY[1]} days of history and training a model, once")
        lab.call("benchmarks.floor:history", first=HISTORY[0], count=HISTORY[1])
        lab.home.rename(kept)
    # Tables name their files by absolute path: every copy is used in the place where the history was made.
    shutil.copytree(kept, lab.home)


def _floor(lab: Lab, count: int) -> list[Sample]:
    prepare(lab)
    lab.say(f"day: {count} days in a bare script")
    live = lab.call("benchmarks.floor:live", first=FIRST, count=count)
    return [Sample(s, live["start"], live["peak"], {}) for s in live["seconds"]]


def live(first: str, count: int) -> dict[str, Any]:
    """Child: start a stack, live the days, stop it. Memory is that of the stack's processes together."""
    from benchmarks.floor import days
    from sluice import feed, spec
    from sluice.local import stack

    pipeline = spec.load("flights")
    seconds, tasks = [], []
    try:
        stack.up(progress)
        api = stack.client()
        with Together(_stack) as memory:
            for run_day in days(first, count):
                feed.deliver(pipeline, run_day)
                started = time.perf_counter()
                first_run = api.trigger("flights_ingest", partition=run_day)
                runs = [first_run]
                ended = api.wait_for_run("flights_ingest", first_run["dag_run_id"])
                for stage in ("transform", "score", "monitor"):
                    if ended != "success":
                        raise RuntimeError(f"{runs[-1]['dag_id']} of {run_day} ended as {ended}")
                    runs.append(
                        api.wait_for_partition(f"flights_{stage}", run_day, since=first_run["run_after"])
                    )
                    ended = runs[-1]["state"]
                seconds.append(time.perf_counter() - started)
                done = [
                    t
                    for r in runs
                    for t in api.tasks(r["dag_id"], r["dag_run_id"])
                    if t["state"] == "success"
                ]
                tasks.append(len(done))
                progress(f"under Airflow, {run_day}: {seconds[-1]:.1f} s, {tasks[-1]} tasks")
    finally:
        stack.down(progress)
    return {"seconds": seconds, "tasks": tasks, "start": memory.start, "peak": memory.peak}


def _stack() -> list[Any]:
    from sluice.local import stack

    found = [stack.running(name) for name in (*stack.COMPONENTS, stack.MAIL_SINK)]
    return [member for process in found if process for member in (process, *process.children(recursive=True))]


def free_ports(count: int) -> int:
    """The first of `count` free ports of this machine in a row."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for offset in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
            return port
