"""From the landing zone to a staged batch: all rows accounted for, the same file a no-op, nothing staged if broken."""

from __future__ import annotations

import gzip
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sluice import crossing, holds, ledger
from sluice.core.errors import (
    ContractBrokenError,
    DeliveryMissingError,
    DeliveryUnreadableError,
    PurposeExpiredError,
    SourceUnknownError,
)
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare.calendars import Expected
from sluice.ingest import deliveries
from sluice.ingest.stage import stage_source
from sluice.lake import batches, tables
from sluice.lake.landing import Landing
from sluice_lab import feed

DAY = "2013-01-02"
RUN = Run(run_id="test")


def stage(flights, source="arrivals", *days):
    return stage_source(flights, source, days or [DAY], RUN)


def publish(manifest):
    return tables.publish(manifest, verdict_id="test")


def arrivals_csv(flights):
    """The lines of a delivered file, header first, and a function that delivers other lines in its place."""
    name = feed.deliver(flights, DAY, sources=["arrivals"])[0]
    lines = gzip.decompress((Path(flights.landing_url) / name).read_bytes()).splitlines(keepends=True)

    def deliver(lines, *, rows=None, number=1):
        previous = deliveries.find(flights, "arrivals", DAY)
        deliveries.write(
            Landing(flights.landing_url),
            flights,
            "arrivals",
            DAY,
            gzip.compress(b"".join(lines), mtime=0),
            rows=len(lines) - 1 if rows is None else rows,
            number=number,
            delivered_at=previous.manifest.delivered_at,
        )

    return lines, deliver


def test_stage_day_writes_contract_columns_and_where_each_row_came_from(flights):
    feed.deliver(flights, DAY)
    manifest = stage(flights)
    found = deliveries.find(flights, "arrivals", DAY)
    assert (manifest.rows, manifest.received, manifest.dropped) == (842, 842, {"exact_duplicate": 0})
    assert manifest.partitions == ("2013-01-01",)
    assert manifest.run == RUN
    assert list(manifest.columns) == [*flights.source("arrivals").contract.columns, "ds", "delivery_id"]
    (source,) = manifest.inputs
    assert (source["kind"], source["day"], source["rows"]) == ("delivery", "2013-01-01", 842)
    assert (source["sha256"], source["uri"]) == (found.manifest.sha256, found.uri)
    rows = pq.read_table(manifest.files["2013-01-01"], partitioning=None)
    assert set(rows["ds"].to_pylist()) == {date(2013, 1, 1)}
    assert set(rows["delivery_id"].to_pylist()) == {found.manifest.sha256[:16]}
    assert tables.published("flights", "arrivals", "2013-01-01", "2013-01-01") == {}


@pytest.mark.parametrize("source", ["schedule", "arrivals", "weather", "planes", "airports", "airlines"])
def test_stage_every_source_of_a_range_keeps_every_row(flights, source):
    feed.deliver_range(flights, "2013-01-02", "2013-01-08")
    days = [(date(2013, 1, 2) + timedelta(offset)).isoformat() for offset in range(7)]
    manifest = stage(flights, source, *days)
    delivered = [found for day in days if (found := deliveries.find(flights, source, day))]
    assert manifest.partitions == tuple(found.day for found in delivered)
    assert manifest.rows_by_partition == {found.day: found.manifest.rows for found in delivered}
    assert len(delivered) == (7 if flights.source(source).cadence == "daily" else 2)


def test_stage_range_and_single_days_hold_the_same_rows(flights):
    feed.deliver_range(flights, "2013-01-02", "2013-01-03")
    whole = stage(flights, "weather", "2013-01-02", "2013-01-03")
    for day in ("2013-01-02", "2013-01-03"):
        single = stage(flights, "weather", day)
        (data_day,) = single.partitions
        assert Path(single.files[data_day]).read_bytes() == Path(whole.files[data_day]).read_bytes()


def test_stage_exact_duplicates_are_dropped_and_counted(flights):
    (header, *rows), deliver = arrivals_csv(flights)
    deliver([header, *rows, rows[0], rows[0], rows[7]])
    manifest = stage(flights)
    assert (manifest.received, manifest.rows, manifest.dropped) == (845, 842, {"exact_duplicate": 3})


