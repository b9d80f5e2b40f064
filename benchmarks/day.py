"""A day under Airflow against the same calls in a bare script (`benchmarks.floor`).

Measured: a whole local stack on free ports, from triggering `flights_ingest` with the day as partition key until
`flights_monitor` of that day has ended, through the assets that chain the four DAGs. Floor: the same functions in the
same order on the same days in one process that has imported everything. Both start from a copy of the same history,
in the same folder. The floor runs before the stack is started and again after it is stopped, never beside it.

Then the same with `flights_backfill`, over a week and over five in one run: the difference of the two is what more rows
cost, under Airflow and in the script, without what a task costs.
"""

from __future__ import annotations

import shutil
import time
from datetime import datetime
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure, Lab, Sample, Together, progress

if TYPE_CHECKING:
    from sluice.local.api import AirflowApi

# A week later than the data that the features need; the days that are lived are those of the demo.
HISTORY = ("2013-02-25", 35)
FIRST, DAYS, QUICK_DAYS = "2013-04-01", 7, 2
# Days of one `flights_backfill`, and of another after it: whole weeks, so that both land the weekly sources and have the
# same tasks. How often.
FEW, MANY = 7, 35
ROUNDS, QUICK_ROUNDS = 2, 1


def run(lab: Lab) -> list[Figure]:
    from sluice_lab.rehearsal.bench import free_ports

    count, rounds = (QUICK_DAYS, QUICK_ROUNDS) if lab.quick else (DAYS, ROUNDS)
    given = {"first": FIRST, "count": count, "ranges": [FEW, MANY] * rounds}
    floor = [_floor(lab, given)]
    prepare(lab)
    lab.say(f"day: {count} days under Airflow; starting the stack")
    ports = {"SLUICE_API_PORT": str(free_ports(3)), "SLUICE_SMTP_PORT": str(free_ports(1))}
    live = lab.call("benchmarks.day:live", **given, env=ports)
    floor.append(_floor(lab, given))
    # Day by day, because a Monday lands three sources more than another day.
    bare = [mean(each) for each in zip(*(one["seconds"] for one in floor), strict=True)]
    more = [taken - alone for taken, alone in zip(live["seconds"], bare, strict=True)]
    each = median(one / tasks for one, tasks in zip(more, live["tasks"], strict=True))
    says = (
        f"{median(live['tasks']):.0f} tasks a day, {each:.2f} s of overhead each; of {median(more):.1f} s a day "
        f"{median(live['idle']):.1f} s no task runs"
    )
    return [
        Figure(
            "a day under Airflow / bare script", _samples([live], "seconds"), _samples(floor, "seconds"), says
        ),
        Figure(
            f"{MANY - FEW} more days in one backfill / bare script",
            _samples([live], "ranges"),
            _samples(floor, "ranges"),
            f"{FEW} days: {live['ranges'][0]['seconds']:.1f} s / {floor[0]['ranges'][0]['seconds']:.1f} s; "
            f"most of the rest: {_most_beyond([live], floor)}",
        ),
    ]


def _samples(found: list[dict[str, Any]], what: str) -> list[Sample]:
    """Seconds of days; of ranges, what the longer one took beyond the shorter one before it."""
    return [
        Sample(seconds, one["start"], one["peak"], {})
        for one in found
        for seconds in (one[what] if what == "seconds" else [more["seconds"] for more in _beyond(one[what])])
    ]


