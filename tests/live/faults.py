"""Days of a live pipeline on which something goes wrong: each kind of fault is a function that plays one day.

Each begins before the deliveries of its day and ends when the pipeline has done what it can. What it must have told is in
`Soak.told`, and what comes on a later morning in `Soak.mornings`.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

import httpx

from sluice import ledger
from sluice.ingest import deliveries
from sluice.lake.landing import Landing
from sluice.local import stack
from sluice_lab.rehearsal import conditions
from tests.live.conftest import World

DAILY = ("schedule", "arrivals", "weather")
STAGES = ("ingest", "transform", "score", "monitor")
# Earlier days whose files may come on one morning, and are ingested before its own: one at a look.
_EARLIER = 4


@dataclass
class Soak:
    """A live pipeline to which things happen, drawn by a seed."""

    world: World
    draw: random.Random
    # What a mail must have told, once, and another one its end: a source and the day of its data.
    told: list[tuple[str, str]] = field(default_factory=list)
    # Run day -> what comes before its own deliveries.
    mornings: dict[str, list[Callable[[], object]]] = field(default_factory=dict)

    def tells(self, source: str, run_day: str) -> None:
        self.told.append((source, self.world.pipeline.data_day(source, run_day)))

    def morning(self, day: str) -> None:
        """A quarter to four: what was put off until this day comes."""
        self.world.at(f"{day} 03:45")
        for come in self.mornings.pop(day, []):
            come()

    def put_off(self, day: str, days: int, come: Callable[[], object]) -> None:
        later = (date.fromisoformat(day) + timedelta(days=days)).isoformat()
        self.mornings.setdefault(later, []).append(come)

    def due(self, day: str) -> None:
        """Four o'clock: the day is due, and all that can be done is done."""
        self.world.at(f"{day} 04:00")
        self.world.reconcile()

    def starts(self, day: str) -> dict:
        """Four o'clock, or as soon as earlier days of which something came are done: the day's run of ingest is at work."""
        self.world.at(f"{day} 04:00")
        for _ in range(_EARLIER):
            self.world.run("reconcile")
            # Airflow makes the run a moment later.
            if ledger.entries(kind="started", pipeline="flights", subject="ingest", partition=day):
                break
            self.world.left()
            self.world.later(minutes=5)
        return self.at_work("ingest", day)

    def at_work(self, stage: str, day: str) -> dict:
        """Wait until a stage's run of a day has a running task, and return the run."""

        def run() -> dict | None:
            for active in self.world.api.active_runs():
                dag_id, _, run_id = active.partition(" ")
                if dag_id != f"flights_{stage}":
                    continue
                (found,) = [one for one in self.world.runs(stage) if one["dag_run_id"] == run_id]
                tasks = self.world.api.tasks(dag_id, run_id)
                if found["partition_key"] == day and any(task["state"] == "running" for task in tasks):
                    return found
            return None

        return self.world.api.until(run, f"{stage} of {day} at work", 240)

    def look_again(self, day: str, at: str) -> None:
        """Let the pipeline look at an hour of the day, or later where it is later already."""
        self.world.not_before(f"{day} {at}")
        self.world.reconcile()

    def watch(self, day: str, at: str) -> None:
        self.world.not_before(f"{day} {at}")
        self.world.run("watch")


def undisturbed(soak: Soak, day: str) -> None:
    """All of the day's files are there when it is due."""
    soak.morning(day)
    soak.world.deliver(day)
    soak.due(day)
    if date.fromisoformat(day).weekday() == 0:
        soak.watch(day, "07:00")


def late(soak: Soak, day: str) -> None:
    """A file comes hours after its deadline."""
    source = _all_but_one(soak, day)
    soak.watch(day, "06:30")
    soak.world.at(f"{day} 08:00")
    soak.world.deliver(day, source)
    soak.world.settle()
    soak.watch(day, "09:00")


