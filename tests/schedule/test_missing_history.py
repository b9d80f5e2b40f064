"""What is built over a hole in history says so, and is listed as to be rebuilt when the hole closes."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import crossing, holds, ledger, status
from sluice.cli import main
from sluice.core.errors import TableMissingError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.holds import show
from sluice.lake import batches, tables
from sluice.ledger import records
from sluice.schedule import missing_history
from sluice_lab import feed

DAYS = ("2013-04-02", "2013-04-03", "2013-04-04")
# The arrivals of 2013-04-02 are the data of the run of 2013-04-03.
GAP = "2013-04-02"
RUN = Run(dag_id="flights_ingest", run_id="test")


def _land(flights: spec.Pipeline, day: str, *, leave_out: tuple[str, ...] = ()) -> None:
    """Publish the sources of a day; unjudged, because their gates are not what is tried here."""
    names = feed.deliver(flights, day)
    for source in dict.fromkeys(name.split("/")[0] for name in names):
        if source not in leave_out:
            tables.publish(crossing.stage(flights, source, [day], RUN), verdict_id="unjudged")


def _cross(flights: spec.Pipeline, table: str, day: str) -> batches.Manifest:
    manifest = crossing.stage(flights, table, [day], RUN)
    verdict = crossing.audit(flights, table, manifest.batch_id, RUN)
    assert verdict.publishes, verdict.reasons
    crossing.publish(flights, table, manifest.batch_id, RUN)
    return manifest


def _state(flights: spec.Pipeline, day: str) -> tuple[str, str]:
    """What the status says of the features of a day."""
    (item,) = (one for one in status.of(flights, first=day, last=day) if one.table == "features")
    return item.state, item.reason


def _column(table: str, day: str) -> set[int | None]:
    rows = tables.scan("flights", table, day, day, columns=["missing_history_days"])
    return set(rows["missing_history_days"].to_pylist())


@pytest.mark.slow
def test_day_that_is_built_over_a_hole_says_so_and_is_to_be_rebuilt_when_it_closes(flights):
    first, second, third = DAYS
    _land(flights, first)
    _cross(flights, "features", first)
    _land(flights, second, leave_out=("arrivals",))
    _land(flights, third)
    built = _cross(flights, "features", third)
    _cross(flights, spec.PREDICTIONS, third)

    assert _column("features", first) == {0}, "nothing is due before the first day"
    assert _column("features", third) == _column(spec.PREDICTIONS, third) == {1}
    said = f"Made without history that was due and not published: arrivals {GAP} (rows of {third})."
    for table in ("features", spec.PREDICTIONS):
        (verdict,) = ledger.entries(kind="verdict", subject=table, partition=third)
        assert verdict.data["outcome"] == "WARN"
        assert said in verdict.data["reasons"]
        (published,) = ledger.entries(kind="published", subject=table, partition=third)
        assert missing_history.recorded_in(published) == missing_history.of_batch(
            flights, table, published.data["batch_id"]
        )
        text = "\n".join(show.traced(holds.trace(flights, table, third)))
        assert f"made without  arrivals {GAP}\n" in text
    assert missing_history.rebuilds(flights) == []

    tables.publish(crossing.stage(flights, "arrivals", [second], RUN), verdict_id="unjudged")

    (rebuild,) = missing_history.rebuilds(flights)
    assert (rebuild.table, rebuild.day, rebuild.run_day) == ("features", third, third)
    assert _state(flights, third) == (
        "outdated",
        f"it was made without arrivals {GAP}, which is published now",
    ), "the watcher starts what is outdated"
    listed = CliRunner().invoke(main, ["held", "flights"])
    assert f"features {third}: it was made without arrivals {GAP}, which is published now." in listed.output
    assert f"Run flights_transform again with partition key {third}." in listed.output
    text = "\n".join(show.traced(holds.trace(flights, "features", third)))
    assert f"made without  arrivals {GAP} (published since: {GAP})" in text

    again = _cross(flights, "features", third)
    assert _column("features", third) == {0}
    assert again.content_hash != built.content_hash
    assert missing_history.rebuilds(flights) == []
    assert _state(flights, third) == ("published", "")
    assert _column(spec.PREDICTIONS, third) == {1}, "they stay as they were made"


@pytest.mark.slow
def test_day_that_was_held_over_a_hole_is_built_again_when_it_closes(flights):
    first, second, third = DAYS
    _land(flights, first)
    _land(flights, second, leave_out=("arrivals",))
    _land(flights, third)
    manifest = crossing.stage(flights, "features", [third], RUN)
    held = records.Held(batch_id=manifest.batch_id, outcome="HOLD", reasons=("The level is another.",))
    ledger.append(held, pipeline="flights", subject="features", partition=third)
    assert _state(flights, third)[0] == "held"

    tables.publish(crossing.stage(flights, "arrivals", [second], RUN), verdict_id="unjudged")

    assert _state(flights, third)[0] == "ready"
    _cross(flights, "features", third)
    assert _state(flights, third) == ("published", "")


@pytest.mark.slow
def test_pipeline_that_refuses_missing_history_builds_when_it_has_come(flights):
    first, second, third = DAYS
    _land(flights, first)
    _land(flights, second, leave_out=("arrivals",))
    _land(flights, third)
    refuses = flights.model_copy(update={"history": spec.History(missing="refuse")})
    with pytest.raises(TableMissingError, match=rf"not published: arrivals {GAP}\.") as caught:
        crossing.stage(refuses, "features", [third], RUN)
    assert f"the run of flights_ingest for {second}" in caught.value.todo
    assert batches.staged("flights", "features") == []
    # Outcomes look back on nothing.
    assert crossing.stage(refuses, "outcomes", [third], RUN).missing_history == ()
    marks = {
        **refuses.derived,
        "features": refuses.derived["features"].model_copy(update={"history": spec.History()}),
    }
    assert crossing.stage(
        refuses.model_copy(update={"derived": marks}), "features", [third], RUN
    ).missing_history
    ledger.append(records.Skipped(by="Ada"), pipeline="flights", subject="arrivals", partition=GAP)
    given_up = crossing.stage(refuses, "features", [third], RUN)
    assert [one.missing for one in given_up.missing_history] == [(GAP,)], (
        "it is built, and says so all the same"
    )

    tables.publish(crossing.stage(flights, "arrivals", [second], RUN), verdict_id="unjudged")
    assert crossing.stage(refuses, "features", [third], RUN).missing_history == ()


# What was read is given by hand from here on.


def _show(
    table: str,
    day: str,
    missing: tuple[missing_history.MissingHistory, ...] = (),
    made_from: tuple[dict, ...] = (),
) -> str:
    rows = pa.table({"id": [1], "ds": pa.array([date.fromisoformat(day)], pa.date32())})
    manifest = batches.stage(
        "flights", table, rows, partitions=[day], received=1, dropped={}, inputs=made_from, run=RUN, sort_by=["id"],
        missing_history=missing,
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v")
    recorded = [one.model_dump(mode="json") for one in missing]
    data = {"batch_id": manifest.batch_id, "missing_history": recorded}
    ledger.append(records.Published(**data), pipeline="flights", subject=table, partition=day)
    return manifest.batch_id


def _read(table: str, first: str, last: str, batches_: dict[str, str] | None = None) -> dict:
    return {
        "kind": "snapshot", "table": table, "snapshot_id": tables.snapshot_id("flights", table), "first": first,
        "last": last, "batches": batches_ or {},
    }  # fmt: skip


def test_of_a_batch_of_several_days_each_names_what_it_looks_back_on_itself(flights):
    for day in ("2013-04-01", "2013-04-03", "2013-04-04", "2013-04-06"):
        _show("arrivals", day)
    days = ["2013-04-03", "2013-04-04", "2013-04-05", "2013-04-06", "2013-04-07"]
    (found,) = missing_history.of_inputs(
        flights, "features", days, [_read("arrivals", "2013-04-01", "2013-04-07")]
    )
    assert found.days == {
        "2013-04-03": (GAP,),
        "2013-04-04": (GAP,),
        "2013-04-06": ("2013-04-05",),
        "2013-04-07": ("2013-04-05",),
    }, "a run sees of a table what has been published by its day, two days back"


def test_what_is_made_of_a_derived_table_lacks_what_that_lacked(flights):
    lacks = missing_history.MissingHistory(table="arrivals", days={GAP: ("2013-04-01",)})
    read = _read("features", GAP, GAP, {GAP: _show("features", GAP, (lacks,))})
    assert missing_history.of_inputs(flights, spec.PREDICTIONS, [GAP], [read]) == (lacks,)


def test_each_day_of_a_range_lacks_what_its_own_inputs_lacked(flights):
    lacks = missing_history.MissingHistory(table="arrivals", days={GAP: ("2013-04-01",)})
    made_from = {GAP: _show("features", GAP, (lacks,)), "2013-04-03": _show("features", "2013-04-03")}
    read = _read("features", GAP, "2013-04-03", made_from)
    assert missing_history.of_inputs(flights, spec.PREDICTIONS, list(made_from), [read]) == (lacks,)
    of_an_earlier_version = {**read, "batches": None}
    assert (
        missing_history.of_inputs(flights, spec.PREDICTIONS, list(made_from), [of_an_earlier_version]) == ()
    )


def test_rebuilds_go_back_as_far_as_is_declared_and_the_oldest_comes_first(flights):
    for day in ("2013-03-01", GAP):
        _show("arrivals", day)
    for day in ("2013-04-05", "2013-04-04", "2013-04-03"):
        _show("features", day, (missing_history.MissingHistory(table="arrivals", days={day: (GAP,)}),))
    assert missing_history.rebuilds(flights) == [], "nothing was delivered: there is no today"
    pipeline_clock.advance(flights, date(2013, 4, 6))

    def listed(**declared: object) -> list[str]:
        bounded = flights.model_copy(update={"history": spec.History(**declared)})
        return [one.day for one in missing_history.rebuilds(bounded)]

    assert listed() == ["2013-04-03", "2013-04-04", "2013-04-05"]
    assert listed(rebuild_days=2) == ["2013-04-04", "2013-04-05"]
    assert listed(rebuild_days=0) == []


def test_inputs_are_looked_at_as_they_were_read_and_declared_tables_only(flights):
    for day in ("2013-04-01", "2013-04-03"):
        _show("arrivals", day)
    read = _read("arrivals", "2013-04-01", "2013-04-03")
    _show("arrivals", GAP)
    for day in ("2013-04-01", "2013-04-03"):
        _show("no_longer_declared", day)
    others = [
        {"kind": "clock", "today": "2013-04-04"},
        _read("no_longer_declared", "2013-04-01", "2013-04-03"),
    ]
    (found,) = missing_history.of_inputs(flights, "features", ["2013-04-04"], [*others, read])
    assert (found.table, found.days) == ("arrivals", {"2013-04-04": (GAP,)})
    now = _read("arrivals", "2013-04-01", "2013-04-03")
    assert missing_history.of_inputs(flights, "features", ["2013-04-04"], [now]) == ()


def test_what_a_batch_lacked_is_known_after_it_was_cleared_away(flights):
    gone, lacks = (
        "20130401T000000000000-aaaaaa",
        missing_history.MissingHistory(table="arrivals", days={GAP: ("2013-04-01",)}),
    )
    recorded = [lacks.model_dump(mode="json")]
    for batch_id, pipeline, table, missing in (
        (gone, "flights", "features", recorded),
        (gone, "flights", "outcomes", []),
        (gone, "trains", "features", []),
        ("20130402T000000000000-aaaaaa", "flights", "features", []),
    ):
        data = {"batch_id": batch_id, "missing_history": missing}
        ledger.append(records.Published(**data), pipeline=pipeline, subject=table, partition=GAP)
    assert missing_history.of_batch(flights, "features", gone) == (lacks,)
    assert missing_history.of_batch(flights, "outcomes", gone) == ()
    assert missing_history.of_batch(flights, "features", "20130403T000000000000-aaaaaa") == ()
    assert missing_history.of_batch(flights, "features", "") == ()


def test_what_a_person_gave_up_is_awaited_no_longer_and_the_rest_is(flights):
    of_arrivals = {"2013-04-03": (GAP,), "2013-04-04": (GAP, "2013-04-03")}
    arrivals = missing_history.MissingHistory(table="arrivals", days=of_arrivals)
    weather = missing_history.MissingHistory(table="weather", days={"2013-04-03": (GAP,)})
    assert missing_history.awaited(flights, [arrivals, weather]) == [arrivals, weather]
    ledger.append(records.Skipped(by="Ada"), pipeline="flights", subject="arrivals", partition=GAP)
    left = missing_history.MissingHistory(table="arrivals", days={"2013-04-04": ("2013-04-03",)})
    assert missing_history.awaited(flights, [arrivals, weather]) == [left, weather]
    ledger.append(records.Skipped(by="Ada"), pipeline="flights", subject="weather", partition=GAP)
    assert missing_history.awaited(flights, [weather]) == []


def test_rebuild_is_of_the_day_that_lacked_something_and_names_what_has_come(flights):
    for day in ("2013-04-01", "2013-04-03"):
        _show("arrivals", day)
    lacked = missing_history.MissingHistory(table="arrivals", days={"2013-04-05": (GAP, "2013-04-03")})
    data = {"batch_id": "b", "missing_history": [lacked.model_dump(mode="json")]}
    ledger.append(
        records.Published(**data), pipeline="flights", subject="features", partition="2013-04-04..2013-04-05"
    )
    pipeline_clock.advance(flights, date(2013, 4, 6))
    (rebuild,) = missing_history.rebuilds(flights)
    came = missing_history.MissingHistory(table="arrivals", days={"2013-04-05": ("2013-04-03",)})
    assert (rebuild.day, rebuild.run_day, rebuild.arrived) == ("2013-04-05", "2013-04-05", (came,))


def test_register_that_came_later_in_the_week_fills_it_only_for_the_days_after_it(flights):
    week = missing_history.MissingHistory(table="planes", days={"2013-04-09": ("2013-04-08",)})
    days = [f"2013-04-{day:02}" for day in range(8, 14)]

    def lacking() -> list[str]:
        read = _read("planes", "2013-04-01", days[-1])
        return [
            day for one in missing_history.of_inputs(flights, "features", days, [read]) for day in one.days
        ]

    _show("planes", "2013-04-01")
    _show("features", "2013-04-09", (week,))
    assert lacking() == days
    _show("planes", "2013-04-12")
    pipeline_clock.advance(flights, date(2013, 4, 13))
    assert lacking() == ["2013-04-08", "2013-04-09", "2013-04-10", "2013-04-11"]
    assert missing_history.rebuilds(flights) == [], "it would be built from the register of 2013-04-01 again"
    _show("planes", "2013-04-08")
    assert lacking() == []
    assert [one.day for one in missing_history.rebuilds(flights)] == ["2013-04-09"]


def test_register_that_came_on_the_day_of_a_lagging_table_s_run_is_none_that_its_build_reads(flights):
    """Outcomes of 9 April are built on the 10th, from what is of the 9th or before."""
    _show("planes", "2013-04-01")
    week = missing_history.MissingHistory(table="planes", days={"2013-04-09": ("2013-04-08",)})
    _show("outcomes", "2013-04-09", (week,))
    _show("planes", "2013-04-10")
    pipeline_clock.advance(flights, date(2013, 4, 13))
    assert missing_history.rebuilds(flights) == []
    _show("planes", "2013-04-09")
    assert [one.day for one in missing_history.rebuilds(flights)] == ["2013-04-09"]


def test_history_of_a_source_that_is_declared_no_more_is_waited_for_by_nobody(flights):
    lacks = missing_history.MissingHistory(table="weather", days={"2013-04-03": (GAP,)})
    _show("weather", "2013-04-01")
    _show("features", "2013-04-03", (lacks,))
    pipeline_clock.advance(flights, date(2013, 4, 6))
    left = {name: source for name, source in flights.sources.items() if name != "weather"}
    retired = flights.model_copy(update={"sources": left})
    shown = {table: tables.published("flights", table) for table in retired.tables}
    assert missing_history.rebuilds(retired, shown) == []
    assert missing_history.awaited(retired, [lacks]) == []
    assert missing_history.awaited(flights, [lacks]) == [lacks]


def test_what_a_derived_table_lacks_for_good_is_no_reason_to_build_again_what_is_made_of_it(flights):
    """Features were built without arrivals that came later, and are past their bound; a table that is built from them is not."""
    _show("arrivals", "2013-04-01")
    lacks = missing_history.MissingHistory(table="arrivals", days={GAP: ("2013-04-01",)})
    batch_id = _show("features", GAP, (lacks,))
    _show("outcomes", GAP, (lacks,), (_read("features", "2013-04-01", GAP, {GAP: batch_id}),))
    pipeline_clock.advance(flights, date(2013, 4, 6))
    stays = flights.derived["features"].model_copy(update={"history": spec.History(rebuild_days=0)})
    bounded = flights.model_copy(update={"derived": {**flights.derived, "features": stays}})
    assert missing_history.rebuilds(bounded) == []
    _show("features", GAP)
    assert [(one.table, one.day) for one in missing_history.rebuilds(bounded)] == [("outcomes", GAP)]


def test_table_of_an_earlier_version_gets_the_column_and_its_rows_say_nothing(flights):
    from sluice.lake import missing

    _show("features", "2013-04-03")
    rows = pa.table({"id": [1], "ds": pa.array([date(2013, 4, 4)], pa.date32())})
    marked = missing.mark(
        rows, [missing.MissingHistory(table="arrivals", days={"2013-04-04": (GAP,)})], "here"
    )
    new = batches.stage(
        "flights", "features", marked, partitions=["2013-04-04"], received=1, dropped={}, inputs=[], run=RUN,
        sort_by=["id"],
    )  # fmt: skip
    tables.publish(new, verdict_id="v")
    assert _column("features", "2013-04-03") == {None}
    assert _column("features", "2013-04-04") == {1}
