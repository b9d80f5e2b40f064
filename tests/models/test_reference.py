"""The frozen reference: the first champion scores each monitored day beside whoever replaced it, or the day says why it cannot."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.settings import settings
from sluice.ledger import model_records
from sluice.models import monitoring, realised, reference, roles, scorer
from sluice.web import performance_chart
from sluice_ml.monitored_day import DayNumbers
from tests.models.conftest import DAY, RUN, flights_rows
from tests.models.test_shadow import DAYS, World, fitted, world

__all__ = ["fitted", "world"]

pytestmark = pytest.mark.slow


def declared(world: World, version: int | str | None) -> World:
    watched = world.flights.monitoring.model_copy(update={"reference": version})
    world.flights = world.flights.model_copy(update={"monitoring": watched})
    return world


def measured(world: World) -> list[DayNumbers]:
    return monitoring.recorded_days(world.flights, DAYS[-1])


def test_training_that_made_it_worse_is_seen_beside_the_first_champion_on_the_same_rows(world):
    world.measure = monitoring.report_days
    world.champion("good")
    world.live(DAYS[:2])
    roles.promote(world.flights, world.candidate("bad", champion=1), RUN)
    world.live(DAYS[2:])

    *known, newest = measured(world)
    assert [(day.model_version, day.reference_version) for day in known] == [("1", "1")] * 2 + [
        ("2", "1")
    ] * 2
    assert [day.reference_auc == day.auc for day in known] == [True, True, False, False]
    assert all(day.reference_auc > day.auc + 0.1 and day.reference_brier < day.brier for day in known[2:])
    assert (newest.reference_version, newest.reference_auc, newest.reference_problem) == ("1", None, "")

    found = realised.read(world.flights, [])
    assert [day.reference for day in found.days if day.reference] == ["1"] * 2
    assert found.compared == 2
    assert found.reference_lead is not None
    assert found.reference_lead.value == pytest.approx(
        sum(day.auc - day.reference_auc for day in known[2:]) / 2
    )
    dots = {dot.title for dot in performance_chart.draw(found).dots if dot.outcome == "reference"}
    assert dots == {
        f"{day.ds}: AUC {day.reference_auc:.3f} of version 1, the frozen reference." for day in known[2:]
    }
    page = (settings().home / "reports" / "flights" / "monitor" / DAYS[3] / "index.html").read_text()
    assert f"{known[-1].auc - known[-1].reference_auc:+.3f}" in page
    assert "of version 1, which is never replaced" in page


def test_reference_that_cannot_score_says_why_and_holds_nothing_up(world):
    declared(world, 9).measure = monitoring.report_days
    world.champion("good")
    world.live(DAYS[:2])
    first, _ = measured(world)
    assert (first.reference_version, first.reference_auc) == ("9", None)
    assert "9" in first.reference_problem
    assert first.auc is not None
    began, goes_on = (monitoring.decide(world.flights, day, RUN) for day in DAYS[:2])
    sentence = f"The frozen reference, version 9, could not score {DAYS[0]}: "
    assert began["action"] == "warn"
    assert [reason.startswith(sentence) for reason in began["reasons"]].count(True) == 1
    assert "no reference" in goes_on["numbers"]["found"], "it is said each day"
    page = (settings().home / "reports" / "flights" / "monitor" / DAYS[0] / "index.html").read_text()
    assert "not comparable" in page


def test_rows_without_a_column_and_days_that_it_learned_are_not_scored(world):
    world.champion("good")
    frozen = reference.load(world.flights)
    rows = flights_rows(world.flights, days=1)
    scores, said = frozen.score(rows, DAYS[0])
    assert (len(scores), said) == (
        rows.num_rows,
        {"reference_version": "1", "reference_problem": "", "reference_failed": False},
    )
    scores, said = frozen.score(rows.drop_columns(["origin"]), DAYS[0])
    assert scores is None
    assert "origin" in said["reference_problem"]
    assert said["reference_failed"]
    scores, said = frozen.score(rows, frozen.model.meta.learned_until)
    assert scores is None
    assert "learned from days to" in said["reference_problem"]
    assert not said["reference_failed"], "that is no fault of it"


def test_first_is_the_first_version_that_was_champion_whoever_scores_since_and_none_is_none(world):
    assert reference.load(world.flights) == reference.Reference()
    world.candidate("bad", champion=None)
    world.candidate("good", champion=None)
    newest = ledger.entries(model_records.Audited, pipeline="flights")[0]
    roles.promote(world.flights, newest, RUN)
    roles.promote(world.flights, world.candidate("bad", champion=2), RUN)
    roles.roll_back(world.flights, "baseline", by="me", why="worse", run=RUN)
    assert reference.load(world.flights).version == 2
    assert reference.load(declared(world, 3).flights).version == 3
    assert reference.load(declared(world, None).flights) == reference.Reference()


def test_scores_that_are_no_numbers_are_no_measure(world):
    class Broken:
        meta = dataclasses.replace(world.fitted["good"].meta)

        def score(self, rows: pa.Table):
            import numpy as np

            return np.full(rows.num_rows, np.nan)

    rows = flights_rows(world.flights, days=1)
    scores, said = reference.Reference(1, Broken()).score(rows, DAY)
    assert (scores, said["reference_problem"]) == (None, "Some of its scores are no numbers.")


def test_reference_that_meets_a_column_of_another_type_or_a_file_that_cannot_be_read_is_a_problem(
    world, monkeypatch
):
    world.champion("good")
    frozen = reference.load(world.flights)
    rows = flights_rows(world.flights, days=1)
    name = frozen.model.meta.numeric[0]
    text = rows.set_column(rows.column_names.index(name), name, pa.array(["a text"] * rows.num_rows))
    scores, said = frozen.score(text, DAYS[0])
    assert scores is None
    assert said["reference_problem"].startswith("It cannot be used here (")
    assert "a text" not in said["reference_problem"]

    def unreachable(*_):
        raise ConnectionError("the registry does not answer")

    monkeypatch.setattr(scorer, "usable", unreachable)
    assert reference.load(world.flights) == reference.Reference(
        1, problem="It cannot be used here (ConnectionError)."
    )
