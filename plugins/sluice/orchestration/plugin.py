"""The Airflow plugin: registers the evidence pages and the scheduler's listener.

Every Airflow process imports it, the ones that run a task included, so it imports nothing heavy: the web application
is built when the API server asks for it, and libraries are preloaded in the scheduler only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from sluice.core.links import PREFIX, ROUTE

if TYPE_CHECKING:
    from sluice.web.reports import Card


# What a run day has come to: the outcome that has its colour, and in words.
_MARKS = {"done": ("PASS", "done"), "open": ("WARN", "not done yet"), "held": ("HOLD", "held or missing")}


class SchedulerStart:
    """Listener that imports the heavy libraries once, before the scheduler's LocalExecutor forks its workers."""

    @hookimpl
    def on_starting(self, component: Any) -> None:
        """Preload in the scheduler; do nothing in any other component or in a task.

        Airflow calls this while it makes the component's Job, before it tells the Job what type it is: the command is
        all that says so. A task forked from the scheduler has its command, but passes no Job.
        """
        if type(component).__name__ == "Job" and sys.argv[1:2] == ["scheduler"]:
            from sluice.orchestration.preload import preload

            preload()


class SluicePlugin(AirflowPlugin):
    """Sluice inside the Airflow UI."""

    name = "sluice"
    listeners = [SchedulerStart()]
    external_views = [
        # The address is relative to the UI's base, which may be under a path.
        {
            "name": "Evidence",
            "href": f"{PREFIX.lstrip('/')}/",
            "destination": "nav",
            "url_route": ROUTE,
            "nav_top_level": True,
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # Airflow only reads it
        """The evidence pages: those of a pipeline for whoever may read all of its DAGs."""
        from sluice.orchestration.access import UserRuns, reader
        from sluice.web.reports import create_app

        app = create_app(reader=reader, runs=UserRuns, undelivered=_undelivered, today=_today)
        return [{"app": app, "url_prefix": PREFIX, "name": "Sluice evidence"}]


def _today(pipeline: str) -> Card | None:
    """How a pipeline stands now; None of one that is not declared. Imported when the index is asked for."""
    from sluice.declare import spec
    from sluice.status import today
    from sluice.web.reports import Card

    if pipeline not in spec.pipeline_names():
        return None
    found = today.read(spec.load(pipeline))
    return Card(
        outcome={"fit": "PASS", "reservations": "WARN", "not_made": "HOLD"}[found.fitness],
        sentence=found.sentence,
        reasons=found.reasons,
        facts=today.facts(found),
        strip=[(day, *_MARKS[mark]) for day, mark in found.strip],
    )


def _undelivered(may_read: Callable[[str], bool]) -> list[str]:
    """The mails of some pipelines that no server has taken yet; imported when the index is asked for."""
    from sluice.notify import faults

    names = {entry.pipeline for entry in faults.undelivered()}
    return [line for name in sorted(filter(may_read, names)) for line in faults.undelivered_lines(name)]
