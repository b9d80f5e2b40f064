"""Run days of a pipeline through its DAGs in Airflow, in order, and follow them: what `sluice run` does.

The rule kept here: the status of a day says what is left to do and when it is over, as it does for the reconciler; this only
starts what no event has started. A day that does not come to its end stops those after it, which look back on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sluice import ledger, schedule, status
from sluice.core.errors import StackError
from sluice.core.partitions import date_of, day_of
from sluice.declare.spec import Pipeline
from sluice.local.api import FINAL, AirflowApi
from sluice.status import STAGES, Item

# After so many seconds without a run at work, no event is about to start one: it takes a few loops of the scheduler.
_EVENT_SECONDS = 15.0
# As long as Airflow lets a run last (`dagrun_timeout` of the stages).
_LONGEST = timedelta(hours=2).total_seconds()
_TRAIN = "train"
# What a day goes through; a training is asked for, or made by `--train`.
_STAGES = tuple(stage for stage in STAGES if stage != _TRAIN)


def run_days(
    pipeline: Pipeline, first: str, last: str, api: AirflowApi, say: Callable[[str], None], *, train: bool
) -> bool:
    """Run each day from `first` to `last` on which the pipeline is due, then train as of the last; whether all came to its end.

    What is published already is left as it is.

    Raises:
        StackError: Airflow does not answer, a DAG that is needed is paused, or a run does not end.
    """
    days = [day_of(day) for day in schedule.run_days(pipeline, date_of(first), date_of(last))]
    if not days:
        say(f"{pipeline.pipeline} is not due on any day from {first} to {last}.")
        return False
    needed = [stage for stage in _STAGES if stage in pipeline.stages] + [_TRAIN] * train
    for stage in needed:
        _require_unpaused(f"{pipeline.pipeline}_{stage}", api)
    for number, day in enumerate(days, 1):
        say(f"{day} ({number} of {len(days)})")
        if not _Day(pipeline, day, api, say).run():
            if rest := days[number:]:
                say(f"Not run, because they look back on {day}: {', '.join(rest)}.")
            return False
    return _train(pipeline, days[-1], api, say) if train else True


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
        """Start what is to be started until nothing is left that a run could do; whether the day is complete."""
        if not self._items():
            self.say("  Nothing is due on it yet.")
            return False
        earlier = {run["dag_run_id"] for run in self._runs()}
        started: list[str] = []
        while stage := self._next_stage(patience=_EVENT_SECONDS if started else 0):
            if stage in started:
                self.say(f"  {self.pipeline.pipeline}_{stage} has ended, and is not done.")
                break
            started.append(stage)
            self.api.trigger(f"{self.pipeline.pipeline}_{stage}", partition=self.day)
            self.say(f"  {self.pipeline.pipeline}_{stage} is started")
        for run in self._runs():
            if run["state"] == "failed" and run["dag_run_id"] not in earlier:
                self.say(f"  {run['dag_id']} failed.\n{self.api.failures(run['dag_id'], run['dag_run_id'])}")
        left = [item for item in self._items() if not item.is_done]
        for item in left:
            self.say(f"  {item.sentence()}")
        if any(item.state == "held" for item in left):
            self.say(f"  What was wrong, and how it goes on: sluice held {self.pipeline.pipeline}")
        return not left

    def _next_stage(self, *, patience: float) -> str:
        """The stage that could go on and that no event starts, when no run of the day is at work; "" where nothing is left."""
        idle_since: float | None = None

        def asked() -> str | None:
            nonlocal idle_since
            if any(run["state"] not in FINAL for run in self._runs()):
                idle_since = None
                self._items()
                return None
            possible = [item.stage for item in self._items() if item.is_possible]
            idle_since = time.monotonic() if idle_since is None else idle_since
            if possible and time.monotonic() - idle_since < patience:
                return None
            return possible[0] if possible else ""

        return self.api.until(asked, f"{self.pipeline.pipeline} {self.day}", _LONGEST)

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
        stages = [stage for stage in _STAGES if stage in self.pipeline.stages]
        return [
            run
            for stage in stages
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
        if entry.seq > since and entry.kind in ("promoted", "refused"):
            say(f"  Version {entry.record.version} is {entry.kind}: {' '.join(entry.record.reasons)}")
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
