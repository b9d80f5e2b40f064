"""A home with a registry, and small models that were really fitted."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.partitions import Partition
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.lake import batches, rewrites, tables
from sluice.ledger import Entry, model_records, records
from sluice.ledger.kinds import KINDS
from sluice.models import roles
from sluice.models.config import model_config, registry
from sluice_ml.training import Candidate, fit

DAY = "2013-03-31"
RUN = Run(dag_id="flights_train", run_id="test")
OLD, LAST = "2013-03-01", "2013-03-30"
_DAYS, _PER_DAY = 40, 40


def flights_rows(spec_: spec.Pipeline, days: int = _DAYS, seed: int = 7) -> pa.Table:
    """Drawn features of the days before DAY; whether a flight is late depends on one of them."""
    drawn = np.random.default_rng(seed)
    count = days * _PER_DAY
    first = date.fromisoformat(DAY) - timedelta(days=days)
    departs = [
        datetime.combine(first + timedelta(days=place // _PER_DAY), datetime.min.time(), UTC)
        + timedelta(hours=15)
        for place in range(count)
    ]
    features = spec_.model.features
    columns = {name: drawn.normal(size=count) for name in features.numeric}
    columns |= {name: drawn.choice(list("abcd"), count) for name in features.categorical}
    # No straight line finds it.
    risk = np.where(np.abs(columns["route_late_rate_28d"]) < 0.7, -1.5, 1.5)
    columns["carrier_late_rate_28d"] = drawn.random(count)
    return pa.table(
        {
            "flight_id": [f"flight {place}" for place in range(count)],
            "ds": pa.array([at.date() for at in departs], pa.date32()),
            "is_late": pa.array(drawn.random(count) < 1 / (1 + np.exp(-risk))),
            "as_of_at": pa.array([at - timedelta(hours=6) for at in departs], pa.timestamp("us", tz="UTC")),
            "scheduled_departure_at": pa.array(departs, pa.timestamp("us", tz="UTC")),
            **columns,
        }
    )


@pytest.fixture(scope="session")
def candidate() -> Candidate:
    flights = spec.load("flights")
    return fit(flights_rows(flights), small_config(flights))


def small_config(flights: spec.Pipeline):
    return dataclasses.replace(model_config(flights), rounds=30, resamples=100, accepted_findings={})


@pytest.fixture
def flights(home, empty_registry) -> spec.Pipeline:
    """The pipeline, in a home with an empty registry."""
    home.mkdir(parents=True)
    shutil.copy(empty_registry, settings().mlflow_url.removeprefix("sqlite:///"))
    return spec.load("flights")


@pytest.fixture
def trained(flights, candidate) -> Callable[[], int]:
    """Function: register one more candidate as a training does; returns its version."""
    number = iter(range(100))

    def train(copy: int | None = None) -> int:
        meta = dataclasses.replace(candidate.meta, unlabelled_rows=next(number) if copy is None else copy)
        with registry().training(flights.model.name, {"as_of": DAY}) as run_id:
            version = registry().log(run_id, dataclasses.replace(candidate, meta=meta))
        about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
        ledger.append(model_records.Trained(version=version), **about)
        roles.set_aliases(flights)
        return version

    return train


@pytest.fixture
def audited(flights) -> Callable[..., Entry]:
    """Function: decide that a version may replace a champion, without measuring it."""

    def decide(version: int, champion: int | None, kind: str = "audited") -> Entry:
        about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
        return ledger.append(KINDS[kind](version=version, champion=champion, promote=True), **about)

    return decide


@pytest.fixture
def published(home):
    """Function: publish and record a tiny table of two days, OLD (or another) and LAST."""
    flights = spec.load("flights")

    def two_days(table: str, old: str = OLD) -> batches.Manifest:
        columns = {
            "flight_id": ["a", "b"],
            "is_late": [True, False],
            "ds": pa.array([date.fromisoformat(day) for day in (old, LAST)], pa.date32()),
        }
        return publish(flights, table, pa.table(columns))

    return two_days


def publish(flights: spec.Pipeline, table: str, rows: pa.Table, days: Sequence[str] = ()) -> batches.Manifest:
    """Publish rows as they are, for their days or those that are given, and record it as a crossing does."""
    manifest = batches.stage(
        "flights",
        table,
        rows,
        partitions=days or sorted({day.isoformat() for day in rows["ds"].to_pylist()}),
        received=rows.num_rows,
        dropped={},
        inputs=[],
        run=RUN,
        sort_by=["flight_id"],
    )
    return publish_staged(flights, manifest)


def publish_staged(
    flights: spec.Pipeline, manifest: batches.Manifest, *, made_late: bool = False
) -> batches.Manifest:
    """Publish a batch, and record it as a crossing does."""
    tables.publish(manifest, verdict_id="v", empty=manifest.empty)
    known = rewrites.publication(flights, manifest)
    ledger.append(
        records.Published(batch_id=manifest.batch_id, made_late=made_late, **known),
        pipeline="flights",
        subject=manifest.table,
        partition=str(Partition.of(manifest.partitions)),
    )
    return manifest


def aliases(flights: spec.Pipeline) -> dict[str, int]:
    return registry().roles(flights.model.name)
