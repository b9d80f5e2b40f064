"""A day without rows: published where that is declared or a person says so, and never by accident."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import crossing, holds, ledger, waivers
from sluice.core.errors import (
    DeliveryMissingError,
    DeliveryUnreadableError,
    GateBrokenError,
    SpecInvalidError,
)
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.declare.spec import PREDICTIONS
from sluice.ingest import completion, deliveries
from sluice.lake import batches, rewrites, tables
from sluice.lake.landing import Landing
from sluice.models import monitoring
from sluice.notify import report
from sluice.notify.compose import compose
from sluice.transform import project, runner
from sluice.watch import maintenance
from sluice_lab import feed

DAY, NEXT = "2013-04-03", "2013-04-04"
RUN = Run(dag_id="flights_ingest", run_id="test")
WORD = {"by": "Ada", "why": "A strike: nothing flew.", "until": "2013-12-31"}


def declare_empty(flights, *names):
    """The pipeline, with `may_be_empty: true` at some of its tables."""
    changed = {
        kind: {
            name: table.model_copy(update={"may_be_empty": True}) if name in names else table
            for name, table in getattr(flights, kind).items()
        }
        for kind in ("sources", "derived")
    }
    return flights.model_copy(update=changed)


def header_only(flights, source="schedule", fmt="csv") -> bytes:
    columns = list(flights.sources[source].contract.columns)
    header = (",".join(columns) + "\n").encode()
    if fmt == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({name: pa.array([], pa.string()) for name in columns}), sink)
        return sink.getvalue().to_pybytes()
    return {"csv": header, "csv.gz": gzip.compress(header, mtime=0), "jsonl": b""}[fmt]


def deliver_empty(flights, source="schedule", day=DAY, *, number=1, rows=0, **given):
    pipeline_clock.advance(flights, date.fromisoformat(day))
    declared = flights.sources[source]
    deliveries.write(
        Landing(flights.landing_url),
        flights,
        source,
        day,
        given.pop("data", header_only(flights, source, declared.format)),
        rows=rows,
        number=number,
        delivered_at=datetime(2013, 4, 3, 5, tzinfo=UTC),
        **given,
    )


def cross(flights, table, day=DAY):
    """Stage and audit; publish where the verdict allows it."""
    manifest = crossing.stage(flights, table, [day], RUN)
    verdict = crossing.audit(flights, table, manifest.batch_id, RUN)
    if verdict.publishes:
        crossing.publish(flights, table, verdict.publish_batch_id, RUN)
    return verdict


def shown(table, day=DAY):
    return tables.published("flights", table, day, day).get(day)


def test_day_that_its_delivery_announces_as_empty_is_held_until_a_person_releases_it(flights):
    deliver_empty(flights)
    verdict = cross(flights, "schedule")
    assert verdict.outcome == "HOLD"
    assert verdict.reasons == (
        f"No rows for {DAY}: its delivery announces none, and `may_be_empty` is not declared.",
    )
    assert shown("schedule") is None
    assert [hold.partition for hold in holds.open_holds(flights)] == [DAY]

    holds.release(flights, "schedule", DAY, **WORD, run=RUN)

    assert (shown("schedule").rows, holds.open_holds(flights)) == (0, [])
    assert waivers.of_partitions(flights, "schedule", [DAY])[DAY].data["by"] == "Ada"


def test_mail_about_a_held_day_without_rows_asks_for_no_look_at_failing_rows(flights):
    deliver_empty(flights)
    event = report.of_verdict(flights, cross(flights, "schedule"), task_url="http://airflow")
    mail = compose(event, sender="sluice@localhost", to=["oncall@example.com"])
    text = " ".join(mail.get_body(("plain",)).get_content().split())

    assert mail["Subject"] == f"[sluice][HOLD] flights schedule {DAY}: no rows"
    assert "not published, because there are no rows." in text
    assert "failing rows" not in text
    assert "1. Find out whether there is really nothing for that day: airline-operations knows." in text
    # The advice works: the same batch passes once that is declared.
    assert "declare `may_be_empty: true` for schedule in dags/pipelines/flights.yml" in text
    assert cross(declare_empty(flights, "schedule"), "schedule").publishes


@pytest.mark.parametrize("fmt", ["csv", "csv.gz", "jsonl", "parquet"])
def test_day_that_may_be_empty_is_published_without_a_word_in_every_format(flights, fmt):
    declared = declare_empty(flights, "schedule")
    source = declared.sources["schedule"].model_copy(update={"format": fmt})
    declared = declared.model_copy(update={"sources": {**declared.sources, "schedule": source}})
    deliver_empty(declared)
    verdict = cross(declared, "schedule")
    assert (verdict.outcome, verdict.reasons, verdict.empty) == ("PASS", (), (DAY,))
    assert shown("schedule").rows == 0
    assert ledger.entries(kind="published")[0].data["rows"] == 0


@pytest.mark.parametrize("is_declared", [True, False])
def test_absence_by_accident_is_refused_also_where_a_day_may_be_empty(flights, is_declared):
    declared = declare_empty(flights, "schedule") if is_declared else flights
    landing = Landing(declared.landing_url)
    landing.create()
    with pytest.raises(DeliveryMissingError):
        cross(declared, "schedule")
    landing.write(f"schedule/{DAY}/schedule_{DAY}.csv", header_only(declared))
    with pytest.raises(DeliveryMissingError):  # no manifest: nobody says that the file is complete
        cross(declared, "schedule")
    deliver_empty(declared, rows=981)
    with pytest.raises(DeliveryUnreadableError, match="holds no rows; its manifest announces 981"):
        cross(declared, "schedule")
    deliver_empty(declared, number=2, sha256="0" * 64)
    with pytest.raises(DeliveryUnreadableError, match="not what its manifest announces"):
        cross(declared, "schedule")
    deliver_empty(declared, number=3, data=b"")
    with pytest.raises(DeliveryUnreadableError, match="0 bytes"):
        cross(declared, "schedule")
    assert shown("schedule") is None


def test_empty_batch_whose_verdict_did_not_see_that_it_is_empty_is_never_published(flights):
    """A gate that counted no rows cannot pass by accident: the verdict has to name the days."""
    deliver_empty(flights)
    manifest = crossing.stage(flights, "schedule", [DAY], RUN)
    with pytest.raises(GateBrokenError, match="has no rows for 2013-04-03, yet passed"):
        tables.publish(manifest, verdict_id="v")
    with pytest.raises(GateBrokenError):
        tables.publish(manifest, verdict_id="v", empty=[NEXT])


def test_gate_of_an_empty_day_still_needs_its_suite(flights, tmp_path, monkeypatch):
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path))
    spec.settings.cache_clear()
    deliver_empty(declare_empty(flights, "schedule"))
    assert cross(declare_empty(flights, "schedule"), "schedule").outcome == "ERROR"
    spec.settings.cache_clear()


def test_empty_day_stays_published_whatever_becomes_of_other_days_and_is_replaced_by_rows(flights):
    declared = declare_empty(flights, "schedule")
    deliver_empty(declared)
    cross(declared, "schedule")
    empty = shown("schedule")
    for day in (NEXT, "2013-04-05", NEXT):
        feed.deliver(declared, day, sources=["schedule"])
        cross(declared, "schedule", day)
    assert shown("schedule") == empty
    assert list(tables.published("flights", "schedule", DAY, "2013-04-05")) == [DAY, NEXT, "2013-04-05"]
    assert tables.files("flights", "schedule", DAY, DAY, into=declared_home() / "x") == [empty.file]
    assert tables.scan("flights", "schedule", DAY, DAY).num_rows == 0
    assert rewrites.check(declared, 5, tables=["schedule"]) == []
    # Nothing that readers are sent to is cleared away, however old.
    later = datetime.now(UTC).replace(year=2100)
    maintenance.clear_tables(declared, RUN, now=later)
    maintenance.clear_tables(declared, RUN, now=later.replace(year=2101))
    assert pq.read_metadata(empty.file).num_rows == 0
    assert batches.load("flights", "schedule", empty.batch_id).rows == 0

    feed.deliver(declared, DAY, sources=["schedule"], number=2)
    cross(declared, "schedule")
    assert shown("schedule").rows > 900
    deliver_empty(declared, number=3)
    cross(declared, "schedule")
    assert shown("schedule").rows == 0
    assert tables.scan("flights", "schedule", DAY, NEXT)["ds"].unique().to_pylist() == [
        datetime.fromisoformat(NEXT).date()
    ]
    again = crossing.publish(declared, "schedule", shown("schedule").batch_id, RUN)
    assert again.repeated


def declared_home():
    return spec.settings().home


@pytest.mark.slow
def test_day_after_an_empty_one_and_all_that_is_built_from_it_end_well(flights):
    """Features, outcomes, predictions and monitoring of a day on which nothing flew, and of the day after."""
    for day in ("2013-04-01", "2013-04-02"):
        feed.deliver(flights, day)
    days = {"schedule": DAY, "arrivals": DAY, "weather": DAY}
    for source in flights.sources:
        for day in ("2013-04-01", "2013-04-02"):
            if deliveries.find(flights, source, day):
                assert cross(flights, source, day).publishes, source
    feed.deliver(flights, DAY, sources=["arrivals", "weather"])
    deliver_empty(flights)
    for source in days:
        verdict = cross(flights, source)
        if source == "schedule":
            assert verdict.outcome == "HOLD"
            holds.release(flights, source, DAY, **WORD, run=RUN)
        else:
            assert verdict.publishes
    assert completion.complete(flights, [DAY], RUN)

    features = cross(flights, "features")
    assert (features.publishes, features.rows) == (True, 0), features.reasons
    assert "released by Ada" in features.reasons[0], "a person's word travels"
    assert cross(flights, "outcomes").publishes
    predictions = cross(flights, PREDICTIONS)
    assert (predictions.publishes, predictions.rows) == (True, 0), predictions.reasons
    assert shown(PREDICTIONS).rows == 0
    assert monitoring.report_days(flights, DAY, RUN) == {}
    assert monitoring.decide(flights, DAY, RUN)["action"] == "nothing"

    # The day after: what happened on the empty day is empty too.
    feed.deliver(flights, NEXT, sources=["schedule", "weather"])
    deliver_empty(flights, "arrivals", NEXT)
    assert cross(flights, "schedule", NEXT).publishes
    assert cross(flights, "weather", NEXT).publishes
    assert cross(flights, "arrivals", NEXT).outcome == "HOLD"
    holds.release(flights, "arrivals", DAY, **WORD, run=RUN)
    assert completion.complete(flights, [NEXT], RUN)
    outcomes = cross(flights, "outcomes", NEXT)
    assert (outcomes.publishes, outcomes.rows) == (True, 0), outcomes.reasons
    assert cross(flights, "features", NEXT).publishes
    assert shown("features", NEXT).rows > 900
    assert cross(flights, PREDICTIONS, NEXT).publishes
    assert NEXT in monitoring.report_days(flights, NEXT, RUN)


@pytest.mark.parametrize(
    ("empty", "full", "outcome"), [("weather", "schedule", "HOLD"), ("schedule", "weather", "PASS")]
)
def test_derived_day_is_empty_only_where_the_table_that_its_rows_come_from_is(
    flights, tmp_path, empty, full, outcome
):
    """A join that loses every row is no empty day of its source, also on a day that another input has no rows of."""
    declared = declare_empty(flights, empty)
    run_days = {"schedule": DAY, "weather": NEXT}  # whose run brings the rows of the day
    feed.deliver(flights, run_days[full], sources=[full])
    deliver_empty(flights, empty, run_days[empty])
    for source in (empty, full):
        assert cross(declared, source, run_days[source]).publishes
    _, read = runner.published_files(flights, ["schedule", "weather"], DAY, DAY, into=tmp_path)
    manifest = batches.stage(
        "flights",
        "features",
        pa.table({"ds": pa.array([], pa.date32())}),
        partitions=[DAY],
        received=0,
        dropped={},
        inputs=read,
        run=RUN,
        sort_by=[],
    )
    verdict = crossing.audit(flights, "features", manifest.batch_id, RUN)
    assert verdict.outcome == outcome, verdict.reasons
    if outcome == "HOLD":
        assert verdict.reasons == (
            f"No rows for {DAY}: its rows come from schedule, which has some, and one is awaited for each.",
        )
        silent = flights.derived["features"].model_copy(update={"rows_from": None})
        undeclared = flights.model_copy(update={"derived": {**flights.derived, "features": silent}})
        reasons = crossing.audit(undeclared, "features", manifest.batch_id, RUN).reasons
        assert reasons == (f"No rows for {DAY}: neither `rows_from` nor `may_be_empty` is declared.",)
    # A table may say that it can be empty, unless it awaits a row for each that it is made of.
    declared = declare_empty(flights, "features")
    verdict = crossing.audit(declared, "features", manifest.batch_id, RUN)
    assert verdict.outcome == outcome, verdict.reasons
    keyless = declared.derived["features"].model_copy(update={"key_from": None})
    keyless = declared.model_copy(update={"derived": {**declared.derived, "features": keyless}})
    assert crossing.audit(keyless, "features", manifest.batch_id, RUN).publishes


def test_rows_from_names_a_table_that_the_model_reads(flights, tmp_path):
    text = (spec.settings().pipelines / "flights.yml").read_text()
    file = tmp_path / "flights.yml"
    file.write_text(text.replace("rows_from: schedule", "rows_from: shedule"))
    with pytest.raises(SpecInvalidError, match="rows of 'features' come from 'shedule'"):
        spec.parse(file)
    file.write_text(text.replace("rows_from: arrivals", "rows_from: weather"))
    with pytest.raises(SpecInvalidError, match="reads no weather"):
        project.check(spec.parse(file))
    project.check(flights)
