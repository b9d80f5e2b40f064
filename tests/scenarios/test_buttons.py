"""Airflow's own buttons, in a real Airflow: each ends in a refusal that says what to do."""

from __future__ import annotations

import pytest

from sluice.declare import spec
from sluice_lab import feed

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


def _text(mail) -> str:
    return " ".join(mail.get_body(("plain",)).get_content().split())


def _mark_success(live, run: dict, task_id: str) -> None:
    """What *Mark as success* does on the page of a task."""
    path = f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/taskInstances/{task_id}"
    live.api.request("PATCH", path, json={"new_state": "success"})
