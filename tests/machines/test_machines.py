from __future__ import annotations

import pytest

from sluice import ledger
from sluice.core import retry
from sluice.declare import spec
from sluice.lake import evidence, tables
from sluice.status import machines
from sluice_lab import feed

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

FIRST, LAST = "2013-05-31", "2013-06-03"
DAY = "2013-06-04"


def test_day_goes_from_delivery_to_monitoring_over_two_workers_that_share_no_folder(installation):
    machines.require_shared()
    flights = spec.load("flights")
    feed.deliver(flights, FIRST, sources=list(flights.sources))
    feed.deliver_range(flights, FIRST, LAST)
    installation.succeed("flights_backfill", conf={"first_day": FIRST, "last_day": LAST})
    feed.deliver_range(flights, DAY, DAY)
    began = installation.succeed("flights_ingest", partition=DAY)["run_after"]
    for dag in ("flights_transform", "flights_score", "flights_monitor"):
        run = installation.api.wait_for_partition(dag, DAY, since=began)
        assert run["state"] == "success", installation.api.failures(dag, run["dag_run_id"])

    assert tables.published("flights", "predictions", DAY, DAY)[DAY].rows
    assert ledger.entries(kind="decided", partition=DAY)
    assert ledger.verify()
    for worker in installation.workers:
        assert worker.ran(), f"worker {worker.name} has run nothing"
        assert not worker.written() & {"reports", "lake", "models", "landing", "clock"}
    pages = [
        file.name for file in evidence.files("flights", below=True) if file.name.endswith((".html", ".json"))
    ]
    assert len(pages) > 20
    assert {
        page: status
        for page in pages
        if (status := installation.get(f"/evidence/-/{page}").status_code) != 200
    } == {}


def test_one_fault_that_meets_both_workers_at_once_is_one_mail(installation):
    flights = spec.load("flights")
    days = ["2013-06-05", "2013-06-06"]
    before = len(installation.mails())
    for day in days:
        feed.deliver(flights, day, corrupt="seconds")
    runs = [installation.api.trigger("flights_ingest", partition=day) for day in days]
    states = {installation.api.wait_for_run("flights_ingest", run["dag_run_id"], seconds=900) for run in runs}
    assert states == {"failed"}
    held = {entry.partition for entry in ledger.entries(kind="held", subject="arrivals")}
    assert held == {flights.data_day("arrivals", day) for day in days}
    (mail,) = installation.mails()[before:]
    assert "HOLD" in mail["Subject"]


@pytest.mark.parametrize("point", ["stage.manifest_written", "audit.page_written", "publish.before_commit"])
def test_worker_that_is_killed_in_the_middle_leaves_a_run_that_ends_as_an_undisturbed_one(
    installation, point, tmp_path
):
    flights = spec.load("flights")
    number = ["stage.manifest_written", "audit.page_written", "publish.before_commit"].index(point)
    day = f"2013-06-{7 + number:02}"
    feed.deliver(flights, day)
    for worker in list(installation.workers):
        installation.stop(worker)
    doomed = installation.start(f"doomed-{number}", SLUICE_FAILPOINT=f"{point}=wait:{tmp_path / 'go on'}")
    run = installation.api.trigger("flights_ingest", partition=day)
    reached = tmp_path / "go on.reached"
    retry.until(reached.exists, seconds=300, otherwise=lambda: AssertionError("no task came to the point"))
    installation.kill(doomed)
    installation.start(f"rescue-{number}")
    assert installation.api.wait_for_run("flights_ingest", run["dag_run_id"], seconds=900) == "success"
    for table in ("arrivals", "schedule", "weather"):
        data_day = flights.data_day(table, day)
        published = ledger.entries(kind="published", subject=table, partition=data_day)
        assert len(published) == 1
        shown = tables.published("flights", table, data_day, data_day)[data_day]
        assert published[0].record.batch_id == shown.batch_id
        assert published[0].record.rows == tables.scan("flights", table, data_day, data_day).num_rows
    assert ledger.verify()
