"""Nobody trains on a past that was rewritten."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice import integrity, ledger, spec
from sluice.errors import HistoryRewrittenError
from sluice.lake import batches, tables
from sluice.modelling import training
from sluice.partitions import partition_label
from sluice.settings import settings
from tests.modelling.conftest import flights_rows

RUN = {"run_id": "test"}
OLD, LAST = "2013-03-01", "2013-03-30"


@pytest.fixture
def published(home):
    """Function: publish and record a tiny table of two days, a month apart."""
    flights = spec.load("flights")

    def publish(table: str) -> batches.Manifest:
        rows = pa.table(
            {
                "flight_id": ["a", "b"],
                "is_late": [True, False],
                "ds": pa.array([date.fromisoformat(day) for day in (OLD, LAST)], pa.date32()),
            }
        )
        manifest = batches.stage(
            "flights",
            table,
            rows,
            partitions=[OLD, LAST],
            received=2,
            dropped={},
            inputs=[],
            run=RUN,
            sort_by=["flight_id"],
        )
        tables.publish(manifest, verdict_id="v")
        ledger.append(
            "published",
            pipeline="flights",
            subject=table,
            partition=partition_label(manifest.partitions),
            data={"batch_id": manifest.batch_id, **integrity.publication(flights, manifest)},
        )
        return manifest

    return publish


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


@pytest.mark.slow
def test_training_retried_after_a_correction_trains_on_its_pinned_rows_and_alarms_nobody(flights):
    rows = flights_rows(flights)
    days = sorted({day.isoformat() for day in rows["ds"].to_pylist()})

    def publish(table: str, rows: pa.Table) -> None:
        manifest = batches.stage(
            "flights", table, rows, partitions=days, received=rows.num_rows, dropped={}, inputs=[], run=RUN,
            sort_by=["flight_id"],
        )  # fmt: skip
        tables.publish(manifest, verdict_id="v")
        ledger.append(
            "published",
            pipeline="flights",
            subject=table,
            partition=partition_label(manifest.partitions),
            data={"batch_id": manifest.batch_id, **integrity.publication(flights, manifest)},
        )

    publish("features", rows.drop_columns(["is_late"]))
    publish("outcomes", rows.select(["flight_id", "ds", "is_late"]))
    first = training.stage_candidate(flights, "2013-03-31", RUN)

    place = rows.column_names.index("temperature_f")
    warmer = rows.set_column(place, "temperature_f", pa.compute.add(rows["temperature_f"], 50.0))
    publish("features", warmer.drop_columns(["is_late"]))

    assert training.stage_candidate(flights, "2013-03-31", RUN) == first, "the same rows give the same model"
    assert ledger.entries(kind="rewritten") == []
    assert training.stage_candidate(flights, "2013-03-31", {"run_id": "another"}) != first, (
        "it has pins of its own"
    )
    hashes = [entry.data["sha256"] for entry in reversed(ledger.entries(kind="trained"))]
    assert hashes[0] == hashes[1] != hashes[2]
