"""A version that is trained again: the same bytes, whatever is declared today, or what is no longer the same."""

from __future__ import annotations

import dataclasses
import json

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import ModelNotRecordedError, TableMissingError
from sluice.declare import spec
from sluice.lake import connection, snapshots
from sluice.models import rebuild, training
from sluice.models.config import registry
from sluice_ml.recipe import AS_BEFORE
from sluice_ml.registry import Registry
from tests.models.conftest import DAY, RUN, flights_rows, publish
from tests.models.test_scorer import model_file

pytestmark = pytest.mark.slow


@pytest.fixture
def version(flights) -> int:
    """A model that was trained on published rows, as any training does."""
    rows = flights_rows(flights)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    publish(flights, "outcomes", rows.select(["flight_id", "ds", "is_late"]))
    return training.stage_candidate(flights, DAY, RUN)


def again(flights: spec.Pipeline, version: int) -> rebuild.Rebuilt:
    return rebuild.rebuild(flights, version, lambda _: None)


def test_the_same_bytes_come_out_though_rows_and_recipe_have_changed_since(flights, version):
    rows = flights_rows(flights, seed=8)
    publish(flights, "features", rows.drop_columns(["is_late"]))
    features = flights.model.features.model_copy(update={"numeric": flights.model.features.numeric[1:]})
    model = flights.model.model_copy(update={"features": features, "rounds": 7})
    registered = len(ledger.entries())

    made = again(flights.model_copy(update={"model": model}), version)

    assert made.is_same
    assert made.rows_sha256[0] == made.rows_sha256[1]
    assert made.rows == (rows.num_rows, rows.num_rows)
    assert set(made.differs) == {"numeric", "rounds"}
    assert made.differs["rounds"] == (flights.model.rounds, 7)
    said = "\n".join(rebuild.lines(made))
    assert f"version {version} of flights_late_arrival, trained by the run of {DAY}" in said
    assert "It is not the same" not in said
    assert len(ledger.entries()) == registered


def test_other_numbers_are_told(flights, version, monkeypatch):
    monkeypatch.setattr(rebuild.trainset, "read", reading_less(rebuild.trainset.read))
    made = again(flights, version)
    assert not made.is_same
    assert "It is not the same: other rows, or other days, were read." in "\n".join(rebuild.lines(made))
    assert set(made.differs) == {"splits"}
    done = CliRunner().invoke(main, ["model", "rebuild", "flights", str(version), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["is_same"] is False


def test_a_lost_file_and_a_setting_that_was_not_recorded_then_are_no_hindrance_and_told(
    flights, version, home, monkeypatch
):
    model_file(flights, home, version).unlink()
    known = registry().description(flights.model.name, version)
    config = {name: value for name, value in known.config.items() if name != "simpler_margin"}
    monkeypatch.setattr(
        Registry,
        "description",
        lambda *_: dataclasses.replace(known, config={**config, "early_stopping_rounds": 5}),
    )
    made = again(flights, version)
    assert made.is_same
    assert made.differs == {
        "simpler_margin": ("not recorded", flights.model.promotion.simpler_margin),
        "early_stopping_rounds": (5, "no setting any more"),
    }
    other = dataclasses.replace(made, sha256=("a", "b"))
    assert "this has changed since: early_stopping_rounds, simpler_margin." in "\n".join(rebuild.lines(other))


def test_version_of_before_directions_and_class_weights_is_rebuilt_without_them(
    flights, version, monkeypatch
):
    known = registry().description(flights.model.name, version)
    config = {name: value for name, value in known.config.items() if name not in AS_BEFORE}
    monkeypatch.setattr(Registry, "description", lambda *_: dataclasses.replace(known, config=config))
    features = flights.model.features.model_copy(update={"increasing": (flights.model.features.numeric[0],)})
    model = flights.model.model_copy(update={"features": features, "class_weights": {True: 4.0}})
    made = again(flights.model_copy(update={"model": model}), version)
    assert made.is_same
    assert set(made.differs) == {"increasing", "class_weights"}
    other = dataclasses.replace(made, sha256=("a", "b"))
    assert "has changed since" not in "\n".join(rebuild.lines(other))


def reading_less(read):
    """A reading that loses a flight in ten."""

    def less(*arguments):
        found = read(*arguments)
        keep = [place for place in range(found.rows.num_rows) if place % 10]
        return type(found)(found.rows.take(pa.array(keep)), found.unmatched)

    return less


def test_version_without_a_training_and_snapshot_that_is_gone_are_told(flights, version):
    with pytest.raises(ModelNotRecordedError, match="No training of version 9 of flights_late_arrival"):
        again(flights, 9)
    publish(flights, "outcomes", flights_rows(flights, seed=8).select(["flight_id", "ds", "is_late"]))
    with connection.opened() as lake:
        table = snapshots.existing(lake, "flights", "outcomes")
        old = next(iter(table.metadata.snapshots)).snapshot_id
        for name in [name for name, ref in table.refs().items() if ref.snapshot_id == old]:
            table.manage_snapshots().remove_tag(name).commit()
        table.maintenance.expire_snapshots().by_id(old).commit()
    with pytest.raises(TableMissingError, match=str(old)):
        again(flights, version)