def test_stage_rows_with_the_same_key_and_other_values_are_kept(flights):
    (header, *rows), deliver = arrivals_csv(flights)
    other = rows[0].rsplit(b",", 1)[0] + b",999\n"
    assert other != rows[0]
    deliver([header, *rows, other])
    manifest = stage(flights)
    assert (manifest.rows, manifest.dropped) == (843, {"exact_duplicate": 0})


def test_stage_same_rows_in_another_order_give_the_same_content(flights):
    (header, *rows), deliver = arrivals_csv(flights)
    before = stage(flights)
    deliver([header, *reversed(rows)])
    after = stage(flights)

    def content(manifest):
        return pq.read_table(manifest.files["2013-01-01"], partitioning=None).drop_columns("delivery_id")

    assert after.inputs[0]["sha256"] != before.inputs[0]["sha256"]
    assert content(after).equals(content(before))


def test_stage_published_delivery_again_is_a_no_op(flights):
    feed.deliver(flights, DAY)
    first = stage(flights)
    publish(first)
    assert stage(flights) == first
    assert batches.staged("flights", "arrivals") == [first.batch_id]
    assert publish(stage(flights)).repeated


def test_stage_same_content_under_a_higher_number_is_a_no_op(flights):
    feed.deliver(flights, DAY)
    first = stage(flights)
    publish(first)
    feed.deliver(flights, DAY, number=2)
    assert deliveries.find(flights, "arrivals", DAY).number == 2
    assert stage(flights) == first


def test_stage_same_content_under_a_new_contract_is_staged(flights):
    feed.deliver(flights, DAY)
    first = stage(flights)
    publish(first)
    source = flights.source("arrivals")
    contract = source.contract.model_copy(update={"version": 2})
    sources = {**flights.sources, "arrivals": source.model_copy(update={"contract": contract})}
    renewed = flights.model_copy(update={"sources": sources})
    feed.deliver(renewed, DAY, number=2)
    second = stage(renewed)
    assert second.batch_id != first.batch_id
    assert second.inputs[0]["contract_version"] == 2


def test_stage_unpublished_delivery_again_is_the_same_batch_while_it_is_whole(flights):
    feed.deliver(flights, DAY)
    first = crossing.stage(flights, "arrivals", [DAY], RUN)
    assert crossing.stage(flights, "arrivals", [DAY], RUN) == first
    assert batches.staged("flights", "arrivals") == [first.batch_id]
    Path(first.files["2013-01-01"]).unlink()
    again = crossing.stage(flights, "arrivals", [DAY], RUN)
    assert again.batch_id != first.batch_id
    assert again.content_hash == first.content_hash


def test_stage_correction_replaces_what_was_published(flights):
    (header, *rows), deliver = arrivals_csv(flights)
    publish(stage(flights))
    deliver([header, *rows[:-2]], number=2)
    corrected = stage(flights)
    assert corrected.rows == 840
    publish(corrected)
    assert tables.scan("flights", "arrivals", "2013-01-01", "2013-01-01").num_rows == 840


def test_stage_range_over_days_published_one_by_one_is_staged(flights):
    feed.deliver_range(flights, "2013-01-02", "2013-01-03")
    for day in ("2013-01-02", "2013-01-03"):
        publish(stage(flights, "weather", day))
    both = stage(flights, "weather", "2013-01-02", "2013-01-03")
    assert both.partitions == ("2013-01-01", "2013-01-02")
    publish(both)
    assert stage(flights, "weather", "2013-01-02", "2013-01-03") == both
    assert stage(flights, "weather", "2013-01-02").batch_id != both.batch_id


