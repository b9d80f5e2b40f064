"""A champion that cannot be used stops neither scoring nor its successor, and says so until it is over."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import ledger, waivers
from sluice.cli import main
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice.ledger import model_records
from sluice.models import monitoring, roles, scorer, training
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from sluice_ml.errors import ModelDamagedError, RowsUnusableError
from tests.models.conftest import DAY, RUN, flights_rows

pytestmark = pytest.mark.slow


@pytest.fixture
def champions(flights, trained, audited) -> spec.Pipeline:
    """Version 1 was champion, version 2 is."""
    for version, before in ((trained(), None), (trained(), 1)):
        roles.promote(flights, audited(version, before), RUN)
    return flights


def model_file(flights: spec.Pipeline, home: Path, version: int, name: str = "model.ubj") -> Path:
    run_id = registry()._version(flights.model.name, version).run_id
    return home / "models" / flights.model.name / run_id / "artifacts" / "model" / name


def publish_features(flights: spec.Pipeline, rows: pa.Table, count: int | None = None) -> str:
    """The last day of the rows, or `count` of them, as published features; returns the day."""
    day = rows["ds"][-1].as_py()
    rows = rows.drop_columns(["is_late"]).filter(pa.compute.equal(rows["ds"], day))[:count]
    manifest = batches.stage(
        "flights", "features", rows, partitions=[day.isoformat()], received=rows.num_rows, dropped={}, inputs=[],
        run=RUN, sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v", empty=manifest.empty)
    return day.isoformat()


def declared(flights: spec.Pipeline, *fallback: str) -> spec.Pipeline:
    return flights.model_copy(update={"model": flights.model.model_copy(update={"fallback": fallback})})


def test_damaged_champion_the_previous_one_scores_and_every_prediction_says_so(champions, home):
    day = publish_features(champions, flights_rows(champions))
    path = model_file(champions, home, 2)
    whole = path.read_bytes()
    path.write_bytes(b"not a model")
    for _ in range(2):
        manifest = stage_predictions(champions, [day], RUN)
    rows = pa.parquet.read_table(manifest.files[day])
    assert set(rows["model_version"].to_pylist()) == {"1"}
    (made_by,) = (each for each in manifest.inputs if each["kind"] == "model")
    assert (made_by["version"], made_by["stands_in_for"]) == (1, 2)
    assert "model.ubj of flights_late_arrival version 2 is not the file" in made_by["problems"][0]
    (entry,) = ledger.entries(kind="stood_in")
    assert entry.data["reasons"][0].startswith(
        "Version 1 stands in for the champion, version 2. model.ubj of"
    )
    path.write_bytes(whole)
    assert "stands_in_for" not in stage_predictions(champions, [day], RUN).inputs[-1]


def test_both_damaged_the_baseline_scores(champions, home):
    day = publish_features(champions, flights_rows(champions))
    for version in (1, 2):
        model_file(champions, home, version).unlink()
    manifest = stage_predictions(champions, [day], RUN)
    rows = pa.parquet.read_table(manifest.files[day])
    assert set(rows["model_version"].to_pylist()) == {"baseline"}
    assert len(manifest.inputs[-1]["problems"]) == 2


def test_without_a_declared_fallback_the_day_is_not_predicted(champions, home):
    day = publish_features(champions, flights_rows(champions))
    model_file(champions, home, 2).unlink()
    with pytest.raises(ModelDamagedError, match="version 2 cannot be read"):
        stage_predictions(declared(champions), [day], RUN)
    assert scorer.choose(declared(champions, "previous")).version == 1
    assert scorer.choose(declared(champions, "baseline", "previous")).version is None


def test_champion_that_needs_a_column_which_is_gone_is_stood_in_for(champions):
    rows = flights_rows(champions).drop_columns(["aircraft_age_years"])
    manifest = stage_predictions(champions, [publish_features(champions, rows)], RUN)
    assert manifest.inputs[-1]["version"] is None
    assert (
        "Version 2 needs aircraft_age_years, which the rows do not have." in manifest.inputs[-1]["problems"]
    )
    with pytest.raises(RowsUnusableError, match="aircraft_age_years"):
        scorer.choose(declared(champions), rows.column_names)


def test_damaged_champion_does_not_block_its_successor(champions, home, trained):
    version = trained()
    model_file(champions, home, 2).write_bytes(b"not a model")
    decision = training.audit_candidate(champions, version, DAY, RUN)
    assert decision.promote, decision.reasons
    assert "The champion could not be compared: model.ubj of" in " ".join(decision.reasons)
    assert decision.champion == 2
    training.promote_candidate(champions, version, DAY, RUN)
    assert scorer.choose(champions).version == version


def test_monitoring_goes_on_and_warns_of_a_damaged_champion(champions, home, measured_day):
    about = {"pipeline": "flights", "subject": champions.model.name, "partition": DAY}
    ledger.append(model_records.Monitored(**measured_day(DAY).as_dict()), **about)
    assert monitoring.decide(champions, DAY, RUN)["action"] == "nothing"
    model_file(champions, home, 2, "model.json").unlink()
    decided = monitoring.decide(champions, DAY, RUN)
    assert decided["action"] == "warn"
    assert decided["reasons"][-1].startswith("Version 1 stands in for the champion, version 2. model.json of")


def test_decision_that_made_the_champion_stands_when_its_run_is_repeated(flights, trained):
    version = trained()
    first = training.audit_candidate(flights, version, DAY, RUN)
    training.promote_candidate(flights, version, DAY, RUN)
    assert training.audit_candidate(flights, version, DAY, RUN) == first
    training.promote_candidate(flights, version, DAY, RUN)
    assert [entry.kind for entry in ledger.entries()].count("promoted") == 1
    assert ledger.entries(kind="refused") == []


def test_command_shows_the_damage_and_its_rollback_ends_it(champions, home):
    model_file(champions, home, 2).unlink()
    shown = CliRunner().invoke(main, ["model", "show", "flights"])
    assert shown.exit_code == 0, shown.output
    assert "version 2 scores, by entry" in shown.output
    assert "cannot be read" in next(line for line in shown.output.splitlines() if " champion " in line)
    word = ["--by", "operator", "--why", "Its file is lost."]
    done = CliRunner().invoke(main, ["model", "rollback", "flights", *word])
    assert done.exit_code == 0, done.output
    typed = f"operator (typed by {waivers.account()})"
    assert f"Version 2 gives way to version 1, says {typed}: Its file is lost." in done.output
    assert ledger.entries(kind="rolled_back")[0].data["account"] == waivers.account()
    now = scorer.choose(champions)
    assert (now.version, now.champion, now.problems) == (1, 1, ())
    back = CliRunner().invoke(main, ["model", "rollback", "flights", "--to", "2", *word])
    assert (back.exit_code, "Traceback" in back.output) == (1, False)
    assert "version 2 cannot be read" in back.output


@pytest.mark.parametrize("name", ["model.json", "test.parquet"])
def test_command_shows_whichever_file_of_a_version_is_lost(champions, home, name):
    model_file(champions, home, 1, name).unlink()
    lines = CliRunner().invoke(main, ["model", "show", "flights"]).output.splitlines()
    assert f"{name} of flights_late_arrival version 1 cannot be read" in next(
        line for line in lines if " previous " in line
    )
    assert "files are whole" in next(line for line in lines if " champion " in line)


@pytest.mark.parametrize("exchanged", ["sha256", "meta_sha256"])
def test_model_that_was_exchanged_in_the_registry_with_its_hashes_is_not_the_one_that_was_trained(
    flights, trained, audited, exchanged
):
    """Whoever can write the registry's database can make its hashes fit; the ledger says what was trained."""
    versions = [trained(), trained()]
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    for known in registry().versions(flights.model.name):
        hashes = {tag: known.tags[tag] for tag in ("sha256", "meta_sha256")}
        ledger.append(model_records.Trained(version=known.version, **hashes), **about)
    roles.promote(flights, audited(versions[0], None), RUN)
    assert scorer.choose(flights).version == versions[0]
    ledger.append(model_records.Trained(version=versions[0], **{exchanged: "0" * 64}), **about)
    with pytest.raises(
        ModelDamagedError, match=r"is not the model that was trained as it.*entry \d+ of the ledger"
    ):
        scorer.usable(flights, versions[0], None)
    assert [one.problem != "" for one in roles.read(flights).versions] == [False, True]
    assert scorer.choose(flights).version is None
