"""Run days of a pipeline through its DAGs in Airflow, in order, and follow them: what `sluice run` does.

The rule kept here: the status of a day says what is left to do and when it is over, and a stage is woken by its asset, both as the
reconciler does it. A day that does not come to its end stops those after it, which look back on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

from sluice import ledger, schedule, status
from sluice.core import clock
from sluice.core.errors import StackError
from sluice.core.partitions import date_of, days_between
from sluice.declare import wakes
from sluice.declare.spec import Pipeline
from sluice.local.api import FINAL, AirflowApi
from sluice.status import STAGES, Item

# After so many seconds without a run at work, no event is about to start one: it takes a few loops of the scheduler.
_EVENT_SECONDS = 15.0
# Within these a run that was woken is there, also on a busy machine.
_WOKEN_SECONDS = 300.0
# Seconds from one look to the next.
_LOOK = 2.0
# As long as Airflow lets a run last (`dagrun_timeout` of the stages).
_LONGEST = timedelta(hours=2).total_seconds()
_TRAIN = "train"
# What a day goes through; a training is asked for, or made by `--train`.
_STAGES = tuple(stage for stage in STAGES if stage != _TRAIN)


def run_days(
    pipeline: Pipeline, first: str, last: str, api: AirflowApi, say: Callable[[str], None], *, train: bool
) -> bool:
    """Run each day from `first` to `last` of which something is due, then train as of the last; whether all came to its end.

    What is published already, or was given up, is left as it is.

    Raises:
        StackError: Airflow does not answer, a DAG that is needed is paused, or a run does not end.
    """
    found = status.of(pipeline, first=first, last=last)
    days = sorted({item.run_day for item in found})
    left_out = [day for day in days_between(first, last) if day not in days]
    for due, early in groupby(left_out, key=lambda day: _not_due_until(pipeline, found, day)):
        if due:
            say(f"Not due before {due}: {', '.join(early)}. What is landed for it is taken up then.")
        else:
            say(f"Nothing is due, and nothing was delivered, on {', '.join(early)}.")
    if not days:
        return False
    for stage in wakes.by_stage(pipeline):
        if stage != _TRAIN or train:
            _require_unpaused(f"{pipeline.pipeline}_{stage}", api)
    for number, day in enumerate(days, 1):
        say(f"{day} ({number} of {len(days)})")
        if not _Day(pipeline, day, api, say).run():
            if rest := days[number:]:
                say(f"Not run, because they look back on {day}: {', '.join(rest)}.")
            return False
    return _train(pipeline, days[-1], api, say) if train else True


def _not_due_until(pipeline: Pipeline, found: status.Status, day: str) -> str:
    """When the run of a day is due, where that is still to come; else ""."""
    declared = schedule.read(pipeline)
    if found.now is None or not declared.fires_on(date_of(day)):
        return ""
    at = declared.due_at(date_of(day))
    return "" if clock.passed(found.now, at) else f"{at:%Y-%m-%d %H:%M %Z}"


@dataclass
class _Day:
    """One run day on its way through the stages."""

    pipeline: Pipeline
    day: str
    api: AirflowApi
    say: Callable[[str], None]
    # Tables of which was said that they are done.
    _said: set[str] = field(default_factory=set)

    def run(self) -> bool:
        """Wake what is to be woken until nothing is left that a run could do; whether the day is complete."""
        earlier = {run["dag_run_id"] for run in self._runs()}
        woken: list[str] = []
        while stage := self._next_stage(patience=_EVENT_SECONDS if earlier or woken else 0):
            if stage in woken:
                self.say(f"  {self.pipeline.pipeline}_{stage} has ended, and is not done.")
                break
            woken.append(stage)
            self._wake(stage)
        failed = [
            run for run in self._runs() if run["state"] == "failed" and run["dag_run_id"] not in earlier
        ]
        for run in failed:
            self.say(f"  {run['dag_id']} failed.\n{self.api.failures(run['dag_id'], run['dag_run_id'])}")
        # What readers see and cannot be built anew is as complete as it can be.
        left = [
            item
            for item in self._items()
            if not item.is_done and not (item.state == "blocked" and item.batch_id)
        ]
        for item in left:
            self.say(f"  {item.sentence()}")
        if any(item.state == "held" for item in left):
            self.say(f"  What was wrong, and how it goes on: sluice held {self.pipeline.pipeline}")
        return not left and not failed

    def _wake(self, stage: str) -> None:
        """Wake a stage, and wait until its run is there."""
        before = {run["dag_run_id"] for run in self._runs()}
        self.api.wake(wakes.by_stage(self.pipeline)[stage], self.day)
        self.say(f"  {self.pipeline.pipeline}_{stage} is started")
        self.api.until(
            lambda: any(run["dag_run_id"] not in before for run in self._runs()),
            f"The start of {self.pipeline.pipeline}_{stage} {self.day}",
            _WOKEN_SECONDS,
        )

    def _next_stage(self, *, patience: float) -> str:
        """The stage that could go on and that no event starts, when no run of the day is at work; "" where nothing is left.

        A run that waits for a delivery is at work as little as one that has ended: it goes on by itself.
        """
        idle_since: float | None = None

        def asked() -> str | None:
            nonlocal idle_since
            possible = [item.stage for item in self._items() if item.is_possible]
            active = [run for run in self._runs() if run["state"] not in FINAL]
            if any(not self.api.is_deferred(run["dag_id"], run["dag_run_id"]) for run in active):
                idle_since = None
                return None
            if active:
                self.say("  A run waits for a delivery, and goes on by itself when it comes.")
                return ""
            idle_since = time.monotonic() if idle_since is None else idle_since
            if possible and time.monotonic() - idle_since < patience:
                return None
            return possible[0] if possible else ""

        return self.api.until(asked, f"{self.pipeline.pipeline} {self.day}", _LONGEST, pause=_LOOK)

    def _items(self) -> list[Item]:
        """What a day is made of, but for trainings and for registers that a day goes on without; says what has become of it."""
        found = [
            item
            for item in status.of(self.pipeline, first=self.day, last=self.day)
            if item.stage in _STAGES and not self._goes_on_without(item)
        ]
        for item in found:
            if item.is_done and item.table not in self._said:
                self._said.add(item.table)
                self.say(f"  {item.table} {item.day} is {item.state}")
        return found

    def _goes_on_without(self, item: Item) -> bool:
        source = self.pipeline.sources.get(item.table)
        return source is not None and source.cadence == "weekly" and item.state in ("awaited", "missing")

    def _runs(self) -> list[dict[str, Any]]:
        return [
            run
            for stage in wakes.by_stage(self.pipeline)
            if stage != _TRAIN
            for run in self.api.runs(f"{self.pipeline.pipeline}_{stage}", partition=self.day)
        ]


def _train(pipeline: Pipeline, day: str, api: AirflowApi, say: Callable[[str], None]) -> bool:
    """Train as of a day; whether the run succeeded. What became of the candidate is said either way."""
    dag_id = f"{pipeline.pipeline}_{_TRAIN}"
    since = max((entry.seq for entry in ledger.entries(pipeline=pipeline.pipeline, limit=1)), default=0)
    run = api.trigger(dag_id, partition=day)
    say(f"Training as of {day}: {dag_id} is started")
    ended = api.wait_for_run(dag_id, run["dag_run_id"], seconds=_LONGEST)
    for entry in ledger.entries(pipeline=pipeline.pipeline, subject=pipeline.model.name):
        if entry.seq > since and entry.kind in ("promoted", "refused", "entered_shadow"):
            kind = "in shadow" if entry.kind == "entered_shadow" else entry.kind
            say(f"  Version {entry.record.version} is {kind}: {' '.join(entry.record.reasons)}")
    if ended == "failed":
        say(f"  {dag_id} failed.\n{api.failures(dag_id, run['dag_run_id'])}")
    return ended == "success"


def _require_unpaused(dag_id: str, api: AirflowApi) -> None:
    if api.is_paused(dag_id):
        raise StackError(
            f"{dag_id} is paused: a run of it would wait.",
            where=api.url,
            todo=f"unpause it in the UI, or by `sluice airflow dags unpause {dag_id}`",
        )
