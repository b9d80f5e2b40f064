"""Airflow's own buttons and limits, in a real Airflow: each ends in a refusal that says what to do, and in one mail."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager

import pytest

from sluice import feed, spec
from sluice.orchestration.stages import HEAVY_POOL

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def test_stage_that_was_marked_as_successful_is_refused_by_its_audit_at_once_and_told_once(live):
    pipeline, day = spec.load("flights_s3"), "2013-09-17"
    feed.deliver(pipeline, day)
    feed.deliver(pipeline, day, sources=["arrivals"], corrupt="missing_column", number=2)
    run = live.run("flights_s3_ingest", partition=day)
    assert live.states(run)["arrivals.stage_arrivals"] == "failed"
    before = set(live.mails())

    _mark_success(live, run, "arrivals.stage_arrivals")
    assert live.api.wait_for_run(run["dag_id"], run["dag_run_id"], seconds=300) == "failed"

    audit = next(
        task
        for task in live.api.tasks(run["dag_id"], run["dag_run_id"])
        if task["task_id"] == "arrivals.audit_arrivals"
    )
    assert (audit["state"], audit["try_number"]) == ("failed", 1), "refused at once"
    mail = live.only_mail_since(before)
    assert "The task stage_arrivals of this run counts as successful and has no result" in _text(mail)
    assert "Clear stage_arrivals and what is downstream of it" in _text(mail)

    feed.deliver(pipeline, day, sources=["arrivals"], number=3)
    live.succeed("flights_s3_ingest", partition=day)
    opened = [mail["Message-ID"] for name, mail in live.mails().items() if "RESOLVED" not in mail["Subject"]]
    ended = [mail["In-Reply-To"] for mail in live.mails().values() if "RESOLVED" in mail["Subject"]]
    assert mail["Message-ID"] in ended
    assert set(ended) <= set(opened)


@pytest.mark.parametrize("key", [None, "yesterday", "2013-09-01..2013-09-03"])
def test_wrong_key_in_the_form_is_refused_at_the_first_task_without_retry_and_mails_nobody(live, key):
    before = set(live.mails())

    run = live.run("flights_s3_ingest", partition=key)

    tasks = {task["task_id"]: task for task in live.api.tasks(run["dag_id"], run["dag_run_id"])}
    first = tasks.pop("find_deliveries")
    assert (first["state"], first["try_number"]) == ("failed", 1)
    assert {task["state"] for task in tasks.values()} == {"upstream_failed"}
    log = live.api.failures(run["dag_id"], run["dag_run_id"])
    assert "YYYY-MM-DD" in log
    assert set(live.mails()) == before


def test_run_that_took_too_long_is_one_mail_and_one_more_when_its_tables_are_published(live, flights):
    """Its tasks wait for a pool without slots, as those of a run do that was waiting when the scheduler was stopped."""
    first, day = "2013-09-21", "2013-09-24"
    live.deliver(flights, first, day)
    live.succeed("flights_backfill", conf={"first_day": first, "last_day": "2013-09-23"})
    before = set(live.mails())
    with _no_slots(live):
        woke = live.succeed("flights_ingest", partition=day)["run_after"]
        run = live.api._until(
            lambda: next(
                (
                    each
                    for each in live.api.runs("flights_transform", partition=day)
                    if each["run_after"] >= woke and each["state"] == "running"
                ),
                None,
            ),
            "no run of flights_transform began",
            120,
        )
        _has_run_for_hours(live, run)
        assert live.api.wait_for_run(run["dag_id"], run["dag_run_id"], seconds=120) == "failed"
        live.api._until(lambda: set(live.mails()) - before or None, "no mail came", 120)
    mail = live.only_mail_since(before)
    assert mail["Subject"].startswith(f"[sluice][FAILED] flights_transform {day}: The run took longer")
    assert run["dag_run_id"] in _text(mail)

    before = set(live.mails())
    live.succeed("flights_transform", partition=day)

    over = live.only_mail_since(before)
    assert over["In-Reply-To"] == mail["Message-ID"]
    assert f"Readers now see the features of {day}, since" in _text(over)


def _text(mail) -> str:
    return " ".join(mail.get_body(("plain",)).get_content().split())


def _mark_success(live, run: dict, task_id: str) -> None:
    """What *Mark as success* does on the page of a task."""
    path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}"
    live.api._request("PATCH", path, json={"new_state": "success"})


@contextmanager
def _no_slots(live):
    """Take the slots of the pool that memory-hungry tasks share, as a person may under *Admin*, *Pools*."""
    path = f"/pools/{HEAVY_POOL}"
    pool = live.api._get(path)

    def patch(slots: int) -> None:
        body = {"pool": HEAVY_POOL, "slots": slots}
        body |= {name: pool[name] for name in ("description", "include_deferred")}
        live.api._request("PATCH", path, json=body)

    patch(0)
    try:
        yield
    finally:
        patch(pool["slots"])


def _has_run_for_hours(live, run: dict) -> None:
    """Move the beginning of a run three hours back, in Airflow's database: its limit is two."""
    with closing(sqlite3.connect(live.home / "airflow" / "airflow.db", timeout=30)) as database, database:
        changed = database.execute(
            "UPDATE dag_run SET start_date = strftime('%Y-%m-%d %H:%M:%f', 'now', '-3 hours') "
            "WHERE dag_id = ? AND run_id = ?",
            (run["dag_id"], run["dag_run_id"]),
        )
        assert changed.rowcount == 1
