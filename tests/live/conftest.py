"""A live `flights` in a real Airflow, on a clock that the test sets: days pass when the test says so."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sluice import status
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.lake import tables
from sluice.local import stack
from sluice.local.api import AirflowApi
from sluice_lab import feed
from sluice_lab.rehearsal import healthy
from sluice_lab.rehearsal.bench import free_ports

STARTS = "2013-04-01"
# Only the test triggers what a clock would: of Airflow's own the days would not pass.
_NEVER = '"0 0 29 2 *"'
# What an event starts is there within a few loops of the scheduler; after these seconds without a run, none comes of it.
_EVENT_SECONDS = 15.0
# Looks of the pipeline, each five minutes after the last, that it may take for all that can be done.
_LOOKS = 24


def _system_now() -> str:
    return datetime.now(UTC).isoformat()


def set_clock(file: Path, text: str) -> None:
    """Set the clock to a local time of New York."""
    now = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York"))
    part = file.with_suffix(".part")
    part.write_text(now.isoformat())
    part.replace(file)


@contextmanager
def installation(base: Path, **variables: str) -> Iterator[None]:
    """An installation of its own in an empty folder, with a live `flights`; its clock is the file `clock` in it."""
    (base / "pipelines").mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    line = "clock: feed\n"
    assert text.count(line) == 1
    live = f"clock: wall\nstarts: {STARTS}\n" + "".join(
        f"{name}_schedule: {_NEVER}\n" for name in ("reconcile", "watch", "maintain")
    )
    (base / "pipelines" / "flights.yml").write_text(text.replace(line, live))
    set_clock(base / "clock", f"{STARTS} 00:00")
    own = {
        "SLUICE_HOME": str(base / "home"),
        "SLUICE_PIPELINES": str(base / "pipelines"),
        "SLUICE_CLOCK": str(base / "clock"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**own, **variables}.items():
            patch.setenv(name, value)
        settings.cache_clear()
        try:
            (settings().home / "landing").mkdir()
            yield
        finally:
            settings.cache_clear()


@dataclass(frozen=True)
class World:
    """A live pipeline as its operator sees it, and the clock that all of it goes by."""

    api: AirflowApi
    pipeline: spec.Pipeline
    clock_file: Path
    mail: Path
    # Since when, by the system's clock, there is this pipeline: runs before it are of one that was forgotten.
    since: list[str] = field(default_factory=lambda: [_system_now()])
    # Stages whose DAG is paused.
    paused: set[str] = field(default_factory=set)

    def at(self, text: str) -> None:
        """Set the clock to a local time of New York."""
        set_clock(self.clock_file, text)

    def not_before(self, text: str) -> None:
        """Set the clock to a local time of New York, unless it is later already."""
        if pipeline_clock.now(self.pipeline).strftime("%Y-%m-%d %H:%M") < text:
            self.at(text)

    def later(self, *, minutes: float) -> None:
        """Set the clock forward."""
        self.at((pipeline_clock.now(self.pipeline) + timedelta(minutes=minutes)).strftime("%Y-%m-%d %H:%M"))

    def deliver(self, run_day: str, *sources: str, **how) -> None:
        feed.deliver(self.pipeline, run_day, sources=list(sources) or None, **how)

    def run(self, stage: str, **trigger) -> dict:
        """Trigger a DAG, wait for its end, and return the run with its final `state`."""
        run = self.api.trigger(f"flights_{stage}", **trigger)
        run["state"] = self.api.wait_for_run(f"flights_{stage}", run["dag_run_id"], seconds=300)
        assert run["state"] == "success", self.api.failures(f"flights_{stage}", run["dag_run_id"])
        return run

    def reconcile(self) -> None:
        """Let the pipeline look once, and wait for the end of all that it starts; not of what waits for a delivery."""
        self.run("reconcile")
        self.settle()

    def settle(self) -> None:
        """Wait until all that can be done is done, and no run is at work; one that waits for a delivery is not.

        Where something is left and no run does it, the pipeline looks again five minutes later, as its schedule would have it.
        """
        for _ in range(_LOOKS):
            if not (left := self.left()):
                return
            self.later(minutes=5)
            self.run("reconcile")
        raise AssertionError(f"After {_LOOKS} looks this is left: {left}")

    def left(self) -> list[str]:
        """Wait until no run is at work, nor about to be, and say what could still be done."""
        idle_since = 0.0

        def left() -> list[str] | None:
            nonlocal idle_since
            if any(not self.api.is_deferred(*run.split(" ", 1)) for run in self.api.active_runs()):
                idle_since = 0.0
                return None
            found = [
                item.sentence()
                for item in status.of(self.pipeline)
                if item.is_possible and item.stage not in self.paused
            ]
            idle_since = idle_since or time.monotonic()
            return found if not found or time.monotonic() - idle_since > _EVENT_SECONDS else None

        return self.api.until(left, "the end of all runs", 600)

    def waiting(self) -> list[str]:
        """Tasks that wait in the triggerer."""
        return [
            task["task_id"]
            for run in self.api.active_runs()
            for task in self.api.tasks(*run.split(" ", 1))
            if task["state"] == "deferred"
        ]

    def runs(self, stage: str) -> list[dict]:
        """Runs of a stage, oldest first."""
        return [run for run in self.api.runs(f"flights_{stage}") if run["run_after"] >= self.since[-1]]

    def published(self, table: str, day: str) -> bool:
        return bool(tables.published("flights", table, day, day))

    def subjects(self) -> list[str]:
        """Of all mails but digests, oldest first."""
        paths = sorted(self.mail.glob("*.eml"))
        mails: list[EmailMessage] = [message_from_bytes(p.read_bytes(), policy=policy.default) for p in paths]  # type: ignore[misc]
        return [subject for mail in mails if "[DIGEST]" not in (subject := str(mail["Subject"]))]

    def ended(self, stage: str, run_day: str) -> None:
        """Wait until a stage's run of a day has ended."""
        self.api.wait_for_partition(f"flights_{stage}", run_day, since="", seconds=300)

    def pause(self, stage: str) -> None:
        self.api.set_paused(f"flights_{stage}", paused=True)
        self.paused.add(stage)

    def unpause(self, stage: str) -> None:
        self.api.set_paused(f"flights_{stage}", paused=False)
        self.paused.discard(stage)

    def clear(self, run: dict) -> None:
        """Clear all tasks of a run, as its button does."""
        path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/clear"
        self.api.request("POST", path, json={"dry_run": False, "only_failed": False})

    def mark(self, run: dict, state: str) -> None:
        """Mark a run, as its button does."""
        self.api.request("PATCH", f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}", json={"state": state})

    def delete(self, run: dict) -> None:
        """Delete a run, as an operator does: one that has not ended is marked as failed first."""
        self.mark(run, "failed")
        path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}"
        self.api.request("DELETE", path, accept=(204,))

    def forget(self) -> None:
        """Let everything that was done be forgotten, but for Airflow's own."""
        for run in self.api.active_runs():
            dag_id, _, run_id = run.partition(" ")
            self.delete({"dag_id": dag_id, "dag_run_id": run_id})
        for path in settings().home.iterdir():
            if path.name not in (*healthy.KEPT, "landing"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        # The mail server writes into its folder; where there is none it takes no mail.
        self.mail.mkdir()
        for path in Path(self.pipeline.landing_url).iterdir():
            shutil.rmtree(path)
        self.since.append(_system_now())


@pytest.fixture(scope="package")
def _world(tmp_path_factory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("live")
    variables = {
        "SLUICE_API_PORT": str(free_ports(2)),
        "SLUICE_SMTP_PORT": str(free_ports(1)),
        "SLUICE_RETRY_SECONDS": "1",
        "SLUICE_LANDING_SECONDS": "0.5",
        "SLUICE_MAIL_WINDOW_MINUTES": "0",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
        # A task whose process died with its scheduler is noticed within seconds, instead of minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    }
    with installation(base, **variables):
        try:
            stack.up()
            yield World(stack.client(), spec.load("flights"), base / "clock", settings().mail)
        finally:
            stack.down()
            shutil.rmtree(settings().home / "airflow", ignore_errors=True)


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    """The running pipeline, at its beginning; this process sees the same home and clock as its tasks do."""
    yield _world
    _world.forget()
