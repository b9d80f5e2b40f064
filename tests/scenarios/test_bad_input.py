"""Every bad input stops at the right task, says what is wrong, sends one mail, and publishes nothing."""

from __future__ import annotations

import boto3
import pytest

from sluice import ledger, notify
from sluice.declare import spec
from sluice.lake.landing import Landing
from sluice.notify.faults import undelivered_lines
from sluice_lab import feed
from tests.scenarios.conftest import BUCKET

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

# One day each, so that no scenario sees another's deliveries.
DAMAGED = {
    # corruption: (run day, task that must fail, what the mail must say)
    "truncated": ("2013-05-01", "stage_arrivals", "not what its manifest announces"),
    "empty": ("2013-05-02", "audit_arrivals", "no rows"),
    "missing_column": ("2013-05-03", "stage_arrivals", "column"),
    "wrong_type": ("2013-05-04", "stage_arrivals", "integer"),
    "seconds": ("2013-05-05", "audit_arrivals", "HOLD"),
    "shifted": ("2013-05-06", "audit_arrivals", "HOLD"),
}


# One that cannot be read and one that is held; the others stop at the same tasks, and each has a test without Airflow.
@pytest.mark.parametrize(
    "corruption",
    [
        pytest.param(
            name,
            marks=[pytest.mark.long] if name in ("empty", "missing_column", "wrong_type", "shifted") else [],
        )
        for name in DAMAGED
    ],
)
def test_ingest_damaged_delivery_is_not_published(live, flights, corruption):
    day, task, said = DAMAGED[corruption]
    partition = flights.data_day("arrivals", day)
    before = live.mails()
    feed.deliver(flights, day, corrupt=corruption)

    run = live.run("flights_ingest", partition=day)

    states = live.states(run)
    assert run["state"] == "failed"
    assert states[f"arrivals.{task}"] == "failed"
    assert states["arrivals.publish_arrivals"] == "upstream_failed"
    assert states["complete_day"] == "upstream_failed"
    assert states["schedule.publish_schedule"] == "success", "a damaged source must not stop the others"
    assert not live.published("arrivals", partition)
    assert bool(live.held("arrivals", partition)) == task.startswith("audit")
    log = live.api.failures("flights_ingest", run["dag_run_id"])
    assert said.lower() in log.lower()
    assert "Next: " in log
    if task.startswith("audit"):
        assert f"HOLD: flights.arrivals {partition} was not published." in log
        assert f"/evidence/flights/gates/arrivals/{partition}/" in log
        assert "error_detail" not in log, "a verdict is no traceback"
    mail = live.only_mail_since(before)
    body = mail.get_body(("plain",)).get_content()
    assert said.lower() in (mail["Subject"] + body).lower()
    assert day in body or partition in body
    assert "airport-operations" in body, "the mail names the owner of the source"


def test_ingest_undeclared_source_is_named_by_the_watcher_and_the_others_go_on(live):
    """In the bucket's pipeline: the watcher of `flights` would tell of the days that other scenarios have yet to deliver."""
    pipeline, day = spec.load("flights_s3"), "2013-05-08"
    feed.deliver(pipeline, day)
    mystery = f"mystery/{day}/mystery_{day}.csv"
    Landing(pipeline.landing_url).write(mystery, b"a,b\n1,2\n")
    before = live.mails()

    def told() -> list[str]:
        new = (mail for name, mail in live.mails().items() if name not in before)
        return [mail["Subject"].strip() for mail in new if "flights_s3 landing" in mail["Subject"]]

    live.succeed("flights_s3_ingest", partition=day)
    assert live.published("schedule", day, "flights_s3")
    assert told() == []
    live.succeed("flights_s3_watch")
    live.succeed("flights_s3_watch")
    assert told() == ["[sluice][UNEXPECTED] flights_s3 landing: mystery/ is no delivery"]
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=f"deliveries/{mystery}")
    live.succeed("flights_s3_watch")
    assert len(told()) == 2
    assert "RESOLVED" in told()[-1]


def test_ingest_missing_delivery_fails_after_retries_and_names_it(live, flights):
    day = "2013-05-10"
    feed.deliver(flights, day, sources=[source for source in flights.sources if source != "arrivals"])
    before = live.mails()

    run = live.run("flights_ingest", partition=day)

    tasks = {task["task_id"]: task for task in live.api.tasks("flights_ingest", run["dag_run_id"])}
    assert tasks["arrivals.stage_arrivals"]["state"] == "failed"
    assert tasks["arrivals.stage_arrivals"]["try_number"] == 3, "a delivery may only be late: it is retried"
    mail = live.only_mail_since(before)
    assert "arrivals" in mail["Subject"]


def test_audit_missing_suite_is_error_and_publishes_nothing(live, flights):
    day = "2013-05-12"
    suite = live.expectations / "flights" / "schedule.json"
    text = suite.read_text()
    feed.deliver(flights, day)
    before = live.mails()
    suite.unlink()
    try:
        run = live.run("flights_ingest", partition=day)
    finally:
        suite.write_text(text)

    assert live.states(run)["schedule.audit_schedule"] == "failed"
    assert not live.published("schedule", day)
    (entry,) = live.held("schedule", day)
    assert entry.data["outcome"] == "ERROR"
    mail = live.only_mail_since(before)
    assert "schedule.json" in mail.get_body(("plain",)).get_content()


def test_ingest_unreachable_bucket_names_it_and_publishes_nothing(live):
    pipeline = live.pipelines / "flights_s3.yml"
    text = pipeline.read_text()
    before = live.mails()
    pipeline.write_text(text.replace("s3://landing/deliveries", "s3://no-such-bucket/deliveries"))
    try:
        run = live.run("flights_s3_ingest", partition="2013-05-14")
    finally:
        pipeline.write_text(text)

    assert live.states(run)["find_deliveries"] == "failed"
    mail = live.only_mail_since(before)
    assert "no-such-bucket" in mail.get_body(("plain",)).get_content()


def test_mail_unreachable_server_is_recorded_hides_nothing_and_is_sent_when_the_server_is_back(live):
    """The mail sink is stopped: the task fails as it would have, and the ledger keeps the undelivered mail.

    In the bucket's pipeline: the watcher tells of every delivery that is missing, and others' deliveries would end that.
    """
    from sluice.local import stack

    pipeline, day = spec.load("flights_s3"), "2013-05-16"
    feed.deliver(pipeline, day, corrupt="seconds")
    assert stack.stop(stack.MAIL_SINK) == [stack.MAIL_SINK]
    try:
        run = live.run("flights_s3_ingest", partition=day)
    finally:
        stack.up(lambda text: None)

    partition = pipeline.data_day("arrivals", day)
    assert live.states(run)["arrivals.audit_arrivals"] == "failed"
    assert not live.published("arrivals", partition, "flights_s3")
    (entry,) = ledger.entries(kind="mail", pipeline="flights_s3", subject="arrivals", partition=partition)
    assert entry.data["status"] == "failed"
    assert "127.0.0.1" in entry.data["error"]
    assert any(entry.data["mail_subject"] in line for line in undelivered_lines())

    before = live.mails()
    live.succeed("flights_s3_watch")
    subjects = [mail["Subject"] for name, mail in live.mails().items() if name not in before]
    assert entry.data["mail_subject"] in subjects
    assert not notify.undelivered()

    # Left as it is, it would expire in the scenario of the watcher, months later by the feed's clock, and be told there.
    feed.deliver(pipeline, day, sources=["arrivals"], number=2)
    live.succeed("flights_s3_ingest", partition=day)
    assert live.published("arrivals", partition, "flights_s3")