def test_stage_return_to_files_that_are_no_longer_shown_is_staged(flights):
    feed.deliver_range(flights, "2013-01-02", "2013-01-03")
    days = ("2013-01-02", "2013-01-03")
    both = stage(flights, "weather", *days)
    publish(both)
    found = deliveries.find(flights, "weather", "2013-01-03")
    whole = Landing(flights.landing_url).read(found.name)
    deliveries.land(flights, "weather", "2013-01-02", whole[: whole.rindex(b"\n", 0, -1) + 1])
    publish(stage(flights, "weather", "2013-01-03"))
    deliveries.land(flights, "weather", "2013-01-02", whole)
    again = stage(flights, "weather", *days)
    assert again.batch_id != both.batch_id
    assert again.rows_by_partition == both.rows_by_partition


def test_stage_range_again_after_a_correction_of_one_of_its_days_can_be_published(flights):
    """Its first batch is the one that was staged last for these days, and is older than what one of them shows."""
    feed.deliver_range(flights, "2013-01-02", "2013-01-03")
    days = ["2013-01-02", "2013-01-03"]
    both = crossing.stage(flights, "weather", days, RUN)
    publish(both)
    found = deliveries.find(flights, "weather", "2013-01-03")
    whole = Landing(flights.landing_url).read(found.name)
    deliveries.land(flights, "weather", "2013-01-02", whole[: whole.rindex(b"\n", 0, -1) + 1])
    publish(crossing.stage(flights, "weather", ["2013-01-03"], RUN))
    deliveries.land(flights, "weather", "2013-01-02", whole)
    again = crossing.stage(flights, "weather", days, RUN)
    publish(again)
    assert again.batch_id != both.batch_id
    shown = tables.published("flights", "weather", "2013-01-01", "2013-01-02")
    assert {day: one.batch_id for day, one in shown.items()} == dict.fromkeys(shown, again.batch_id)
    assert again.rows_by_partition == both.rows_by_partition


def test_stage_missing_delivery_names_days_folder_and_owner(flights):
    feed.deliver(flights, DAY)
    with pytest.raises(DeliveryMissingError, match="2013-01-03, 2013-01-04") as caught:
        stage(flights, "arrivals", "2013-01-02", "2013-01-03", "2013-01-04")
    assert "there is: nothing" in caught.value.what
    assert "arrivals_2013-01-02.csv.gz" in caught.value.allowed
    assert "airport-operations" in caught.value.todo


def test_stage_range_over_a_day_that_is_not_expected_needs_no_delivery_of_it(flights):
    holiday = flights.model_copy(update={"expected": Expected(holidays=(date(2013, 1, 2),))})
    for day in ("2013-01-02", "2013-01-04"):
        feed.deliver(flights, day, sources=["arrivals"])
    days = ("2013-01-02", "2013-01-03", "2013-01-04")
    assert [day for day in days if deliveries.due(holiday, "arrivals", day)] == ["2013-01-02", "2013-01-04"]
    with pytest.raises(DeliveryMissingError, match="the run of 2013-01-03"):
        stage(flights, "arrivals", *days)
    assert stage(holiday, "arrivals", *days).partitions == ("2013-01-01", "2013-01-03")
    with pytest.raises(DeliveryMissingError, match="the run of 2013-01-03"):
        stage(holiday, "arrivals", "2013-01-03")
    # What comes all the same is taken.
    feed.deliver(flights, "2013-01-03", sources=["arrivals"])
    assert deliveries.due(holiday, "arrivals", "2013-01-03")
    assert stage(holiday, "arrivals", *days).partitions == ("2013-01-01", "2013-01-02", "2013-01-03")


def test_stage_delivery_without_manifest_is_missing_and_named(flights):
    name = feed.deliver(flights, DAY, sources=["arrivals"])[0]
    (Path(flights.landing_url) / f"{name}{deliveries.MANIFEST}").unlink()
    with pytest.raises(DeliveryMissingError, match=r"there is: arrivals_2013-01-01\.csv\.gz\."):
        stage(flights)


def test_stage_weekly_source_without_any_delivery_is_missing(flights):
    feed.deliver(flights, "2013-01-01")
    feed.deliver(flights, DAY)
    with pytest.raises(DeliveryMissingError, match="planes"):
        stage(flights, "planes")


def test_stage_unknown_source_is_refused(flights):
    with pytest.raises(SourceUnknownError, match="departures"):
        stage(flights, "departures")