def _beyond(ranges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each longer range took beyond the shorter one before it, as a whole and step by step."""
    return [
        {
            "seconds": many["seconds"] - one["seconds"],
            "steps": {step: taken - one["steps"].get(step, 0.0) for step, taken in many["steps"].items()},
        }
        for one, many in zip(ranges[::2], ranges[1::2], strict=True)
    ]


def _most_beyond(measured: list[dict[str, Any]], floor: list[dict[str, Any]]) -> str:
    """The steps to which more days cost most beyond what they cost the script. Some run beside each other."""

    def step_by_step(found: list[dict[str, Any]]) -> dict[str, float]:
        more = [each["steps"] for one in found for each in _beyond(one["ranges"])]
        return {step: median(each.get(step, 0.0) for each in more) for step in more[0]}

    bare = step_by_step(floor)
    extra = {step: taken - bare.get(step, 0.0) for step, taken in step_by_step(measured).items()}
    most = sorted(extra, key=lambda step: -extra[step])[:4]
    return ", ".join(f"{step} {extra[step]:+.1f} s" for step in most)


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


def _floor(lab: Lab, given: dict[str, Any]) -> dict[str, Any]:
    prepare(lab)
    lab.say(f"day: {given['count']} days in a bare script")
    found: dict[str, Any] = lab.call("benchmarks.floor:live", **given)
    return found


def live(first: str, count: int, ranges: list[int]) -> dict[str, Any]:
    """Child: start a stack, live the days, then the ranges, stop it. Memory is that of its processes together."""
    from benchmarks.floor import days, spans
    from sluice.declare import spec
    from sluice.local import stack
    from sluice_lab import feed

    pipeline = spec.load("flights")
    seconds, tasks, idle = [], [], []
    taken: list[dict[str, Any]] = []
    try:
        stack.up(progress)
        api = stack.client()
        with Together(_stack) as memory:
            for run_day in days(first, count):
                feed.deliver(pipeline, run_day)
                started = time.perf_counter()
                runs = _day(api, run_day)
                seconds.append(time.perf_counter() - started)
                done = [task for run in runs for task in _done(api, run)]
                tasks.append(len(done))
                idle.append(seconds[-1] - _busy(done))
                progress(
                    f"under Airflow, {run_day}: {seconds[-1]:.1f} s, {len(done)} tasks, idle {idle[-1]:.1f} s"
                )
            for run_days in spans(first, count, ranges):
                feed.deliver_range(pipeline, run_days[0], run_days[-1])
                started = time.perf_counter()
                form = {"first_day": run_days[0], "last_day": run_days[-1]}
                run = api.trigger("flights_backfill", conf=form)
                _succeeded(api, run)
                taken.append({"seconds": time.perf_counter() - started})
                done = _done(api, run)
                taken[-1]["steps"] = {task["task_id"].rpartition(".")[2]: _busy([task]) for task in done} | {
                    "between tasks": taken[-1]["seconds"] - _busy(done)
                }
                progress(f"under Airflow, {len(run_days)} days in one run: {taken[-1]['seconds']:.1f} s")
    finally:
        stack.down(progress)
    memories = {"start": memory.start, "peak": memory.peak}
    return {"seconds": seconds, "tasks": tasks, "idle": idle, "ranges": taken, **memories}


def _day(api: AirflowApi, run_day: str) -> list[dict[str, Any]]:
    """Start the day's ingest, wait for the end of its monitoring; returns the four runs."""
    first = api.trigger("flights_ingest", partition=run_day)
    _succeeded(api, first)
    runs = [first]
    for stage in ("transform", "score", "monitor"):
        runs.append(api.wait_for_partition(f"flights_{stage}", run_day, since=first["run_after"]))
        _succeeded(api, runs[-1])
    return runs


def _succeeded(api: AirflowApi, run: dict[str, Any]) -> None:
    ended = api.wait_for_run(run["dag_id"], run["dag_run_id"])
    if ended != "success":
        raise RuntimeError(f"{run['dag_id']} {run['dag_run_id']} ended as {ended}")


def _done(api: AirflowApi, run: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for task in api.tasks(run["dag_id"], run["dag_run_id"]) if task["state"] == "success"]


def _busy(tasks: list[dict[str, Any]]) -> float:
    """Seconds in which at least one of some tasks was running, as Airflow recorded it."""
    at = sorted(
        tuple(datetime.fromisoformat(task[end]) for end in ("start_date", "end_date")) for task in tasks
    )
    total, until = 0.0, at[0][0]
    for begin, end in at:
        total += max(0.0, (end - max(begin, until)).total_seconds())
        until = max(until, end)
    return total


def _stack() -> list[Any]:
    from sluice.local import stack

    found = [stack.running(name) for name in (*stack.COMPONENTS, stack.MAIL_SINK)]
    return [member for process in found if process for member in (process, *process.children(recursive=True))]
