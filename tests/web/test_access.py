"""What a page makes of the answers of Airflow's API: `test_airflow.py` has the API itself, which answers so."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, HTTPException

from sluice.core.errors import RunRefusedError
from sluice.orchestration import access


@pytest.fixture
def api(monkeypatch):
    """An API with the DAGs and runs that a test gives it, in the place of the one that the process of Airflow serves."""
    app = FastAPI()
    app.paused, app.runs, app.breaks = set(), {}, None

    @app.get("/api/v2/dags/{dag_id}")
    def dag(dag_id: str):
        return {"is_paused": dag_id in app.paused}

    @app.get("/api/v2/dags/{dag_id}/dagRuns/{run_id}")
    def run(run_id: str):
        return {"state": app.runs[run_id]}

    @app.post("/api/v2/dags/{dag_id}/dagRuns")
    def trigger(body: dict):
        if app.breaks:
            raise app.breaks
        if body["dag_run_id"] in app.runs:
            raise HTTPException(409, "Unique constraint violation")
        app.runs[body["dag_run_id"]] = "queued"
        return body

    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.main", SimpleNamespace(app=app))
    manager = SimpleNamespace(generate_jwt=lambda user, expiration_time_in_seconds: "token")
    monkeypatch.setattr(access, "get_auth_manager", lambda: manager)
    return app


def start(again: str | None = "flights_ingest") -> tuple[str, bool]:
    runs = access.UserRuns(None)
    return asyncio.run(runs.start("flights_replay", {"day": "2013-04-02"}, run_id="page__1", again=again))


def test_run_that_was_asked_for_is_started_once_and_again_only_after_it_failed(api):
    assert start() == ("page__1__1", True)
    for state in ("queued", "running", "success"):
        api.runs["page__1__1"] = state
        assert start() == ("page__1__1", False), state
    api.runs["page__1__1"] = "failed"
    assert start() == ("page__1__2", True)
    assert start() == ("page__1__2", False)
    assert len(api.runs) == 2


@pytest.mark.parametrize("paused", ["flights_replay", "flights_ingest"])
def test_run_is_refused_where_its_dag_or_that_of_the_run_that_it_runs_again_is_paused(api, paused):
    api.paused.add(paused)
    with pytest.raises(RunRefusedError, match=f"^{paused} is paused"):
        start()
    assert api.runs == {}
    if paused == "flights_ingest":
        assert start(again=None)[1], "it gives it up, and runs nothing again"


@pytest.mark.parametrize(
    ("breaks", "said"),
    [
        (KeyError("of a stranger"), "Airflow answers 500: Internal Server Error"),
        (HTTPException(422, ["a list"]), "Airflow answers 422: \\['a list'\\]"),
        (HTTPException(403), "Airflow answers 403: Forbidden"),
    ],
)
def test_answer_that_is_no_run_is_a_refusal_in_its_words(api, breaks, said):
    api.breaks = breaks
    with pytest.raises(RunRefusedError, match=said):
        start()
