"""The demo: the whole loop on real data, as a person would live it, and checks of what happened.

Every step first looks at what is published or recorded already, so that an interrupted demo goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from sluice import ledger
from sluice.core import links
from sluice.core.errors import StackError
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.ledger import model_records, records
from sluice.local import stack
from sluice.local.api import AirflowApi
from sluice_lab import feed
from sluice_lab.demo import summary

PIPELINE = "flights"
# The data begins on 2013-01-01; the run of 01-02 is the first that finds arrivals of the day before.
HISTORY = ("2013-01-02", "2013-03-31")
DAYS = tuple(Partition("2013-04-01", "2013-04-07"))
# On the first of these mornings the arrivals of the day before come with their minutes as seconds, on the second with a
# few clocks that run past midnight; the producer corrects both.
SOURCE = "arrivals"
HELD_DAY, QUARANTINED_DAY = "2013-04-04", "2013-04-06"


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
    _watch(api, say)
    checks = summary.checks(
        flights,
        DAYS,
        source=SOURCE,
        held=flights.data_day(SOURCE, HELD_DAY),
        quarantined=flights.data_day(SOURCE, QUARANTINED_DAY),
    )
    console.print(summary.table(flights, DAYS))
    for text, ok in checks:
        console.print(f"  {'[green]yes[/green]' if ok else '[red]NO [/red]'}  {text}")
    user, password = stack.login()
    console.print(
        f"\nTook {(time.monotonic() - started) / 60:.1f} minutes. Where to look:\n"
        f"  Airflow       {api.url}  (user {user}, password {password})\n"
        f"  held day      {links.page_url('partition', PIPELINE, SOURCE, flights.data_day(SOURCE, HELD_DAY))}\n"
        f"  evidence      {links.evidence_url()}\n"
        f"  model         {links.page_url('model', PIPELINE)}\n"
        f"  a prediction  sluice why {PIPELINE} '{summary.a_key(flights, DAYS[-1])}'\n"
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
    if ledger.entries(model_records.Promoted, pipeline=PIPELINE, limit=1):
        say("There is a champion already")
        return
    say("Training the first model as of the last day of history: flights_train")
    _must_succeed(api, f"{PIPELINE}_train", partition=HISTORY[1])
    for entry in ledger.entries(pipeline=PIPELINE, subject=flights.model.name, limit=1):
        say(f"The candidate is {entry.kind}: {' '.join(entry.record.reasons)}")


def _live(api: AirflowApi, flights: spec.Pipeline, day: str, say: Callable[[str], None]) -> None:
    if not summary.is_complete(flights, day):
        if day == HELD_DAY:
            _be_held(api, flights, day, say)
        feed.deliver(
            flights,
            day,
            corrupt="clocks" if day == QUARANTINED_DAY else None,
            sources=[SOURCE] if day == HELD_DAY else None,
            number=2 if day == HELD_DAY else 1,
        )
        run = _must_succeed(api, f"{PIPELINE}_ingest", partition=day)
        _follow(api, day, run["run_after"])
    say(f"{day}: {summary.sentence(flights, day)}")
    if day == QUARANTINED_DAY:
        _replay(api, flights, day, say)


def _be_held(api: AirflowApi, flights: spec.Pipeline, day: str, say: Callable[[str], None]) -> None:
    partition = flights.data_day(SOURCE, day)
    if ledger.entries(records.Held, pipeline=PIPELINE, subject=SOURCE, partition=partition):
        return
    feed.deliver(flights, day, corrupt="seconds")
    say(f"{day}: delivered, {SOURCE} with minutes sent as seconds")
    run = api.trigger(f"{PIPELINE}_ingest", partition=day)
    state = api.wait_for_run(f"{PIPELINE}_ingest", run["dag_run_id"])
    say(f"{day}: flights_ingest {state}; nothing of {SOURCE} {partition} was published")
    say(f"{day}: a corrected file is delivered; the day is run again")


def _replay(api: AirflowApi, flights: spec.Pipeline, day: str, say: Callable[[str], None]) -> None:
    partition = flights.data_day(SOURCE, day)
    if summary.replayed(flights, SOURCE, partition):
        say(f"{day}: replayed already")
        return
    say(
        f"{day}: a file with the six flights corrected is delivered; flights_replay sends it through the gate"
    )
    feed.deliver(flights, day, number=2, sources=[SOURCE])
    run = _must_succeed(api, f"{PIPELINE}_replay", conf={"table": SOURCE, "day": partition})
    _follow(api, day, run["run_after"])
    outcome = summary.replayed(flights, SOURCE, partition)[0].record
    say(f"{day}: repaired {outcome.repaired}, still held {outcome.still_held}; the day is complete again")


def _watch(api: AirflowApi, say: Callable[[str], None]) -> None:
    say("Looking for what did not happen, and sending the digest of warnings: flights_watch")
    _must_succeed(api, f"{PIPELINE}_watch")


def _follow(api: AirflowApi, day: str, since: str) -> None:
    """Wait for the stages that a complete day wakes."""
    for stage in ("transform", "score", "monitor"):
        _require_success(api, api.wait_for_partition(f"{PIPELINE}_{stage}", day, since=since))


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