def missing(soak: Soak, day: str) -> None:
    """A file stays away for one day or two; the days after it go on, and are built again when it has come."""
    source = _all_but_one(soak, day)
    soak.watch(day, "06:30")
    soak.put_off(day, soak.draw.choice((1, 2)), lambda: soak.world.deliver(day, source))


def held(soak: Soak, day: str) -> None:
    """A file is damaged: its gate holds it, or it cannot be read. The corrected one comes an hour later."""
    soak.morning(day)
    soak.world.deliver(day, "schedule", "weather")
    _registers(soak, day)
    soak.world.deliver(
        day, "arrivals", corrupt=soak.draw.choice(("seconds", "missing_column", "wrong_type", "truncated"))
    )
    soak.tells("arrivals", day)
    soak.due(day)
    soak.world.not_before(f"{day} 05:00")
    soak.world.deliver(day, "arrivals", number=2)
    soak.look_again(day, "05:00")
    soak.watch(day, "07:00")


def corrected(soak: Soak, day: str) -> None:
    """A file of which rows are set aside, or in which a value is wrong, is published; the corrected one comes an hour later."""
    soak.morning(day)
    soak.world.deliver(day, "schedule", "weather")
    _registers(soak, day)
    if soak.draw.random() < 0.5:
        soak.world.deliver(day, "arrivals", corrupt="clocks")
    else:
        soak.world.deliver(day, "arrivals")
        _rewrite(soak, day, _without_a_tail_number)
    soak.due(day)
    soak.world.not_before(f"{day} 05:00")
    soak.world.deliver(day, "arrivals", number=3)
    soak.look_again(day, "05:00")


def duplicate(soak: Soak, day: str) -> None:
    """A file comes again under a new number: nothing is done anew."""
    undisturbed(soak, day)
    before = len(soak.world.runs("ingest"))
    soak.world.deliver(day, soak.draw.choice(DAILY), number=2)
    soak.look_again(day, "08:00")
    assert len(soak.world.runs("ingest")) == before


def shuffled(soak: Soak, day: str) -> None:
    """Files come in another order, while the run waits for them, and the rows of one are in another order."""
    soak.morning(day)
    _registers(soak, day)
    order = soak.draw.sample(DAILY, k=len(DAILY))
    soak.due(day)
    for minutes, source in enumerate(order):
        soak.world.at(f"{day} 04:{10 + minutes:02}")
        soak.world.deliver(day, source)
        if source == "arrivals":
            _rewrite(soak, day, lambda rows: soak.draw.shuffle(rows))
    soak.world.settle()


def killed_scheduler(soak: Soak, day: str) -> None:
    """The scheduler is killed (SIGKILL) while a task runs, and its workers with it; its supervisor starts it again."""
    soak.morning(day)
    soak.world.deliver(day)
    soak.starts(day)
    if (stage := soak.draw.choice(("ingest", "transform"))) != "ingest":
        soak.at_work(stage, day)
    scheduler = stack.running("scheduler")
    assert scheduler
    scheduler.kill()
    scheduler.wait(60)
    conditions.until(lambda: stack.running("scheduler"), "the scheduler is not started again")
    conditions.until(lambda: not soak.world.api.unhealthy(), "Airflow is not healthy")
    soak.world.settle()


def stopped_scheduler(soak: Soak, day: str) -> None:
    """The scheduler is off when the day is due, or is stopped while a task runs, and is on again an hour later."""
    soak.morning(day)
    soak.world.deliver(day)
    if soak.draw.random() < 0.5:
        soak.starts(day)
    stack.stop("scheduler")
    soak.world.at(f"{day} 05:00")
    stack.start("scheduler")
    conditions.until(lambda: not soak.world.api.unhealthy(), "Airflow is not healthy")
    soak.look_again(day, "05:00")


