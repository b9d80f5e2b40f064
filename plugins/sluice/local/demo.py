"""The demo: the whole loop on real data, as a person would live it, and a check that it happened as told.

Every step first looks at what is published or recorded already, so that an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from rich.console import Console

from sluice import feed, ledger, spec
from sluice.errors import StackError
from sluice.lake import tables
from sluice.local import stack, summary
from sluice.local.api import AirflowApi
from sluice.settings import settings

PIPELINE = "flights"
# The data begins on 2013-01-01; the run of 01-02 is the first that finds arrivals of the day before.
HISTORY = ("2013-01-02", "2013-03-31")
DAYS = tuple((date(2013, 4, 1) + timedelta(days=i)).isoformat() for i in range(7))
# On this morning the arrivals of the day before come with their minutes as seconds.
CORRUPT_DAY, CORRUPT_SOURCE, CORRUPTION = "2013-04-04", "arrivals", "seconds"


def run(console: Console) -> bool:
    """Live the demo; returns whether everything happened as told. Raises `StackError` where it cannot go on."""
    started = time.monotonic()

    def say(text: str) -> None:
        elapsed = time.monotonic() - started
        console.print(f"[dim]{int(elapsed // 60):2d}:{int(elapsed % 60):02d}[/dim]  {text}")

    flights = spec.load(PIPELINE)
    with ThreadPoolExecutor(1) as source_system:
        history = source_system.submit(_deliver_history, flights, say)
        stack.up(say)
        history.result()
    api = stack.client()
    _load_history(api, flights, say)
    _train(api, flights, say)
    for day in DAYS:
        _live(api, flights, day, say)
    checks = summary.checks(
        flights, DAYS, held=(CORRUPT_SOURCE, flights.data_day(CORRUPT_SOURCE, CORRUPT_DAY))
    )
    console.print(summary.table(flights, DAYS))
    for text, ok in checks:
        console.print(f"  {'[green]yes[/green]' if ok else '[red]NO [/red]'}  {text}")
    user, password = stack.login()
    console.print(
        f"\nTook {(time.monotonic() - started) / 60:.1f} minutes. Where to look:\n"
        f"  Airflow       {api.url}  (user {user}, password {password})\n"
        f"  held day      {api.url}/dags/{PIPELINE}_ingest  partition {CORRUPT_DAY}\n"
        f"  evidence      {settings().reports}\n"
        f"  mails         {settings().mail}\n"
        "  `make down` stops it, `make up` starts it again with everything in place, `make clean` forgets it."
    )
    return all(ok for _, ok in checks)


def _deliver_history(flights: spec.Pipeline, say: Callable[[str], None]) -> None:
    first, last = HISTORY
    say(f"The source system delivers its history, {first} to {last}")
    feed.deliver_range(flights, first, last)


def _load_history(api: AirflowApi, flights: spec.Pipeline, say: Callable[[str], None]) -> None:
    first, last = HISTORY
    if tables.published(PIPELINE, flights.model.features_table, last, last):
        say("History is loaded already")
        return
    say("Loading history in one run: flights_backfill")
    _must_succeed(api, f"{PIPELINE}_backfill", conf={"first_day": first, "last_day": last})


def _train(api: AirflowApi, flights: spec.Pipeline, say: Callable[[str], None]) -> None:
    if ledger.entries(kind="promoted", pipeline=PIPELINE, limit=1):
        say("There is a champion already")
        return
    say("Training the first model as of the last day of history: flights_train")
    _must_succeed(api, f"{PIPELINE}_train", partition=HISTORY[1])
    for entry in ledger.entries(pipeline=PIPELINE, subject=flights.model.name, limit=1):
        say(f"The candidate is {entry.kind}: {'; '.join(entry.data['reasons'])}")


def _live(api: AirflowApi, flights: spec.Pipeline, day: str, say: Callable[[str], None]) -> None:
    if summary.is_complete(flights, day):
        say(f"{day}: complete already")
        return
    corrupt_partition = flights.data_day(CORRUPT_SOURCE, day)
    is_corrupt_day = day == CORRUPT_DAY
    held = ledger.entries(kind="held", pipeline=PIPELINE, subject=CORRUPT_SOURCE, partition=corrupt_partition)
    if is_corrupt_day and not held:
        feed.deliver(flights, day, corrupt=CORRUPTION)
        say(f"{day}: delivered, {CORRUPT_SOURCE} with minutes sent as seconds")
        run = api.trigger(f"{PIPELINE}_ingest", partition=day)
        state = api.wait_for_run(f"{PIPELINE}_ingest", run["dag_run_id"])
        say(f"{day}: flights_ingest {state}; nothing of {CORRUPT_SOURCE} {corrupt_partition} was published")
    if is_corrupt_day:
        feed.deliver(flights, day, number=2, sources=[CORRUPT_SOURCE])
        say(f"{day}: the corrected file is delivered; the day is run again")
    else:
        feed.deliver(flights, day)
    run = _must_succeed(api, f"{PIPELINE}_ingest", partition=day)
    for stage in ("transform", "score", "monitor"):
        ended = api.wait_for_partition(f"{PIPELINE}_{stage}", day, since=run["run_after"])
        _require_success(api, ended)
    say(f"{day}: {summary.sentence(flights, day)}")


def _must_succeed(api: AirflowApi, dag_id: str, **trigger) -> dict:
    run = api.trigger(dag_id, **trigger)
    run["state"] = api.wait_for_run(dag_id, run["dag_run_id"])
    _require_success(api, run)
    return run


def _require_success(api: AirflowApi, run: dict) -> None:
    if run["state"] == "success":
        return
    failed = [
        task["task_id"] for task in api.tasks(run["dag_id"], run["dag_run_id"]) if task["state"] == "failed"
    ]
    raise StackError(
        f"{run['dag_id']} failed at {', '.join(failed) or 'no task'}.",
        where=f"{api.url}/dags/{run['dag_id']}/runs/{run['dag_run_id']}",
        todo="read the log of that task there",
    )
