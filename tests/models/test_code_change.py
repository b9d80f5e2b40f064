"""What other code would make of scores that readers see is found before anything that it scores is published."""

from __future__ import annotations

from datetime import timedelta

import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from sluice import gates
from sluice.cli import main
from sluice.core.settings import settings
from sluice.gates.code_change import RULE
from sluice.lake import inputs, tables
from sluice.models import roles
from sluice.models.scoring import stage_predictions
from sluice_ml import recipe
from sluice_ml.model import ScoringModel
from tests.models.conftest import RUN, flights_rows
from tests.models.test_scorer import model_file, publish_features

pytestmark = pytest.mark.slow


@pytest.fixture
def published(flights, trained, audited):
    """Predictions of 40 flights by version 1, as readers see them: their gate is not what is tested here."""
    roles.promote(flights, audited(trained(), None), RUN)
    day = publish_features(flights, flights_rows(flights))
    tables.publish(stage_predictions(flights, [day], RUN), verdict_id="unjudged")
    return flights, day


@pytest.fixture
def scoring_changed(monkeypatch):
    """Function: let another code score, which multiplies each score."""

    def change(factor: float) -> None:
        score = ScoringModel.score
        monkeypatch.setattr(recipe, "SCORING", "another code")
        monkeypatch.setattr(ScoringModel, "score", lambda self, rows: score(self, rows) * factor)

    return change


def judged(flights, day):
    manifest = stage_predictions(flights, [day], RUN)
    return manifest, next((one for one in gates.run(flights, manifest).rules if one.rule == RULE), None)


def test_scores_that_other_code_changes_are_held_until_they_are_released(published, scoring_changed):
    flights, day = published
    assert judged(flights, day)[1] is None, "the same code"
    scoring_changed(0.9)
    shown = CliRunner().invoke(main, ["diff", "flights", "predictions"])
    assert shown.exit_code == 1, shown.output
    manifest, found = judged(flights, day)
    assert found.holds
    assert (
        f"of {day}, made again from the same inputs, 40 changed of 40 rows. changed: score in 40 (by "
        in found.observed
    )
    assert found.observed in shown.output
    tables.publish(manifest, verdict_id="released")
    again, found = judged(flights, day)
    assert (inputs.of(again, inputs.Code)[0].change, found) == (None, None), "readers see scores of this code"


def test_scores_that_are_the_same_but_for_their_last_digits_pass(published, scoring_changed):
    flights, day = published
    scoring_changed(1 + 1e-7)
    manifest, found = judged(flights, day)
    assert inputs.of(manifest, inputs.Code)[0].change.share == 0
    assert found.passed


def test_what_the_model_had_scored_is_compared_also_when_something_stood_in_for_it_since(
    published, scoring_changed, home
):
    flights, day = published
    other = flights_rows(flights, days=41)
    path = model_file(flights, home, 1)
    whole = path.read_bytes()
    path.write_bytes(b"not a model")
    later = publish_features(
        flights, other.set_column(1, "ds", pc.add(other["ds"], timedelta(days=1)).cast("date32"))
    )
    scoring_changed(0.9)
    by_baseline = stage_predictions(flights, [later], RUN)
    assert inputs.scored_by(by_baseline) == ("flights_late_arrival", None)
    assert inputs.of(by_baseline, inputs.Code)[0].change is None, "the baseline's are not compared"
    tables.publish(by_baseline, verdict_id="unjudged")
    path.write_bytes(whole)
    manifest, found = judged(flights, later)
    assert inputs.of(manifest, inputs.Code)[0].change.day == day
    assert found.holds


def test_day_without_features_asks_for_no_comparison(published, scoring_changed, monkeypatch):
    flights, _day = published
    scoring_changed(0.9)
    monkeypatch.setenv("SLUICE_MLFLOW_URI", "http://127.0.0.1:9")
    settings.cache_clear()
    manifest = stage_predictions(flights, [publish_features(flights, flights_rows(flights), count=0)], RUN)
    assert manifest.rows == 0
    assert inputs.of(manifest, inputs.Code)[0].change is None


def test_predictions_of_features_that_are_gone_cannot_be_compared_and_hold_nobody(
    published, scoring_changed, monkeypatch
):
    flights, day = published
    scoring_changed(0.9)
    last = tables.last_publication("flights", "predictions")
    gone = [
        {**one, "batches": {day: "20130101T000000000000-aaaaaa"}} if one["kind"] == "snapshot" else one
        for one in last.inputs
    ]
    monkeypatch.setattr(
        tables, "last_publication", lambda *_: last.model_copy(update={"inputs": tuple(gone)})
    )
    found = judged(flights, day)[1]
    assert (found.passed, found.holds) == (False, False)
    assert f"{day} cannot be made again with today's code: " in found.observed
