"""Nobody trains on a past that was rewritten."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import ledger
from sluice.core.errors import HistoryRewrittenError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import batches, rewrites, tables
from sluice.models import training
from sluice.watch import maintenance
from tests.models.conftest import DAY, OLD, flights_rows, publish

RUN = Run(run_id="test")
# On the morning of DAY the newest outcome is a day old: 90 days are trained on, and the first of them looks back on 28.
FIRST_LOOKED_BACK_ON = "2012-12-03"


@pytest.mark.parametrize("table", ["features", "arrivals"])
def test_training_on_rewritten_history_is_refused_before_anything_is_fitted(published, table):
    flights = spec.load("flights")
    made = {name: published(name) for name in ("features", "outcomes", "arrivals")}
    path = made[table].files[OLD]
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.set_column(1, "is_late", pa.array([False])), path)

    with pytest.raises(HistoryRewrittenError, match=f"{table} {OLD} was edited in place") as caught:
        training.stage_candidate(flights, "2013-03-31", RUN)

    assert "1 rows" in caught.value.what
    assert not (settings().home / "mlflow.db").exists()
    assert ledger.entries(kind="trained") == []
    assert [entry.partition for entry in ledger.entries(kind="rewritten", subject=table)] == [OLD]


def test_training_on_features_that_look_back_on_a_rewritten_day_is_refused(published):
    """The first day that the oldest feature was made from, long before the first that is trained on."""
    flights = spec.load("flights")
    made = {name: published(name, FIRST_LOOKED_BACK_ON) for name in ("features", "outcomes", "arrivals")}
    Path(made["arrivals"].files[FIRST_LOOKED_BACK_ON]).unlink()

    with pytest.raises(HistoryRewrittenError, match=f"arrivals {FIRST_LOOKED_BACK_ON} was removed"):
        training.stage_candidate(flights, DAY, RUN)


def test_training_retried_after_a_day_that_was_pinned_without_rows_has_some_alarms_nobody(home):
    """What a tag pins keeps its days without rows, however often they are published anew; and maintenance keeps their files."""
    flights = spec.load("flights")
    empty, full = "2013-03-29", "2013-03-30"

    def published(table: str, *days: str) -> batches.Manifest:
        made = {"flight_id": list(days), "ds": pa.array(map(date.fromisoformat, days), pa.date32())}
        return publish(flights, table, pa.table(made), [empty, full])

    def pinned_again() -> dict[str, tables.Published]:
        pinned = training.pin(flights, "2013-03-31", RUN.run_id)
        rewrites.require_intact(flights, 35, until="2013-03-31", pinned=pinned)
        return tables.published("flights", "features", empty, full, snapshot_id=pinned.snapshots["features"])

    published("outcomes", empty, full)
    published("features", full)
    before = pinned_again()
    for days in ([empty, full], [full], [empty, full]):
        published("features", *days)
        assert pinned_again() == before
    later = datetime.now(UTC).replace(year=2100)
    for now in (later, later.replace(year=2101)):
        maintenance.clear_tables(flights, RUN, now=now)
    assert pinned_again() == before
    assert ledger.entries(kind="rewritten") == []
    assert [one.rows for one in tables.published("flights", "features", empty, full).values()] == [1, 1]


@pytest.mark.slow
def test_training_retried_after_a_correction_trains_on_its_pinned_rows_and_alarms_nobody(flights):
    rows = flights_rows(flights)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    publish(flights, "outcomes", rows.select(["flight_id", "ds", "is_late"]))
    first = training.stage_candidate(flights, "2013-03-31", RUN)

    place = rows.column_names.index("temperature_f")
    warmer = rows.set_column(place, "temperature_f", pa.compute.add(rows["temperature_f"], 50.0))
    publish(flights, "features", warmer.drop_columns(["is_late"]))

    assert training.stage_candidate(flights, "2013-03-31", RUN) == first, "the same rows give the same model"
    assert ledger.entries(kind="rewritten") == []
    assert training.stage_candidate(flights, "2013-03-31", Run(run_id="another")) != first, (
        "it has pins of its own"
    )
    hashes = [entry.data["sha256"] for entry in reversed(ledger.entries(kind="trained"))]
    assert hashes[0] == hashes[1] != hashes[2]
