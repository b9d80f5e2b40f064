"""The watcher finds what did not happen, by the pipeline's own clock, whatever ran or did not."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sluice import crossing, ledger, notify, waivers, watch
from sluice.cli import main
from sluice.core.partitions import days_between
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.ingest import deliveries
from sluice.lake import batches, connection, tables
from sluice.lake.landing import Landing
from sluice.ledger import records
from sluice.notify import report
from sluice_lab import feed

RUN = Run(dag_id="flights_ingest", run_id="test")
DAY = "2013-04-03"


def _missed(flights):
    return [(missed.source, missed.day) for missed in watch.missed_deliveries(flights)]


def test_nothing_is_overdue_before_the_feed_begins_and_when_all_is_in(flights):
    assert watch.findings(flights) == []
    feed.deliver(flights, DAY)
    assert watch.findings(flights) == []


def test_a_source_that_was_not_delivered_is_found_without_any_run(flights):
    feed.deliver(flights, DAY, sources=["schedule", "weather"])
    assert _missed(flights) == [("arrivals", "2013-04-02")]
    assert _missed(flights) == [("arrivals", "2013-04-02")]
    (entry,) = ledger.entries(kind="deadline_missed")
    assert (entry.subject, entry.partition) == ("arrivals", "2013-04-02")
    assert "by 2013-04-03 06:00 EDT" in entry.data["reasons"][0]

    feed.deliver(flights, DAY, sources=["arrivals"], number=2)

    assert _missed(flights) == []


def test_a_day_that_is_missing_in_between_is_found_and_a_damaged_one_is_not_missing(flights):
    feed.deliver(flights, "2013-04-02", sources=["arrivals"])
    manifest = crossing.stage(flights, "arrivals", ["2013-04-02"], RUN)
    crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    crossing.publish(flights, "arrivals", manifest.batch_id, RUN)
    (name,) = feed.deliver(flights, "2013-04-04", sources=["arrivals"])
    (Path(flights.landing_url) / f"{name}{deliveries.MANIFEST}").write_text("{}")
    feed.deliver(flights, "2013-04-04", sources=["schedule", "weather"])
    assert _missed(flights) == [("arrivals", "2013-04-02")], "the run of 2013-04-03 had none"


def test_a_weekly_source_is_due_a_week_after_its_last(flights):
    monday = date(2013, 4, 1)
    feed.deliver(flights, monday.isoformat(), sources=["airlines"])
    manifest = crossing.stage(flights, "airlines", [monday.isoformat()], RUN)
    crossing.audit(flights, "airlines", manifest.batch_id, RUN)
    crossing.publish(flights, "airlines", manifest.batch_id, RUN)
    daily = ["schedule", "arrivals", "weather"]
    for offset in range(1, 8):
        day = (monday + timedelta(days=offset)).isoformat()
        assert ("airlines", "2013-04-08") not in _missed(flights)
        feed.deliver(flights, day, sources=daily)
    assert _missed(flights) == [("airlines", "2013-04-08")]
    feed.deliver(flights, "2013-04-09", sources=[*daily, "airlines"])
    assert _missed(flights) == []


def test_by_the_wall_clock_a_delivery_is_overdue_from_its_deadline_on(flights, monkeypatch):
    live = flights.model_copy(update={"clock": "wall"})
    feed.deliver(flights, DAY, sources=["schedule", "weather"])
    zone = ZoneInfo(live.timezone)
    for at, expected in (("05:59", []), ("06:00", [("arrivals", "2013-04-02")])):
        instant = datetime.fromisoformat(f"{DAY}T{at}").replace(tzinfo=zone)
        monkeypatch.setattr(pipeline_clock, "now", lambda _, instant=instant: instant)
        monkeypatch.setattr(pipeline_clock, "today", lambda _: date.fromisoformat(DAY))
        assert _missed(live) == expected, at


def put(table: str, *days: str) -> str:
    """Publish a batch without a gate; returns its id."""
    rows = pa.table({"id": [1] * len(days), "ds": pa.array(map(date.fromisoformat, days), pa.date32())})
    given = {"received": len(days), "dropped": {}, "inputs": [], "run": RUN, "sort_by": ["id"]}
    manifest = batches.stage("flights", table, rows, partitions=days, **given)
    tables.publish(manifest, verdict_id="v")
    return manifest.batch_id


def only(flights: spec.Pipeline, source: str, **changes) -> spec.Pipeline:
    """The pipeline with one source."""
    return flights.model_copy(update={"sources": {source: flights.sources[source]}, **changes})


@pytest.mark.parametrize(
    ("starts", "published", "missing"),
    [
        # Run days from the first that was published on; their data is of the day before.
        (None, ["2013-04-05", "2013-04-07"], ["2013-04-06", "2013-04-08", "2013-04-09"]),
        (None, ["2013-03-28"], days_between("2013-03-29", "2013-04-09")),
        (None, [], ["2013-04-09"]),
        (date(2013, 4, 8), [], ["2013-04-07", "2013-04-08", "2013-04-09"]),
        (date(2013, 4, 11), [], []),
        (None, ["2013-02-08"], days_between("2013-02-09", "2013-04-09")),
    ],
)
def test_days_that_a_daily_source_is_watched_for(flights, starts, published, missing):
    arrivals = only(flights, "arrivals", starts=starts)
    pipeline_clock.advance(arrivals, date(2013, 4, 10))
    Landing(flights.landing_url).create()
    for day in published:
        put("arrivals", day)
    assert [day for _, day in _missed(arrivals)] == missing
    recorded = ledger.entries(kind="deadline_missed")
    assert sorted(entry.partition for entry in recorded) == missing
    for entry in recorded:
        assert entry.data["run_day"] == (date.fromisoformat(entry.partition) + timedelta(days=1)).isoformat()
        assert entry.data["deadline"].startswith(entry.data["run_day"])


def test_what_is_missing_for_longer_is_told_once_however_long_nobody_looked(flights, sink):
    smtp, _, _ = sink
    arrivals = only(flights, "arrivals", starts=date(2013, 4, 1))
    pipeline_clock.advance(arrivals, date(2013, 4, 20))
    Landing(flights.landing_url).create()
    assert [day for _, day in _missed(arrivals)] == days_between("2013-03-31", "2013-04-19")
    for missed in watch.missed_deliveries(arrivals):
        event = report.of_missed_deadline(
            arrivals, missed.source, missed.day, run_day=missed.run_day, task_url="http://localhost/task"
        )
        notify.deliver(event, smtp, sender="a@example.com", to=["b@example.com"])
    assert [entry.data["status"] for entry in ledger.entries(kind="mail")].count("sent") == 1
    assert [day for _, day in _missed(arrivals)] == days_between("2013-04-13", "2013-04-19")


@pytest.mark.parametrize(
    ("today", "landed", "missing"),
    [
        (date(2013, 4, 7), None, []),
        (date(2013, 4, 8), None, ["2013-04-08"]),
        (date(2013, 4, 8), "2013-04-02", []),
        (date(2013, 4, 8), "2013-04-08", []),
        # The delivery that was published.
        (date(2013, 4, 8), "2013-04-01", ["2013-04-08"]),
    ],
)
def test_weekly_source_is_due_once_a_week_unless_it_came_since(flights, today, landed, missing):
    planes = only(flights, "planes")
    pipeline_clock.advance(planes, today)
    Landing(flights.landing_url).create()
    assert _missed(planes) == [], "what was never there is not awaited"
    for day in ("2013-03-25", "2013-04-01"):
        put("planes", day)
    if landed:
        folder = Path(flights.landing_url) / "planes" / landed
        folder.mkdir(parents=True)
        name = f"planes_{landed}.csv"
        (folder / name).write_text("file without a manifest")
        assert [day for _, day in _missed(planes)] == (["2013-04-08"] if today >= date(2013, 4, 8) else [])
        (folder / f"{name}{deliveries.MANIFEST}").write_text("{}")
    assert [day for _, day in _missed(planes)] == missing


def test_rewritten_days_that_are_looked_at_are_restored_when_they_are_not_found_any_more(flights):
    assert watch.restored(flights, set()) == []
    pipeline_clock.advance(flights, date(2013, 4, 10))
    for day in ("2013-03-06", "2013-03-07", "2013-04-05"):
        ledger.append(records.Rewritten(), pipeline="flights", subject="arrivals", partition=day)
    still = {("arrivals", "2013-04-05"), ("schedule", "2013-04-04")}
    assert watch.restored(flights, still) == [("arrivals", "2013-03-07")]


def test_rewritten_day_that_is_too_old_to_be_looked_at_is_restored_when_it_is_what_was_published_again(
    flights,
):
    feed.deliver(flights, DAY, sources=["schedule"])
    manifest = crossing.stage(flights, "schedule", [DAY], RUN)
    crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    pipeline_clock.advance(flights, date(2013, 8, 1))
    mail = records.Mail(
        incident="e", occurrence_key="s", ends_with=records.EndsWith.of("matches", "schedule")
    )
    ledger.append(mail, pipeline="flights", subject="schedule", partition=DAY)
    file = Path(manifest.files[DAY])
    aside = file.rename(file.with_suffix(".aside"))
    assert watch.restored(flights, set()) == []
    aside.rename(file)
    assert watch.restored(flights, set()) == [("schedule", DAY)]


def test_waivers_that_are_over_are_told_while_readers_see_what_they_released(flights):
    assert watch.lapsed_waivers(flights) == []
    pipeline_clock.advance(flights, date(2013, 4, 3))
    given = {}
    for table, partition, until in (
        ("schedule", "2013-04-02", "2013-04-08"),
        ("arrivals", "2013-04-01..2013-04-02", "2013-04-05"),
        ("arrivals", "2013-03-31", "2013-04-20"),
        ("weather", "2013-04-02", "2013-04-05"),
    ):
        about = {"pipeline": "flights", "subject": table, "partition": partition}
        batch = {"batch_id": f"{table}-{partition[:10]}", "verdict_id": "v"}
        ledger.append(records.Held(**batch, outcome="HOLD"), **about)
        word = {"by": "Ada", "why": "Confirmed.", "until": until}
        given[table, partition] = waivers.grant(
            flights, table, partition, content_hash="c", rules=[], **batch, **word
        ).seq
        if table != "weather":
            ledger.append(records.Published(**batch), **about)
    assert watch.lapsed_waivers(flights) == []
    pipeline_clock.advance(flights, date(2013, 4, 9))
    found = watch.lapsed_waivers(flights)
    assert [entry.seq for entry in found] == [
        given["schedule", "2013-04-02"],
        given["arrivals", "2013-04-01..2013-04-02"],
    ]
    assert watch.lapse(found[1]) == (
        "arrivals 2013-04-01..2013-04-02 rests on a waiver of Ada that ended on 2013-04-05."
    )


def test_watch_by_hand_names_what_is_wrong_and_fails(flights):
    feed.deliver(flights, DAY, sources=["schedule", "arrivals", "weather"])
    manifest = crossing.stage(flights, "schedule", [DAY], RUN)
    crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    calm = CliRunner().invoke(main, ["watch", "flights"])
    assert (calm.exit_code, calm.output) == (0, "Nothing is overdue, and history is as it was published.\n")

    Path(manifest.files[DAY]).write_bytes(b"not what was published")

    found = CliRunner().invoke(main, ["watch", "flights"])
    assert found.exit_code == 1
    assert f"schedule {DAY} was edited in place" in found.output
    assert manifest.hashes[DAY][:16] in found.output


@pytest.mark.parametrize("how", ["edited", "overwritten", "deleted"])
def test_a_rewritten_partition_comes_back_by_running_its_day_again(flights, how):
    feed.deliver(flights, DAY, sources=["schedule", "arrivals", "weather"])
    manifest = crossing.stage(flights, "schedule", [DAY], RUN)
    crossing.audit(flights, "schedule", manifest.batch_id, RUN)
    crossing.publish(flights, "schedule", manifest.batch_id, RUN)
    rows = tables.scan("flights", "schedule", DAY, DAY)
    _damage(manifest, rows, how)
    (rewrite,) = watch.rewritten_history(flights)
    assert (rewrite.table, rewrite.day) == ("schedule", DAY)

    again = crossing.stage(flights, "schedule", [DAY], RUN)
    verdict = crossing.audit(flights, "schedule", again.batch_id, RUN)
    crossing.publish(flights, "schedule", verdict.publish_batch_id, RUN)

    assert watch.rewritten_history(flights) == []
    assert watch.restored(flights, set()) == [("schedule", DAY)]
    assert tables.scan("flights", "schedule", DAY, DAY).equals(rows)


def _damage(manifest: batches.Manifest, rows: pa.Table, how: str) -> None:
    path = Path(manifest.files[DAY])
    if how == "edited":
        pq.write_table(rows.slice(1), path)
        return
    with connection.opened() as lake:
        table = lake.load_table("flights.schedule")
        strange = rows.slice(0, 5).cast(table.schema().as_arrow())
        if how == "overwritten":
            table.overwrite(strange, overwrite_filter=f"ds = '{DAY}'")
        else:
            table.delete(f"ds = '{DAY}'")
