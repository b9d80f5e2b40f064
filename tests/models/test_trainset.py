"""What keeps a model from learning is recorded, whether a person said so or the rows did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.gate import Fairness
from sluice.lake import batches, tables
from sluice.models import trainset
from sluice.models.config import model_config
from sluice_ml.errors import FeaturesUnsoundError, RowsLeakError

DAY = "2013-03-31"
RUN = Run(run_id="test")
ROWS = 400


@pytest.fixture
def flights(home) -> spec.Pipeline:
    return spec.load("flights")


@pytest.fixture
def rows(flights) -> pa.Table:
    """Features drawn at random: nothing in them can be wrong."""
    drawn = np.random.default_rng(7)
    departs = datetime(2013, 3, 30, 12, tzinfo=UTC)
    columns = {
        "flight_id": [f"flight {place}" for place in range(ROWS)],
        "ds": pa.array([departs.date()] * ROWS),
        "is_late": pa.array(drawn.random(ROWS) < 0.3),
        "as_of_at": [departs - timedelta(hours=3)] * ROWS,
        "scheduled_departure_at": [departs] * ROWS,
    }
    features = flights.model.features
    columns |= {name: drawn.normal(size=ROWS) for name in features.numeric}
    columns |= {name: drawn.choice(list("abcd"), ROWS) for name in features.categorical}
    return pa.table(columns)


def put(rows, name, values):
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def test_paused_learning_is_a_reason_to_skip_and_is_recorded(flights):
    assert trainset.skip_reason(flights, DAY, RUN) is None
    paused = flights.model_copy(update={"model": flights.model.model_copy(update={"learning": "paused"})})
    reason = trainset.skip_reason(paused, DAY, RUN)
    [entry] = ledger.entries(kind="training_skipped")
    assert (entry.partition, entry.data["reason"]) == (DAY, reason)
    assert "Learning is paused" in reason


def test_read_leaves_out_what_no_model_can_hold_and_says_of_which_day(flights, rows):
    """A day that was published before its gate looked for such numbers stops no training."""
    gusts = [1.7e308, float("inf"), *rows["wind_gust_mph"].to_pylist()[2:]]
    snapshots = {}
    for table, columns in (
        ("features", put(rows, "wind_gust_mph", pa.array(gusts)).drop_columns("is_late")),
        ("outcomes", rows.select(["flight_id", "ds", "is_late"])),
    ):
        staged = batches.stage(
            "flights",
            table,
            columns,
            partitions=["2013-03-30"],
            received=ROWS,
            dropped={},
            inputs=[],
            run=RUN,
            sort_by=["flight_id"],
        )
        snapshots[table] = tables.publish(staged, verdict_id="v").snapshot_id

    read = trainset.read(flights, DAY, snapshots)

    assert (read.rows.num_rows, read.left_out) == (ROWS - 2, {"2013-03-30 wind_gust_mph": 2})
    assert trainset.require_sound(flights, read.rows, DAY, RUN, model_config(flights)) == []


def test_read_takes_further_columns_where_the_table_has_them(flights, rows):
    """A champion is compared by what it was trained on, also where that is declared no more; groups by a column that no model uses."""
    snapshots = {}
    for table, columns in (
        ("features", rows.drop_columns("is_late")),
        ("outcomes", rows.select(["flight_id", "ds", "is_late"])),
    ):
        about = {"received": ROWS, "dropped": {}, "inputs": [], "run": RUN, "sort_by": ["flight_id"]}
        staged = batches.stage("flights", table, columns, partitions=["2013-03-30"], **about)
        snapshots[table] = tables.publish(staged, verdict_id="v").snapshot_id
    features = flights.model.features
    fewer = features.model_copy(
        update={"numeric": tuple(name for name in features.numeric if name != "wind_gust_mph")}
    )
    declared = flights.model_copy(update={"model": flights.model.model_copy(update={"features": fewer})})

    without = trainset.read(declared, DAY, snapshots).rows.column_names
    read = trainset.read(declared, DAY, snapshots, also=("wind_gust_mph", "never_there", "distance_miles"))

    assert {*read.rows.column_names} - {*without} == {"wind_gust_mph"}

    gate = declared.model.gate.model_copy(
        update={"fairness": Fairness(column="wind_gust_mph", opportunity=0.1)}
    )
    judged = declared.model_copy(update={"model": declared.model.model_copy(update={"gate": gate})})
    assert {*trainset.read(judged, DAY, snapshots).rows.column_names} - {*without} == {"wind_gust_mph"}


def test_sound_rows_are_trained_on(flights, rows):
    assert trainset.require_sound(flights, rows, DAY, RUN, model_config(flights)) == []
    assert ledger.entries(kind="training_refused") == []


def test_rows_of_the_morning_itself_are_refused_and_the_refusal_is_recorded(flights, rows):
    # The outcomes of 2013-03-31 are not known on its morning: its day begins at 04:00 UTC.
    early = datetime(2013, 3, 31, 3, 59, tzinfo=UTC)
    departs = pa.array([early] * (ROWS - 1) + [early + timedelta(minutes=1)])
    with pytest.raises(RowsLeakError, match=f"1 of {ROWS} rows .*: flight {ROWS - 1}"):
        trainset.require_sound(
            flights, put(rows, "scheduled_departure_at", departs), DAY, RUN, model_config(flights)
        )
    [entry] = ledger.entries(kind="training_refused")
    assert (entry.data["error"], f"flight {ROWS - 1}" in entry.data["what"]) == ("RowsLeakError", True)


def test_copy_of_the_label_is_refused_and_the_refusal_is_recorded(flights, rows):
    copied = put(rows, "distance_miles", rows["is_late"].cast(pa.int64()))
    with pytest.raises(FeaturesUnsoundError, match="distance_miles is a copy of the label"):
        trainset.require_sound(flights, copied, DAY, RUN, model_config(flights))
    [entry] = ledger.entries(kind="training_refused")
    assert entry.data["where"] == "copy_of_label distance_miles"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "segments: [carrier, origin]",
            "segments: [carier]",
            "model.coverage.segments: 'carier' is no feature of the model",
        ),
        ("learning: active", "learning: on", "learning"),
        ("  happens_at: scheduled_departure_at\n", "", "give both or neither"),
    ],
)
def test_wrong_declarations_are_refused(home, tmp_path, old, new, says):
    text = (settings().pipelines / "flights.yml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "flights.yml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(SpecInvalidError, match=says):
        spec.parse(path)