def test_stage_fewer_rows_than_announced_is_refused(flights):
    lines, deliver = arrivals_csv(flights)
    deliver(lines[:400], rows=842)
    with pytest.raises(DeliveryUnreadableError, match="holds 399 rows; its manifest announces 842"):
        stage(flights)


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [
        ("truncated", DeliveryUnreadableError, "not what its manifest announces"),
        ("missing_column", ContractBrokenError, "missing column 'air_time'"),
        ("wrong_type", ContractBrokenError, "column 'dep_time', row 422: 'unknown' is not an integer"),
    ],
)
def test_stage_corrupt_delivery_is_refused_and_nothing_is_staged(flights, mode, kind, said):
    feed.deliver(flights, DAY, corrupt=mode)
    with pytest.raises(kind, match=said) as caught:
        stage(flights)
    assert "arrivals_2013-01-01.csv.gz" in caught.value.where
    assert batches.staged("flights", "arrivals") == []


@pytest.mark.parametrize("mode", ["seconds", "shifted"])
def test_stage_corruption_that_keeps_the_types_is_left_to_the_gate(flights, mode):
    feed.deliver(flights, DAY, corrupt=mode)
    assert stage(flights).rows == 842


@pytest.mark.parametrize("source", ["arrivals", "schedule", "weather", "planes"])
def test_stage_delivery_that_announces_no_rows_is_left_to_the_gate(flights, source):
    """It says itself that it has none: the gate holds it, and a person can accept it (tests/test_empty_day.py)."""
    feed.deliver(flights, DAY, corrupt="empty", sources=[source])
    assert stage(flights, source).rows == 0


@pytest.mark.parametrize("mode", ["missing_column", "wrong_type"])
@pytest.mark.parametrize("source", ["schedule", "weather", "planes"])
def test_stage_corruption_of_other_formats_is_refused(flights, mode, source):
    feed.deliver(flights, DAY, corrupt=mode, sources=[source])
    with pytest.raises((DeliveryUnreadableError, ContractBrokenError)):
        stage(flights, source)


def test_stage_error_of_personal_data_shows_no_value(flights):
    source = flights.source("arrivals").model_copy(update={"pii": "direct"})
    private = flights.model_copy(update={"sources": {**flights.sources, "arrivals": source}})
    feed.deliver(private, DAY, corrupt="wrong_type")
    with pytest.raises(ContractBrokenError, match="row 422: the value is not an integer") as caught:
        stage(private)
    assert "unknown" not in str(caught.value)


def test_stage_source_whose_purpose_is_over_is_refused_before_its_delivery_is_read(flights):
    feed.deliver(flights, DAY)
    over = flights.source("arrivals").model_copy(update={"purpose_expires": date(2013, 1, 1)})
    expired = flights.model_copy(update={"sources": {**flights.sources, "arrivals": over}})
    for path in Path(flights.landing_url).joinpath("arrivals").rglob("*"):
        if path.is_file():
            path.write_bytes(b"not to be read")
    with pytest.raises(
        PurposeExpiredError, match=r"'arrivals' .* ended on 2013-01-01; today is 2013-01-02"
    ) as caught:
        stage(expired)
    assert "airport-operations" in caught.value.todo
    assert stage(expired, "weather").rows > 0
    last = over.model_copy(update={"purpose_expires": date(2013, 1, 2)})
    allowed = flights.model_copy(update={"sources": {**flights.sources, "arrivals": last}})
    with pytest.raises(DeliveryUnreadableError):  # its last day is not over: the delivery is read
        stage(allowed)


def test_refusal_whose_page_cannot_be_written_is_recorded_all_the_same(flights):
    feed.deliver(flights, DAY, sources=["arrivals"], corrupt="missing_column")
    (settings().home / "reports").write_text("a file in the place of the folder")
    with pytest.raises(ContractBrokenError):
        crossing.stage(flights, "arrivals", [DAY], RUN)
    (refused,) = ledger.entries(kind="refused")
    assert (refused.data["report"], bool(refused.data["unwritten"])) == ("", True)
    assert [hold.kind for hold in holds.open_holds(flights)] == ["refused"]
