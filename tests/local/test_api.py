"""The client of Airflow's REST API, against a server that gives its lists in pages, as Airflow does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from sluice.core.errors import StackError
from sluice.local.api import AirflowApi

# Airflow's `[api] maximum_page_limit`, whatever is asked for.
PAGE = 100
RUNS = [{"dag_run_id": f"run {number}", "dag_id": "d", "partition_key": str(number)} for number in range(250)]


LOG = [
    {"timestamp": "2013-04-02T04:00:00Z", "event": "::group::Post Execute", "level": "info"},
    {"event": "HOLD: arrivals were not published.\nNext: read the evidence", "level": "error", "lineno": 80},
    {"event": "Task failed", "error_detail": [{"exc_type": "BatchHeldError", "exc_value": "983 rows"}]},
]


class _Server(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self._answer(201, {"access_token": "token"})

    def do_GET(self) -> None:
        asked = {
            name: int(found[0])
            for name, found in parse_qs(urlsplit(self.path).query).items()
            if name in ("limit", "offset")
        }
        if "/logs/" in self.path:
            self._answer(200, {"content": LOG})
            return
        if self.path.startswith("/api/v2/dags/held/dagRuns/"):
            tasks = [{"task_id": "audit", "try_number": 2, "state": "failed"}, {"state": "success"}]
            self._answer(200, {"task_instances": tasks, "total_entries": len(tasks)})
            return
        if self.path.startswith("/api/v2/dags/d/dagRuns/"):
            states = [{"state": state} for state in urlsplit(self.path).path.split("/")[-2].split(",")]
            self._answer(200, {"task_instances": states, "total_entries": len(states)})
            return
        first = asked.get("offset", 0)
        page = RUNS[first : first + min(asked.get("limit", 50), PAGE)]
        self._answer(200, {"dag_runs": page, "total_entries": len(RUNS)})

    def _answer(self, status: int, body: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def api() -> Iterator[AirflowApi]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "password")
        server.shutdown()
        thread.join()


def test_runs_beyond_the_first_page_are_found(api):
    assert [run["dag_run_id"] for run in api.runs("d")] == [run["dag_run_id"] for run in RUNS]
    assert [run["dag_run_id"] for run in api.runs("d", partition="249")] == ["run 249"]
    assert len(api.active_runs()) == len(RUNS)


def test_server_that_does_not_answer_is_asked_again_while_it_starts_and_an_error_for_whoever_needs_an_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    silent = AirflowApi(url, "admin", "password")
    assert silent.unhealthy() == silent.missing_dags() == ["api-server"]
    with pytest.raises(StackError, match="did not answer to GET /pools/sluice_heavy: ConnectError"):
        silent.ensure_pool("sluice_heavy", 2)


@pytest.mark.parametrize(
    ("states", "deferred"),
    [
        ("deferred,success", True),
        ("deferred,running", False),
        ("deferred,up_for_retry", False),
        ("success", False),
    ],
)
def test_run_is_deferred_while_a_task_waits_and_none_is_at_work(api, states, deferred):
    assert api.is_deferred("d", states) is deferred


def test_log_of_a_failed_task_is_told_as_a_person_reads_it(api):
    assert api.failures("held", "r").splitlines() == [
        "held.audit, try 2:",
        "HOLD: arrivals were not published.",
        "Next: read the evidence",
        "Task failed",
        "BatchHeldError: 983 rows",
    ]
