"""The evidence pages in a real Airflow, in a real browser, behind Airflow's own login."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from playwright.sync_api import expect

from sluice import ledger
from sluice.core.links import evidence_url
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import records
from tests.web.test_held import hold, sent, unmarked

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

HELD = "flights/gates/arrivals/2013-04-03/20130404T080000000000-cccccc.html"
PASSWORD = "only-for-this-test"
AIRFLOW = str(Path(sys.executable).with_name("airflow"))


@dataclass(frozen=True)
class Server:
    url: str

    def get(
        self,
        path: str,
        token: str = "",
        *,
        body: bytes | None = None,
        method: str | None = None,
        **headers: str,
    ) -> tuple[int, str]:
        """As a browser asks; with a `body` it sends that."""
        if token:
            headers["Cookie"] = f"_token={token}"
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def token(self, user: str = "admin") -> str:
        body = json.dumps({"username": user, "password": PASSWORD}).encode()
        request = urllib.request.Request(
            f"{self.url}/auth/token", body, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)["access_token"]


@contextmanager
def running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """A process in a group of its own, which is ended as a whole."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(condition, *, process: subprocess.Popen, log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"it ended: {log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"it is not ready: {log.read_text()[-3000:]}"
        time.sleep(0.2)  # how often to ask; what is waited for is the condition


@pytest.fixture
def installation(tmp_path) -> dict[str, str]:
    """The environment of an Airflow with a migrated database, this repository's plugin and one user."""
    airflow_home = tmp_path / "airflow"
    (airflow_home / "dags").mkdir(parents=True)
    passwords = airflow_home / "simple_auth_manager_passwords.json.generated"
    passwords.write_text(json.dumps(dict.fromkeys(("admin", "flights", "trains"), PASSWORD)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(airflow_home / "dags"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,flights:viewer",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home}/airflow.db",
    }
    subprocess.run([AIRFLOW, "db", "migrate"], env=environment, check=True, capture_output=True, timeout=180)
    return environment


@pytest.fixture(params=["", pytest.param("/flow", marks=pytest.mark.long)], ids=["at_root", "under_a_path"])
def airflow(request, home, reports, installation, tmp_path, monkeypatch):
    """Airflow's API server on a free port."""
    with api_server(installation, home, tmp_path, path=request.param) as server:
        monkeypatch.setenv("SLUICE_UI_URL", server.url)
        settings.cache_clear()
        yield server


@contextmanager
def api_server(
    installation: dict[str, str], home: Path, tmp_path: Path, *, path: str = ""
) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}{path}")
    environment = installation | {"SLUICE_HOME": str(home), "AIRFLOW__API__BASE_URL": server.url}
    log = tmp_path / "api-server.log"
    command = [AIRFLOW, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]

    def answers() -> bool:
        try:
            return server.get("/api/v2/monitor/health")[0] == 200
        except OSError:
            return False

    with running(command, environment, log) as process:
        wait_for(answers, process=process, log=log)
        yield server


def test_evidence_in_airflow_needs_its_login_and_works_with_it(airflow, page):
    # Nobody gets in without Airflow's login, with a forged one, or past the index.
    for path in ("/evidence/", "/evidence/flights", f"/evidence/{HELD}", f"/evidence/-/{HELD}"):
        assert airflow.get(path)[0] == 401, path
        assert airflow.get(path, "forged")[0] in (401, 403), path
    token = airflow.token()
    assert "2013-04-03" in airflow.get("/evidence/", token)[1]
    assert "arrivals HOLD" in airflow.get(f"/evidence/-/{HELD}", token)[1]
    assert airflow.get("/evidence/-/../airflow/airflow.cfg", token)[0] == 404

    # A link in a mail leads through the login form to the page itself.
    page.goto(evidence_url(HELD))
    page.locator("input[name=username]").fill("admin")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    outer = page.frame_locator("iframe[title=Evidence]")
    report = outer.frame_locator("iframe")
    # The report's scripts run, in an origin of their own that reaches nothing.
    told = report.locator("#told")
    told.get_by_text("opaque blocked arrivals HOLD").wait_for(timeout=60_000)

    # From the page to the index, and from there to another page, inside Airflow all the time.
    outer.get_by_role("link", name="Evidence", exact=True).click()
    outer.get_by_role("heading", name="Evidence").wait_for()
    row = outer.get_by_role("row").filter(has=outer.get_by_role("rowheader", name="2013-04-03"))
    assert [name.strip() for name in row.get_by_role("link").all_inner_texts()] == ["PASS", "HOLD", "WARN"]
    row.get_by_role("link", name="WARN").click()
    told.get_by_text("opaque blocked weather WARN").wait_for()
    assert page.url.startswith(f"{airflow.url}/plugin/evidence/")
    page.wait_for_url(re.compile("weather/2013-04-03"))

    # In a monitored day the links to Evidently's reports and to their JSON work.
    page.goto(evidence_url("flights/monitor/2013-04-02/index.html"))
    report.get_by_role("link", name="Data drift").click()
    told.get_by_text("opaque blocked drift").wait_for()
    page.wait_for_url(re.compile("2013-04-02/drift.html"))
    page.go_back()
    with page.expect_download() as downloaded:
        report.get_by_role("link", name="JSON").nth(1).click()
    assert json.loads(downloaded.value.path().read_text()) == {"report": "summary"}

    # The browser's own way back, a reload, and the entry in Airflow's navigation.
    page.go_back()
    page.go_back()
    told.get_by_text("opaque blocked weather WARN").wait_for()
    page.reload()
    told.get_by_text("opaque blocked weather WARN").wait_for()
    page.goto(airflow.url)
    page.get_by_role("link", name="Evidence").click()
    outer.get_by_role("heading", name="Evidence").wait_for()


def test_evidence_of_a_pipeline_needs_the_right_to_read_its_dags(home, reports, installation, tmp_path):
    """With an auth manager that limits users to DAGs: Airflow's own, as `limited_auth` narrows it."""
    trains = "trains/gates/stops/2013-04-03/20130404T080000000000-ffffff.html"
    (reports / trains).parent.mkdir(parents=True)
    (reports / trains).write_text("rows of trains")
    limits = {
        "AIRFLOW__CORE__AUTH_MANAGER": "limited_auth.LimitedAuthManager",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    with api_server(installation | limits, home, tmp_path) as server:
        admin, user = server.token(), server.token("flights")
        for path in ("/evidence/trains", f"/evidence/{trains}", f"/evidence/-/{trains}"):
            assert server.get(path, admin)[0] == 200, path
            assert server.get(path, user)[0] == 404, path
        for path in ("/evidence/flights", f"/evidence/{HELD}", f"/evidence/-/{HELD}"):
            assert server.get(path, user)[0] == 200, path
        assert "trains" in server.get("/evidence/", admin)[1]
        status, index = server.get("/evidence/", user)
        assert (status, "2013-04-03" in index, "trains" in index) == (200, True, False)


def test_replay_from_a_page_is_a_run_of_airflow_by_the_user_who_is_logged_in(
    home, reports, installation, tmp_path, page
):
    """With Airflow's own login, rights, forms and database; its DAGs are ours, and nothing runs them here."""
    pipeline_clock.advance(spec.load("flights"), date(2013, 4, 3))
    hold("flights", "2013-04-02", "180 of 983 rows are wrong.")
    environment = installation | {
        "SLUICE_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__AUTH_MANAGER": "limited_auth.LimitedAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,flights:viewer,trains:admin",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    subprocess.run([AIRFLOW, "dags", "reserialize"], env=environment, check=True, timeout=300)
    form, runs = "/evidence/_/replay/flights/arrivals/2013-04-02", "/api/v2/dags/flights_replay/dagRuns"
    own = {"Sec-Fetch-Site": "same-origin"}
    with api_server(environment, home, tmp_path) as server:
        admin, viewer, other = (server.token(user) for user in ("admin", "flights", "trains"))

        assert server.get(form, body=b"", **own)[0] == 401
        assert "180 of 983 rows are wrong." not in server.get("/evidence/_/held", other)[1]
        assert server.get(form, other, body=b"", **own)[0] == 404
        for path in ("/evidence/_/held", form):
            status, shown = server.get(path, viewer)
            assert (status, "180 of 983 rows are wrong." in shown) == (200, True)
            assert "may not start runs of flights_replay" in shown
        assert server.get(form, viewer, body=b"", **own)[0] == 403
        assert server.get(form, admin, body=b"", Origin="https://evil.example")[0] == 403

        fields = sent(server.get(form, admin)[1]).encode()
        unpause = {"body": b'{"is_paused": false}', "method": "PATCH", "Content-Type": "application/json"}
        for dag_id in ("flights_replay", "flights_ingest"):
            status, paused = server.get(form, admin, body=fields, **own)
            assert (status, f"{dag_id} is paused" in paused) == (400, True)
            assert server.get(f"/api/v2/dags/{dag_id}", admin, **unpause)[0] == 200
        assert json.loads(server.get(runs, admin)[1])["dag_runs"] == []

        status, started = server.get(form, admin, body=fields, **own)

        assert status == 200, started
        (run,) = json.loads(server.get(runs, admin)[1])["dag_runs"]
        assert run["conf"] == {"table": "arrivals", "day": "2013-04-02", "batch": "b", "overdue": "0"}
        assert (run["triggering_user_name"], run["triggered_by"]) == ("admin", "ui")
        assert f"/dags/flights_replay/runs/{quote(run['dag_run_id'], safe='')}" in started
        status, again = server.get(form, admin, body=fields, **own)
        assert (status, "flights_replay was asked for already" in again) == (409, True)
        assert f"/dags/flights_replay/runs/{quote(run['dag_run_id'], safe='')}" in again
        assert len(json.loads(server.get(runs, admin)[1])["dag_runs"]) == 1
        status, refused = server.get(form.replace("arrivals", "features"), admin, body=fields, **own)
        assert (status, "Nothing of flights.features 2013-04-02 is held." in unmarked(refused)) == (400, True)

        # After another decision about it, it can be asked for again.
        done = {"repaired": 0, "still_held": 983, "expired": 0, "reason": "", "kind": "held", "batch_id": "b"}
        ledger.append(
            records.Replayed(**done), pipeline="flights", subject="arrivals", partition="2013-04-02"
        )
        # In Airflow's UI, whose sandbox a form has to leave and a link has to get out of; in its theme.
        page.goto(f"{server.url}/plugin/evidence{form}")
        page.locator("input[name=username]").fill("admin")
        page.locator("input[name=password]").fill(PASSWORD)
        page.locator("button[type=submit]").click()
        inside = page.frame_locator("iframe[title=Evidence]")
        inside.get_by_role("button", name="Replay").click(timeout=120_000)
        inside.get_by_role("heading", name="flights_replay was started").wait_for(timeout=120_000)
        newest = max(json.loads(server.get(runs, admin)[1])["dag_runs"], key=lambda one: one["run_after"])
        assert (newest["triggering_user_name"], newest["dag_run_id"] != run["dag_run_id"]) == ("admin", True)
        for theme in ("dark", "light"):
            page.evaluate("theme => { document.documentElement.className = theme }", theme)
            shown = inside.locator("html")
            expect(shown).to_have_css("color-scheme", theme)
        inside.get_by_role("link", name="The run").click()
        page.wait_for_url(re.compile("/dags/flights_replay/runs/"), timeout=120_000)
        assert unquote(page.url).endswith(newest["dag_run_id"])
        page.get_by_text("report_replay").first.wait_for(timeout=120_000)


@pytest.mark.long
def test_scheduler_preloads_before_it_works_and_other_components_do_not(installation, tmp_path):
    for component, preloads in (("scheduler", True), ("dag-processor", False)):
        log = tmp_path / f"{component}.log"
        with running([AIRFLOW, component, "--num-runs", "1"], installation, log) as process:
            process.wait(240)

        assert ("Preloaded" in log.read_text()) == preloads, log.read_text()[-3000:]


def test_plugin_loader_imports_one_module_and_nothing_heavy(tmp_path):
    code = """
import json, sys
from airflow.plugins_manager import _get_plugins
plugins, errors = _get_plugins()
print(json.dumps([[p.name for p in plugins], errors, sorted(sys.modules)]))
"""
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=120
    )

    names, errors, modules = json.loads(done.stdout.splitlines()[-1])
    assert "sluice" in names
    assert errors == {}
    # Files of the package, under the bare names that the loader gives to what it is not told to ignore.
    assert {"crossing", "errors", "events", "spec"} & set(modules) == set()
    ours = ("sluice.web.", "sluice.notify", "sluice.orchestration.")
    assert [name for name in modules if name.startswith(ours)] == ["sluice.orchestration.plugin"]
    assert {"fastapi", "pandas", "pyarrow", "duckdb", "mlflow"} & set(modules) == set()
