"""What is due for monitoring is decided by what was measured from what, and what predictions were made from stays to be read."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from sluice import holds, ledger
from sluice.core.partitions import Partition
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.features import Features
from sluice.declare.retention import Retention
from sluice.declare.spec import MONITORING
from sluice.holds import show
from sluice.lake import batches, rewrites, snapshots, tables
from sluice.lake.batches import Manifest
from sluice.ledger import model_records, records
from sluice.models import due, monitoring, roles
from sluice.models.scoring import stage_predictions
from sluice.notify import digest_mail
from sluice.watch.maintenance import needed
from tests.models.conftest import RUN, flights_rows

pytestmark = pytest.mark.slow


class World:
    """Published features, outcomes and predictions of the last days of the drawn rows."""

    def __init__(self, flights: spec.Pipeline) -> None:
        self.flights = flights
        self.rows = flights_rows(flights)
        self.days = sorted({day.isoformat() for day in self.rows["ds"].to_pylist()})

    def publish(self, manifest: Manifest) -> Manifest:
        tables.publish(manifest, verdict_id="v", retention=self.flights.retention)
        ledger.append(
            records.Published(batch_id=manifest.batch_id, **rewrites.publication(self.flights, manifest)),
            pipeline="flights",
            subject=manifest.table,
            partition=str(Partition.of(manifest.partitions)),
        )
        return manifest

    def features(self, *days: str, warmer: float = 0.0) -> Manifest:
        rows = self._of(days).drop_columns(["is_late"])
        place = rows.column_names.index("temperature_f")
        rows = rows.set_column(place, "temperature_f", pa.compute.add(rows["temperature_f"], warmer))
        return self._stage("features", rows, days)

    def outcomes(self, *days: str, late: bool = False) -> Manifest:
        rows = self._of(days).select(["flight_id", "ds", "is_late"])
        if late:
            rows = rows.set_column(2, "is_late", pa.array([place % 2 == 0 for place in range(rows.num_rows)]))
        return self._stage("outcomes", rows, days)

    def predict(self, day: str) -> Manifest:
        manifest = stage_predictions(self.flights, [day], RUN)
        ledger.append(
            records.Staged(batch_id=manifest.batch_id),
            pipeline="flights",
            subject="predictions",
            partition=day,
        )
        return self.publish(manifest)

    def due(self, run_day: str) -> list[str]:
        return [day.ds for day in due.days(self.flights, run_day)]

    def _of(self, days) -> pa.Table:
        wanted = pa.array([date.fromisoformat(day) for day in days], pa.date32())
        return self.rows.filter(pa.compute.is_in(self.rows["ds"], value_set=wanted))

    def _stage(self, table: str, rows: pa.Table, days) -> Manifest:
        return self.publish(
            batches.stage(
                "flights", table, rows, partitions=days, received=rows.num_rows, dropped={}, inputs=[], run=RUN,
                sort_by=["flight_id"],
            )
        )  # fmt: skip


@pytest.fixture
def world(flights) -> World:
    """A model of five features instead of 26: Evidently draws each, and which days are measured does not depend on them."""
    few = Features(
        numeric=("carrier_late_rate_28d", "route_late_rate_28d", "temperature_f"),
        categorical=("carrier", "origin"),
    )
    return World(flights.model_copy(update={"model": flights.model.model_copy(update={"features": few})}))


@pytest.fixture
def few_snapshots(world, monkeypatch) -> None:
    """As after hundreds of publications: only the newest snapshot is kept."""
    monkeypatch.setattr(snapshots, "_SLACK", 0)
    world.flights = world.flights.model_copy(update={"retention": Retention(snapshots_count=1)})


def measured(world: World) -> list[tuple[str, int, bool]]:
    found = ledger.entries(kind="monitored", subject=world.flights.model.name)
    return [(e.data["ds"], e.data["labelled"], e.data["has_outcomes"]) for e in reversed(found)]


def auc(world: World, day: str) -> float:
    return ledger.entries(kind="monitored", subject=world.flights.model.name, partition=day, limit=1)[0].data[
        "auc"
    ]


def test_table_of_monitoring_that_the_catalog_refuses_stops_no_decision(world):
    *_, last = world.days[-20:]
    world.features(last)
    world.predict(last)
    notes = pa.table({"ds": [date.fromisoformat(last)], "flight_id": ["by hand"]})
    world._stage(MONITORING, notes, [last])
    assert list(monitoring.report_days(world.flights, last, RUN)) == [last]
    assert monitoring.decide(world.flights, last, RUN)["action"]


def test_failed_custom_check_is_on_the_page_in_the_decision_and_in_the_digest(world, tmp_path, monkeypatch):
    folder = tmp_path / "expectations" / "flights"
    shutil.copytree(settings().expectations / "flights", folder)
    (folder / "monitoring" / "few.sql").write_text(
        "-- Few are predicted.\nselect count(*) as value, 0 as low, 1 as high from predictions where ds = getvariable('day')"
    )
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "expectations"))
    settings.cache_clear()
    *_, last = world.days[-20:]
    world.features(last)
    world.predict(last)
    page = monitoring.report_days(world.flights, last, RUN)[last]
    rows = world._of([last]).num_rows
    sentence = f"Custom check few failed on {last}: {rows} (at least 0, at most 1). Few are predicted."
    assert sentence in (settings().home / "reports" / page).read_text()
    assert monitoring.decide(world.flights, last, RUN)["action"] == "warn"
    (item,) = digest_mail._monitoring(world.flights, 0)
    assert sentence in item.text
    # Those that are shipped have too little to judge by on a first day, which is nothing to tell of.
    assert item.text.count("Custom check") == 1


def test_outcomes_that_come_weeks_late_or_are_corrected_are_measured_and_the_warning_goes(world):
    first, *_, last = world.days[-20:]
    world.features(first, last)
    world.predict(first), world.predict(last)
    monitoring.report_days(world.flights, first, RUN)
    monitoring.report_days(world.flights, last, RUN)
    assert f"No outcomes of {first} after 7 days." in monitoring.decide(world.flights, last, RUN)["reasons"]

    world.outcomes(first)
    assert world.due(last) == [first, last]
    monitoring.report_days(world.flights, last, RUN)
    shown = tables.scan("flights", MONITORING, first, last, columns=["ds", "metric", "value"]).to_pylist()
    assert {str(row["ds"]): row["value"] for row in shown if row["metric"] == "auc"} == {
        first: auc(world, first),
        last: None,
    }
    decided = monitoring.decide(world.flights, last, RUN)
    assert not [reason for reason in decided["reasons"] if "No outcomes" in reason]
    assert world.due(last) == [last]
    before = auc(world, first)

    world.outcomes(first)
    assert world.due(last) == [last], "built again with the same content"
    world.outcomes(first, late=True)
    assert world.due(last) == [first, last]
    monitoring.report_days(world.flights, last, RUN)
    assert auc(world, first) != before
    assert world.due(last) == [last]


def test_one_run_measures_the_declared_number_of_days_oldest_first_and_says_what_is_left(world):
    *earlier, last = world.days[-6:]
    world.features(*earlier, last)
    for day in (*earlier, last):
        world.predict(day)
    world.outcomes(*earlier)
    two = world.flights.monitoring.model_copy(update={"days_per_run": 2})
    flights = world.flights.model_copy(update={"monitoring": two})
    left = []
    for _ in range(3):
        monitoring.report_days(flights, last, RUN)
        decided = monitoring.decide(flights, last, RUN)
        left.append(decided["numbers"]["days_waiting"])
    assert [ds for ds, *_ in measured(world) if ds != last] == earlier
    assert left == [3, 1, 0]
    said = ledger.entries(kind="decided")[-1].data["reasons"]
    assert f"3 earlier day(s) wait to be measured, from {earlier[2]}; the next run goes on with them." in said


def test_after_hundreds_of_publications_it_is_known_from_which_rows_and_monitoring_goes_on(
    world, few_snapshots
):
    day, last = world.days[-10], world.days[-1]
    made_from = world.features(day)
    predicted = world.predict(day)
    world.features(day, warmer=50.0)
    for other in world.days[-9:]:
        world.features(other)
    world.predict(last)
    (read,) = (each for each in predicted.inputs if each["kind"] == "snapshot")
    with pytest.raises(Exception, match="has been expired"):
        tables.published("flights", "features", day, day, snapshot_id=read["snapshot_id"])

    world.outcomes(day)
    monitoring.report_days(world.flights, last, RUN)
    assert (day, 40, True) in measured(world)
    assert due.features(world.flights, due.days(world.flights, last)[0]) is not None
    story = due.DueDay(day, predicted.batch_id, None)
    assert due.features(world.flights, story).equals(batches.read(made_from, day))
    lines = "\n".join(show.traced(holds.trace(world.flights, "predictions", day)))
    assert made_from.batch_id in lines


def test_predictions_of_an_earlier_version_are_measured_by_what_the_ledger_says_was_published_then(
    world, few_snapshots
):
    day = world.days[-5]
    made_from = world.features(day)
    predicted = world.predict(day)
    world.features(day, warmer=50.0)
    manifest = batches.load("flights", "predictions", predicted.batch_id)
    inputs = tuple({k: v for k, v in each.items() if k != "batches"} for each in manifest.inputs)
    batches.write(manifest.model_copy(update={"inputs": inputs}), {})
    found = due.features(world.flights, due.DueDay(day, predicted.batch_id, None))
    assert found.equals(batches.read(made_from, day))


def test_record_of_an_earlier_version_counts_for_what_was_published_before_it(world):
    day, last = world.days[-2:]
    world.features(day, last)
    world.predict(day), world.predict(last)
    world.outcomes(day)
    monitoring.report_days(world.flights, last, RUN)
    entry = ledger.entries(kind="monitored", partition=day, limit=1)[0]
    old = {name: value for name, value in entry.data.items() if name not in ("measured", "has_outcomes")}
    ledger.append(
        model_records.Monitored(**old), pipeline="flights", subject=world.flights.model.name, partition=day
    )
    assert world.due(last) == [last]
    assert monitoring.decide(world.flights, last, RUN)["numbers"]["outcomes_overdue"] == []
    world.outcomes(day, late=True)
    assert world.due(last) == [day, last]


def test_day_whose_features_are_gone_is_said_once_and_stands_in_nobodys_way(world):
    gone, day, last = world.days[-3:]
    made_from = world.features(gone)
    world.features(day, last)
    for each in (gone, day, last):
        world.predict(each)
    world.features(gone, warmer=1.0)
    batches.connection.remove(made_from.files[gone])
    world.outcomes(gone, day)
    one = world.flights.monitoring.model_copy(update={"days_per_run": 1})
    flights = world.flights.model_copy(update={"monitoring": one})
    for _ in range(2):
        monitoring.report_days(flights, last, RUN)
    (entry,) = ledger.entries(kind="not_measured")
    assert entry.data["reasons"][0].startswith(
        f"{gone} cannot be measured: The file of batch {made_from.batch_id}"
    )
    assert (day, 40, True) in measured(world)
    assert world.due(last) == [last]
    decided = monitoring.decide(flights, last, RUN)
    assert decided["action"] == "warn", "a mail of the day tells it"
    assert entry.data["reasons"][0] in decided["reasons"]


def test_what_predictions_were_made_from_is_needed_as_long_as_it_is_declared(world):
    day = world.days[-1]
    made_from = world.features(day)
    world.predict(day)
    world.features(day, warmer=1.0)
    later = datetime.now(UTC) + timedelta(days=200)

    def kept(inputs_since: datetime) -> set[str]:
        return needed.batches(world.flights, later, inputs_since=inputs_since).get("features", set())

    assert kept(datetime.now(UTC) - timedelta(days=1)) == {made_from.batch_id}
    assert kept(datetime.now(UTC) + timedelta(days=1)) == set()


def test_reference_is_what_the_champion_learned_from_whatever_was_published_since(flights, trained, audited):
    world = World(flights)
    days = world.days
    world.features(*days)
    roles.promote(world.flights, audited(trained(), None), RUN)
    champion = monitoring.scorer.choose(world.flights).model
    pinned = tables.pin("flights", "features", "train")
    tags = {**champion.registered.tags, "snapshot.features": str(pinned)}
    champion = dataclasses.replace(champion, registered=dataclasses.replace(champion.registered, tags=tags))
    before = monitoring._reference(world.flights, days[-1], champion)
    world.features(*days, warmer=50.0)
    assert monitoring._reference(world.flights, days[-1], champion).equals(before)
    assert not monitoring._reference(world.flights, days[-1], None).equals(before)


def test_decision_does_not_look_at_days_after_its_own(world):
    first, last = world.days[-2:]
    world.features(first, last)
    for day in (first, last):
        world.predict(day)
        monitoring.report_days(world.flights, day, RUN)
    assert monitoring.decide(world.flights, first, RUN)["numbers"]["ds"] == first
    assert [day.ds for day in monitoring.recorded_days(world.flights, first)] == [first]
