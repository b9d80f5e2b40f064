"""The chain of DAGs, through a real scheduler: one event wakes the next stage, for the same partition."""

from __future__ import annotations

import pytest

from sluice import ledger
from sluice.declare import spec
from sluice.lake import tables
from sluice_lab import feed

pytestmark = [pytest.mark.airflow, pytest.mark.slow]


def _chain(live, day: str, pipeline: str = "flights") -> dict[str, str]:
    """Run a day from ingest to monitor; returns each stage's final state."""
    run = live.run(f"{pipeline}_ingest", partition=day)
    ended = {"ingest": run["state"]}
    for stage in ("transform", "score", "monitor"):
        if ended and set(ended.values()) == {"success"}:
            ended[stage] = live.api.wait_for_partition(
                f"{pipeline}_{stage}", day, since=run["run_after"], seconds=300
            )["state"]
    return ended


def test_clean_day_without_champion_is_scored_by_the_baseline_and_mails_nothing(live, flights):
    day = "2013-06-03"
    live.deliver(flights, "2013-05-31", day)
    before = set(live.mails())
    live.succeed("flights_backfill", conf={"first_day": "2013-05-31", "last_day": "2013-06-02"})

    assert set(_chain(live, day).values()) == {"success"}

    predictions = tables.scan("flights", "predictions", day, day)
    features = tables.scan("flights", "features", day, day, columns=["flight_id"])
    assert sorted(predictions["flight_id"].to_pylist()) == sorted(features["flight_id"].to_pylist())
    assert set(predictions["model_version"].to_pylist()) == {"baseline"}
    assert all(predictions["is_baseline"].to_pylist())
    assert set(live.mails()) == before
    monitored = ledger.entries(kind="monitored", pipeline="flights", partition=day)
    assert [entry.data["labelled"] for entry in monitored] == [0], "its outcomes cannot be known yet"


@pytest.mark.long  # as the rehearsal `held_and_corrected`, which is always run
def test_held_day_completes_after_the_corrected_file(live, flights):
    day = "2013-07-02"
    partition = flights.data_day("arrivals", day)
    live.deliver(flights, "2013-06-29", "2013-07-01")
    live.succeed("flights_backfill", conf={"first_day": "2013-06-29", "last_day": "2013-07-01"})
    feed.deliver(flights, day, corrupt="seconds")
    assert _chain(live, day) == {"ingest": "failed"}
    assert not live.published("arrivals", partition)
    assert live.published("arrivals", "2013-06-30"), "what was published before stays"
    assert not live.published("predictions", day)

    feed.deliver(flights, day, number=2, sources=["arrivals"])
    assert set(_chain(live, day).values()) == {"success"}

    assert live.published("arrivals", partition)
    assert live.published("predictions", day)
    assert len(live.held("arrivals", partition)) == 1
    mails = ledger.entries(kind="mail", pipeline="flights", subject="arrivals", partition=partition)
    assert [mail.data["status"] for mail in reversed(mails)] == ["sent", "resolved"]


def test_day_lands_from_a_bucket(live):
    pipeline = spec.load("flights_s3")
    day = "2013-06-03"
    feed.deliver(pipeline, day)

    live.succeed("flights_s3_ingest", partition=day)

    for source in pipeline.sources:
        partition = pipeline.data_day(source, day)
        assert live.published(source, partition, pipeline="flights_s3"), source


@pytest.mark.long
def test_same_delivery_twice_publishes_nothing_new(live):
    """In the pipeline that is only ingested: a run downstream would outlive the test."""
    pipeline = spec.load("flights_s3")
    day = "2013-08-06"
    feed.deliver(pipeline, day)
    live.succeed("flights_s3_ingest", partition=day)
    snapshots = {name: tables.snapshot_id("flights_s3", name) for name in pipeline.sources}

    live.succeed("flights_s3_ingest", partition=day)

    partition = pipeline.data_day("arrivals", day)
    published = ledger.entries(
        kind="published", pipeline="flights_s3", subject="arrivals", partition=partition
    )
    assert len(published) == 1
    assert {name: tables.snapshot_id("flights_s3", name) for name in pipeline.sources} == snapshots
