"""A client of Airflow's public REST API: what the demo and `sluice up` need of it, as a person would use the UI."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx

from sluice.core import dag_ids, retry
from sluice.core.errors import StackError
from sluice.declare.spec import broken_pipelines, load_all

FINAL = ("success", "failed")
# States of a task that a worker has or is about to get.
_AT_WORK = {"queued", "running", "scheduled", "up_for_retry", "restarting"}
# A worker's end reaches the scheduler within its next loops, of a fraction of a second each.
_CLEARLY_AFTER = timedelta(seconds=3)


# Marks of Airflow's log view, where a group of lines begins and ends.
_LOG_GROUP = ("::group::", "::endgroup::")


class ApiSilentError(StackError):
    """Airflow's API server did not answer, or not in time."""


class AirflowApi:
    """Logged in to one Airflow. Every method raises `StackError` where Airflow refuses or does not answer."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url, self._user, self._password = url, user, password
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def unhealthy(self) -> list[str]:
        """Components that do not report to be healthy; the API server itself while it does not answer."""
        try:
            response = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return ["api-server"]
        if response.status_code != 200:
            return ["api-server"]
        body = response.json()
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return [part for part in parts if body[part]["status"] != "healthy"]

    def missing_dags(self) -> list[str]:
        """Ids of DAGs that a pipeline declares and Airflow does not know yet; the API server itself while it does not answer.

        Import errors are raised.
        """
        try:
            return self._missing_dags()
        except ApiSilentError:
            return ["api-server"]

    def _missing_dags(self) -> list[str]:
        errors = self._get("/importErrors")["import_errors"]
        if errors:
            raise StackError(
                f"Airflow cannot import {errors[0]['filename']}: {errors[0]['stack_trace'].strip()[-600:]}",
                todo="correct it; `sluice check` says more",
            )
        known = {dag["dag_id"] for dag in self._all("/dags", "dags", order_by="dag_id")}
        declared = [
            dag_id for each in load_all() for dag_id in dag_ids.of_pipeline(each.pipeline, each.stages)
        ]
        broken = [dag_ids.of_broken(each.pipeline) for each in broken_pipelines()]
        return [dag_id for dag_id in (*declared, *broken, *dag_ids.PLATFORM_DAGS) if dag_id not in known]

    def ensure_pool(self, name: str, slots: int) -> None:
        if self.request("GET", f"/pools/{name}", accept=(200, 404)).status_code == 404:
            self.request("POST", "/pools", json={"name": name, "slots": slots}, accept=(201,))

    def trigger(
        self, dag_id: str, *, partition: str | None = None, conf: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Start a run; returns it, with its `dag_run_id` and `run_after`."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if partition:
            body["partition_key"] = partition
        return self.request("POST", f"/dags/{dag_id}/dagRuns", json=body, accept=(200,)).json()

    def wake(self, asset: str, partition: str) -> None:
        """Let an event of an asset happen, as the stage before does: it starts the runs that the asset wakes."""
        (known,) = (
            each for each in self._all("/assets", "assets", name_pattern=asset) if each["name"] == asset
        )
        self.request("POST", "/assets/events", json={"asset_id": known["id"], "partition_key": partition})

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """A paused DAG is not woken by events, and events that it misses so do not wake it later."""
        self.request("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def is_paused(self, dag_id: str) -> bool:
        return self._get(f"/dags/{dag_id}")["is_paused"]

    def active_runs(self) -> list[str]:
        """Runs of any DAG that have not ended, as `<dag_id> <run_id>`."""
        found = self._all("/dags/~/dagRuns", "dag_runs", state=["queued", "running"])
        return [f"{run['dag_id']} {run['dag_run_id']}" for run in found]

    def recent_runs(self) -> list[str]:
        """Ids of the newest hundred runs of any DAG."""
        newest = [("order_by", "-run_after"), ("limit", "100")]
        return [
            run["dag_run_id"]
            for run in self.request("GET", "/dags/~/dagRuns", params=newest).json()["dag_runs"]
        ]

    def runs(self, dag_id: str, *, partition: str | None = None) -> list[dict[str, Any]]:
        """Runs of a DAG, oldest first."""
        found = self._all(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="run_after")
        return [run for run in found if partition is None or run["partition_key"] == partition]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return self._all(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")

    def is_deferred(self, dag_id: str, run_id: str) -> bool:
        """Whether a run waits in the triggerer, as for a delivery, and no task of it is at work or about to be."""
        states = {task["state"] for task in self.tasks(dag_id, run_id)}
        return "deferred" in states and not states & _AT_WORK

    def failures(self, dag_id: str, run_id: str, *, lines: int = 15) -> str:
        """What the failed tasks of a run logged last, so many records each, for a person to read; empty if none failed."""
        return "\n".join(
            f"{dag_id}.{task['task_id']}, try {task['try_number']}:\n{self._log_end(dag_id, run_id, task, lines)}"
            for task in self.tasks(dag_id, run_id)
            if task["state"] == "failed"
        )

    def wait_for_run(self, dag_id: str, run_id: str, *, seconds: float = 900) -> str:
        """Wait until a run has ended; returns `success` or `failed`."""

        def state() -> str | None:
            found = self._get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
            return found if found in FINAL else None

        return self.until(state, f"{dag_id} {run_id}", seconds, at=lambda: self._at(dag_id, run_id))

    def wait_for_partition(
        self, dag_id: str, partition: str, *, since: str, seconds: float = 900
    ) -> dict[str, Any]:
        """Wait until a run of a partition that was created at or after `since` (ISO instant) has ended."""

        def ended() -> dict[str, Any] | None:
            runs = [run for run in self.runs(dag_id, partition=partition) if run["run_after"] >= since]
            return runs[-1] if runs and runs[-1]["state"] in FINAL else None

        return self.until(ended, f"{dag_id} for {partition}", seconds)

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, state: str, *, seconds: float = 300
    ) -> dict[str, Any]:
        """Wait until a task of a run is in a state, such as `awaiting_input`; an ended run is waited for no longer."""

        def reached() -> dict[str, Any] | None:
            ended = self._get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"] in FINAL
            found = next(task for task in self.tasks(dag_id, run_id) if task["task_id"] == task_id)
            if ended and found["state"] != state:
                raise StackError(
                    f"{dag_id}.{task_id} ended as {found['state']}, not {state}.",
                    where=run_id,
                    todo=self.failures(dag_id, run_id) or "look at it in the UI",
                )
            return found if found["state"] == state else None

        return self.until(reached, f"{dag_id}.{task_id} {run_id}", seconds)

    def answer(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        option: str,
        *,
        form: Mapping[str, Any] | None = None,
        seconds: float = 300,
    ) -> dict[str, Any]:
        """Answer a task that waits for a person, as the user who is logged in; returns the task when it has ended.

        Airflow 3.3 fails a try that is answered before its scheduler has seen that it waits, and then asks again. So this
        answers as late as a person would, and again where it is asked again.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"

        def ended() -> dict[str, Any] | None:
            found = next(task for task in self.tasks(dag_id, run_id) if task["task_id"] == task_id)
            asked = self._get(path) if found["state"] == "awaiting_input" else None
            if asked and not asked["response_received"] and self._scheduler_is_past(asked["created_at"]):
                said = {"chosen_options": [option], "params_input": {**(form or {})}}
                self.request("PATCH", path, json=said, accept=(200, 409))
            return found if found["state"] in (*FINAL, "skipped") else None

        return self.until(ended, f"{dag_id}.{task_id} {run_id}", seconds)

    def _scheduler_is_past(self, instant: str) -> bool:
        """Whether the scheduler has shown a sign of life clearly after an ISO instant."""
        heartbeat = self._get("/monitor/health")["scheduler"]["latest_scheduler_heartbeat"]
        return datetime.fromisoformat(heartbeat) - datetime.fromisoformat(instant) > _CLEARLY_AFTER

    def _log_end(self, dag_id: str, run_id: str, task: dict[str, Any], lines: int) -> str:
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        records = self._get(path, full_content="true")["content"]
        return "\n".join(line for record in records[-lines:] for line in _log_lines(record))

    def _at(self, dag_id: str, run_id: str) -> str:
        """What the tasks of a run that have begun and not ended are at, for a person to read."""
        at = [
            f"{task['task_id']} {task['state']} (try {task['try_number']})"
            for task in self.tasks(dag_id, run_id)
            if task["state"] not in (None, *FINAL, "skipped", "upstream_failed")
        ]
        return f" It is at: {', '.join(at) or 'no task'}."

    def until(
        self, answer, what: str, seconds: float, *, at: Callable[[], str] = lambda: "", pause: float = 0.3
    ):
        """Ask until there is an answer, for so many seconds; `at` says what is waited for where there is none."""
        return retry.until(
            answer,
            seconds=seconds,
            otherwise=lambda: StackError(
                f"{what} has not ended after {seconds:.0f} s.{at()}",
                where=self.url,
                todo="look at it in the UI",
            ),
            pause=pause,
        )

    def _all(self, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
        """Every entry of a list; Airflow gives at most a hundred at a time, however many are asked for."""
        found: list[dict[str, Any]] = []
        while True:
            body = self._get(path, limit=100, offset=len(found), **params)
            found += body[name]
            if not body[name] or len(found) >= body["total_entries"]:
                return found

    def _get(self, path: str, **params: Any) -> dict[str, Any]:
        return self.request("GET", path, params=params).json()

    def request(
        self, method: str, path: str, *, accept: tuple[int, ...] = (200,), **kwargs
    ) -> httpx.Response:
        try:
            response = self._answer(method, f"/api/v2{path}", **kwargs)
        except httpx.TransportError as error:
            raise ApiSilentError(
                f"Airflow did not answer to {method} {path}: {error!r}",
                where=self.url,
                todo="look whether its API server runs and has something to do, and try again",
            ) from error
        if response.status_code not in accept:
            raise StackError(
                f"Airflow answered {response.status_code} to {method} {path}: {response.text[:400]}",
                where=self.url,
            )
        return response

    def _answer(self, method: str, path: str, **kwargs) -> httpx.Response:
        if "Authorization" not in self._http.headers:
            self._log_in()
        response = self._http.request(method, path, **kwargs)
        if response.status_code == 401:
            self._log_in()
            response = self._http.request(method, path, **kwargs)
        return response

    def _log_in(self) -> None:
        response = self._http.post("/auth/token", json={"username": self._user, "password": self._password})
        if response.status_code not in (200, 201):
            raise StackError(
                f"Airflow refused the login of {self._user!r}: {response.text[:200]}", where=self.url
            )
        self._http.headers["Authorization"] = f"Bearer {response.json()['access_token']}"


def _log_lines(record: dict[str, Any] | str) -> list[str]:
    """What a person reads of one record of a task's log: its text, and the error that it is about."""
    if isinstance(record, str):
        return [record]
    text = record["event"]
    errors = [f"{one['exc_type']}: {one['exc_value']}" for one in record.get("error_detail") or ()]
    return [] if text.startswith(_LOG_GROUP) else [*text.splitlines(), *errors]