def paused(soak: Soak, day: str) -> None:
    """A DAG is paused when it is to run; for two hours, or until the next morning."""
    stage = soak.draw.choice(STAGES)
    soak.world.pause(stage)
    soak.morning(day)
    soak.world.deliver(day)
    soak.due(day)
    if soak.draw.random() < 0.5:
        soak.world.unpause(stage)
        soak.look_again(day, "06:00")
    else:
        soak.put_off(day, 1, lambda: soak.world.unpause(stage))


def cleared(soak: Soak, day: str) -> None:
    """A run that has ended, of this day or an earlier one, is cleared."""
    undisturbed(soak, day)
    ended = [run for run in soak.world.runs(soak.draw.choice(STAGES)) if run["state"] == "success"]
    soak.world.clear(soak.draw.choice(ended[-5:]))
    soak.world.settle()


def marked(soak: Soak, day: str) -> None:
    """A run that is at work is marked as successful, or as failed."""
    soak.world.mark(_at_work(soak, day), soak.draw.choice(("success", "failed")))
    soak.look_again(day, "05:00")


def deleted(soak: Soak, day: str) -> None:
    """A run that is at work is deleted."""
    soak.world.delete(_at_work(soak, day))
    soak.look_again(day, "05:00")


def backfilled(soak: Soak, day: str) -> None:
    """Airflow's own backfill is asked for days of the past and of the future, and a run for a day that has not begun."""
    undisturbed(soak, day)
    first, last = (date.fromisoformat(day) + timedelta(days=days) for days in (-2, 2))
    for stage in STAGES:
        body = {
            "dag_id": f"flights_{stage}",
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "reprocess_behavior": soak.draw.choice(("none", "failed", "completed")),
        }
        refused = soak.world.api.request("POST", "/backfills", json=body, accept=(400, 409, 422))
        assert isinstance(refused, httpx.Response)
    wrong = soak.world.api.trigger("flights_ingest", partition=last.isoformat())
    assert soak.world.api.wait_for_run("flights_ingest", wrong["dag_run_id"]) == "failed"
    soak.world.settle()


KINDS = (
    late,
    missing,
    held,
    corrected,
    duplicate,
    shuffled,
    killed_scheduler,
    stopped_scheduler,
    paused,
    cleared,
    marked,
    deleted,
    backfilled,
)


def _all_but_one(soak: Soak, day: str) -> str:
    """Deliver all of a day but one source, let the day be due, and return the source."""
    soak.morning(day)
    source = soak.draw.choice(DAILY)
    soak.world.deliver(day, *(name for name in DAILY if name != source))
    _registers(soak, day)
    soak.tells(source, day)
    soak.due(day)
    return source


def _at_work(soak: Soak, day: str) -> dict:
    """Let a day begin, and return the run of one of its stages while it is at work."""
    soak.morning(day)
    soak.world.deliver(day)
    run = soak.starts(day)
    stage = soak.draw.choice(("ingest", "transform"))
    return run if stage == "ingest" else soak.at_work(stage, day)


def _registers(soak: Soak, day: str) -> None:
    """Deliver the weekly sources, on their day."""
    if date.fromisoformat(day).weekday() == 0:
        weekly = [name for name in soak.world.pipeline.sources if name not in DAILY]
        soak.world.deliver(day, *weekly)


def _rewrite(soak: Soak, day: str, change: Callable[[list[list[str]]], object]) -> None:
    """Deliver the arrivals of a day again, under the number 2, with changed rows."""
    pipeline = soak.world.pipeline
    landing = Landing(pipeline.landing_url)
    first = deliveries.find(pipeline, "arrivals", day, landing=landing)
    assert first
    header, *rows = csv.reader(gzip.decompress(landing.read(first.name)).decode().splitlines())
    change(rows)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    content = gzip.compress(text.getvalue().encode(), mtime=0)
    deliveries.write(
        landing,
        pipeline,
        "arrivals",
        day,
        content,
        rows=len(rows),
        number=2,
        delivered_at=first.manifest.delivered_at,
    )


def _without_a_tail_number(rows: list[list[str]]) -> None:
    row = next(row for row in rows if row[5])
    row[5] = ""
