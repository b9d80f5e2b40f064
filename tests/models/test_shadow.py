"""A challenger scores beside the champion, unseen, and is decided on once its days have outcomes: with real models over several days."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import PromotionRefusedError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.declare.features import Features
from sluice.lake import batches, tables
from sluice.ledger import Entry, model_records, records
from sluice.models import challenger, due, history, monitoring, roles, shadow, training
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from sluice.status import training as status_of_training
from sluice_ml.monitored_day import DayNumbers
from sluice_ml.training import Candidate, fit
from tests.models.conftest import DAY, RUN, aliases, flights_rows, publish, publish_staged, small_config

pytestmark = pytest.mark.slow

SHADOW_DAYS, NEXT = 4, Run(run_id="next")
# Days that no model has learned from; the last has no outcomes in time.
DAYS = [(date.fromisoformat(DAY) + timedelta(days=place)).isoformat() for place in range(SHADOW_DAYS + 1)]
FEW = Features(numeric=("route_late_rate_28d", "temperature_f"), categorical=("carrier", "origin"))


def declared(flights: spec.Pipeline, **model: object) -> spec.Pipeline:
    """A model of few features that is compared on few days and few rows."""
    promotion = flights.model.promotion.model_copy(update={"comparison_days": 2})
    changed = {"features": FEW, "promotion": promotion, "shadow_days": SHADOW_DAYS, **model}
    return flights.model_copy(
        update={
            "model": flights.model.model_copy(update=changed),
            "monitoring": flights.monitoring.model_copy(update={"min_rows": 100}),
        }
    )


@pytest.fixture(scope="session")
def fitted() -> dict[str, Candidate]:
    """A good model, and one that learned from mixed-up labels."""
    flights = declared(spec.load("flights"))
    small = {"simpler_margin": -1.0, "valid_blocks": 1, "rounds": 15}
    rows, config = flights_rows(flights), dataclasses.replace(small_config(flights), **small)
    mixed = pa.array(np.random.default_rng(1).permutation(rows["is_late"].to_numpy()))
    bad = rows.set_column(rows.column_names.index("is_late"), "is_late", mixed)
    return {"good": fit(rows, config), "bad": fit(bad, config)}


class World:
    """A pipeline that lives day by day, as its DAGs do."""

    def __init__(
        self, flights: spec.Pipeline, fitted: dict[str, Candidate], measured_day: Callable[..., DayNumbers]
    ) -> None:
        self.measured_day = measured_day
        self.flights, self.fitted, self.trained = declared(flights), fitted, 0
        # What measures the days that are due: as monitoring does, which takes Evidently seconds a day, or only as far as is needed here.
        self.measure = self._measure
        # What stood in for the champion, by day.
        self.made: dict[str, str] = {}
        drawn = flights_rows(flights, days=24, seed=3)
        place = np.arange(drawn.num_rows) % len(DAYS)
        ds = pa.array([date.fromisoformat(DAYS[one]) for one in place], pa.date32())
        self.rows = drawn.set_column(drawn.column_names.index("ds"), "ds", ds)
        # What was learned from, of which monitoring reads some.
        learned = flights_rows(flights, days=2).drop_columns(["is_late"])
        self.learned = publish(self.flights, "features", learned)
        self.snapshot = tables.snapshot_id("flights", "features")

    def candidate(self, quality: str, *, champion: int | None, change: bool = True) -> Entry:
        """Register a model that passed the gate; returns the decision."""
        candidate, self.trained = self.fitted[quality], self.trained + 1
        tags = {"as_of": DAY, "snapshot.features": str(self.snapshot)}
        meta = dataclasses.replace(candidate.meta, unlabelled_rows=self.trained)
        with registry().training(self.flights.model.name, tags) as run_id:
            version = registry().log(run_id, dataclasses.replace(candidate, meta=meta))
        about = {"pipeline": "flights", "subject": self.flights.model.name, "partition": DAY}
        ledger.append(model_records.Trained(version=version), **about)
        numbers = {"is_recipe_change": change}
        return ledger.append(
            model_records.Audited(
                version=version, champion=champion, promote=True, outcome="promote", numbers=numbers
            ),
            **about,
        )

    def champion(self, quality: str) -> None:
        roles.promote(self.flights, self.candidate(quality, champion=None), RUN)

    def enters(self, quality: str, *, champion: int | None, change: bool = True) -> int:
        """Let a candidate that passed the gate go the way that a training lets it go; returns its version."""
        version = self.candidate(quality, champion=champion, change=change).record.version
        assert training.promote_candidate(self.flights, version, DAY, RUN)["in_shadow"]
        return version

    def predict(self, day: str, *, made_late: bool = False) -> Entry | None:
        """Publish features and predictions of a day, and score it in shadow."""
        publish(self.flights, "features", self._of(day).drop_columns(["is_late"]))
        publish_staged(self.flights, stage_predictions(self.flights, [day], RUN), made_late=made_late)
        return shadow.score(self.flights, day, RUN)

    def monitor(self, day: str) -> Entry | None:
        """Publish the outcomes of the day before, measure what is due, and decide."""
        before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        if before in DAYS:
            publish(self.flights, "outcomes", self._of(before).select(["flight_id", "ds", "is_late"]))
        self.measure(self.flights, day, RUN)
        return shadow.judge(self.flights, day, RUN)

    def live(self, days: list[str] = DAYS) -> list[Entry | None]:
        """Returns what was decided on each day."""
        decided = []
        for day in days:
            assert self.predict(day) is None
            decided.append(self.monitor(day))
        return decided

    def _measure(self, flights: spec.Pipeline, run_day: str, run: Run) -> None:
        for day in due.days(flights, run_day):
            known = {"auc": 0.7, "labelled": 150} if day.outcomes else {}
            champion = roles.current(flights).champion
            made = self.made.get(day.ds, roles.BASELINE if champion is None else str(champion))
            numbers = self.measured_day(day.ds, model_version=made, **known)
            about = {"pipeline": "flights", "subject": flights.model.name, "partition": day.ds}
            ledger.append(model_records.Monitored(**numbers.as_dict(), measured=day.as_dict()), **about)

    def _of(self, day: str) -> pa.Table:
        return self.rows.filter(pa.compute.equal(self.rows["ds"], date.fromisoformat(day)))


@pytest.fixture
def world(flights, fitted, measured_day) -> World:
    return World(flights, fitted, measured_day)


def test_better_challenger_is_promoted_when_its_days_are_in_and_no_reader_sees_it_before(world):
    world.measure = monitoring.report_days
    world.champion("bad")
    assert world.enters("good", champion=1) == 2
    assert aliases(world.flights) == {"champion": 1, "challenger": 2}

    *before, decided = world.live()

    assert before == [None] * SHADOW_DAYS
    seen = tables.scan("flights", "predictions", DAYS[0], DAYS[-1])
    assert set(seen["model_version"].to_pylist()) == {"1"}
    assert seen.num_rows == world.rows.num_rows
    assert tables.published("flights", shadow.SCORES) == {}
    scored = ledger.entries(model_records.ScoredInShadow)
    assert [entry.partition for entry in scored] == DAYS[::-1]
    manifest = batches.load("flights", shadow.SCORES, scored[0].record.batch_id)
    of_day = tables.scan("flights", "predictions", DAYS[-1], DAYS[-1])
    assert manifest.rows == of_day.num_rows, "every row that the champion scored"

    assert (decided.kind, decided.record.version, decided.record.champion) == ("audited", 2, 1)
    (comparison,) = decided.record.numbers["comparisons"]
    assert (comparison["days"], comparison["must"], comparison["first"]) == (SHADOW_DAYS, "beat", DAYS[0])
    assert roles.current(world.flights).champion == 2
    assert aliases(world.flights) == {"champion": 2, "previous": 1}
    assert shadow.judge(world.flights, DAYS[-1], RUN).seq == decided.seq, "whoever was killed repeats it"
    assert (shadow.judge(world.flights, DAYS[-1], NEXT), challenger.current(world.flights)) == (None, None)
    told = history.read(world.flights)
    assert (told.changes[0].version, told.changes[0].decision) == (2, decided.seq)
    assert (told.changes[0].dag_id, told.in_shadow) == ("flights_monitor", ())
    (check,) = told.decisions[0].checks
    assert (check.name, check.limits) == ("against the champion", {"margin": 0.0, "shadow_days": SHADOW_DAYS})


def test_worse_challenger_is_refused_with_its_numbers_and_the_champion_stays(world):
    world.champion("good")
    world.enters("bad", champion=1, change=False)
    decided = world.live()[-1]
    assert (decided.kind, decided.record.outcome) == ("refused", "refuse")
    assert (
        f"scored in shadow on {SHADOW_DAYS} days that count, {DAYS[0]} to {DAYS[-2]}"
        in decided.record.reasons[0]
    )
    assert "may be worse than the champion by more than 0.02: mean daily AUC -0." in decided.record.reasons[1]
    assert roles.current(world.flights).champion == 1
    assert challenger.current(world.flights) is None
    lines = list(history.lines(history.read(world.flights)))
    assert f"{DAYS[-1]}: Version 2, in shadow, was refused; version 1 was champion." in "\n".join(lines)


@pytest.mark.parametrize(("change", "champion"), [(True, 1), (False, 2)], ids=["recipe", "refresh"])
def test_same_model_does_not_beat_itself_and_keeps_up_with_itself(world, change, champion):
    world.champion("good")
    world.enters("good", champion=1, change=change)
    world.live()
    assert roles.current(world.flights).champion == champion


def test_first_model_scores_in_shadow_beside_the_baseline(world):
    assert world.enters("good", champion=None) == 1
    assert roles.current(world.flights).champion is None
    decided = world.live()[-1]
    seen = tables.scan("flights", "predictions", DAYS[0], DAYS[-1])
    assert set(seen["model_version"].to_pylist()) == {"baseline"}
    assert decided.record.reasons[1].startswith("The candidate beats the baseline by more than the noise")
    assert roles.current(world.flights).champion == 1


def test_standing_says_how_many_days_are_in_wherever_the_model_is_shown(world):
    world.champion("bad")
    world.enters("good", champion=1)
    assert history.read(world.flights).in_shadow == (
        f"Version 2 scores in shadow beside version 1, until {SHADOW_DAYS} days that count have outcomes.",
    )
    world.live(DAYS[:3])
    (said,) = history.read(world.flights).in_shadow
    assert said.startswith(
        f"Version 2 is in shadow beside version 1: 2 of {SHADOW_DAYS} days are in, mean daily AUC +0."
    )
    assert said in "\n".join(history.lines(history.read(world.flights)))
    assert f"  {said}" in list(roles.lines(roles.read(world.flights)))


def test_challenger_that_cannot_score_is_refused_once_and_the_day_is_published(world, home):
    world.champion("good")
    world.enters("good", champion=1)
    run_id = registry()._version(world.flights.model.name, 2).run_id
    (home / "models" / world.flights.model.name / run_id / "artifacts/model/model.ubj").write_bytes(b"x")
    decided = world.predict(DAYS[0])
    assert decided.kind == "refused"
    assert f"Version 2 could not score {DAYS[0]} in shadow: model.ubj of" in decided.record.reasons[0]
    assert tables.published("flights", "predictions")[DAYS[0]].rows > 0
    assert shadow.score(world.flights, DAYS[0], RUN).seq == decided.seq, "its mail may not have been sent"
    assert shadow.score(world.flights, DAYS[0], NEXT) is None
    assert roles.current(world.flights).champion == 1
    assert history.read(world.flights).decisions[0].dag_id == "flights_score"


def test_challenger_whose_scores_are_no_numbers_is_refused_and_no_day_is_left_out_for_it(world):
    world.champion("good")
    good = world.fitted["good"]
    config = dataclasses.replace(
        small_config(world.flights), numeric=FEW.numeric, categorical=FEW.categorical
    )
    linear = fit(flights_rows(world.flights), dataclasses.replace(config, simpler_margin=1.0, valid_blocks=1))
    assert linear.meta.algorithm == "linear"
    broken = json.dumps({**json.loads(linear.content), "intercept": math.nan}).encode()
    sha256 = hashlib.sha256(broken).hexdigest()
    world.fitted = {**world.fitted, "broken": dataclasses.replace(linear, content=broken, sha256=sha256)}
    world.enters("broken", champion=1)
    decided = world.predict(DAYS[0])
    assert decided.kind == "refused"
    assert "rows have a score that is no number" in decided.record.reasons[0]
    assert ledger.entries(model_records.ScoredInShadow) == []
    assert (roles.current(world.flights).champion, good.meta.algorithm) == (1, "boosted")


def test_scores_of_the_challenger_before_are_not_those_of_the_one_that_took_its_place(world):
    world.champion("bad")
    before = world.enters("good", champion=1)
    first = challenger.current(world.flights).seq
    world.predict(DAYS[0])
    assert world.enters("good", champion=1) == before + 1
    (scored,) = ledger.entries(model_records.ScoredInShadow)
    late = scored.record.model_copy(update={"predictions": "late"})
    about = {"pipeline": "flights", "subject": world.flights.model.name, "partition": DAYS[0]}
    ledger.append(late, **about)
    assert scored.record.entered_shadow == first
    assert shadow._scored(world.flights, challenger.current(world.flights)) == {}


def test_days_that_were_declared_when_it_entered_decide(world):
    world.champion("bad")
    world.enters("good", champion=1)
    world.flights = declared(world.flights, shadow_days=2)
    assert world.live(DAYS[:4]) == [None] * 4


def test_roll_back_ends_the_shadow_and_says_so_and_the_decision_lets_it_in_no_more(world):
    world.champion("bad")
    world.enters("good", champion=1)
    moved = roles.roll_back(
        world.flights, "baseline", by="ada", why="Both are odd.", run=Run(run_id="by hand")
    )
    assert moved.record.reasons[1] == "Version 2, in shadow until now, is not decided on any more."
    assert challenger.current(world.flights) is None
    assert {entry.kind if entry else None for entry in world.live()} == {None}
    assert ledger.entries(model_records.ScoredInShadow) == []
    roles.roll_back(world.flights, "1", by="ada", why="It was not.", run=Run(run_id="again"))
    with pytest.raises(PromotionRefusedError, match="its shadow by that is over"):
        training.promote_candidate(world.flights, 2, DAY, RUN)
    assert roles.current(world.flights).champion == 1


def test_refusal_ends_the_shadow_and_a_newer_candidate_takes_its_place(world):
    world.champion("bad")
    first = world.enters("good", champion=1)
    entered = challenger.current(world.flights)
    assert training.promote_candidate(world.flights, first, DAY, RUN)["ledger"] == entered.seq, "a repetition"
    second = world.enters("good", champion=1)
    replaced = challenger.current(world.flights)
    assert replaced.record.version == second
    assert replaced.record.reasons[1] == f"Version {first}, in shadow until now, is not decided on any more."
    with pytest.raises(PromotionRefusedError, match=f"Version {first} cannot enter shadow"):
        challenger.begin(world.flights, _decision(first), RUN)
    about = {"pipeline": "flights", "subject": world.flights.model.name, "partition": DAY}
    ledger.append(records.Refused(version=first), **about)
    assert challenger.current(world.flights) == replaced
    ledger.append(records.Refused(version=second), **about)
    assert challenger.current(world.flights) is None


def _decision(version: int) -> Entry:
    return next(one for one in ledger.entries(model_records.Audited) if one.record.version == version)


def test_without_shadow_days_a_candidate_is_promoted_at_once_and_a_challenger_waits_for_nothing(world):
    world.champion("bad")
    world.enters("good", champion=1)
    world.flights = declared(world.flights, shadow_days=0)
    assert challenger.current(world.flights) is None
    third = world.candidate("good", champion=1).record.version
    assert not training.promote_candidate(world.flights, third, DAY, RUN)["in_shadow"]
    assert roles.current(world.flights).champion == third
    world.flights = declared(world.flights)
    assert challenger.current(world.flights) is None, "another is champion than it was beside"


def test_monitoring_asks_for_no_model_while_one_is_in_shadow_and_the_request_is_answered(world, measured_day):
    world.champion("good")
    about = {"pipeline": "flights", "subject": world.flights.model.name}
    ledger.append(model_records.Decided(action="retrain", wanted=("age",)), **about, partition=DAY)
    asked = ledger.append(model_records.RetrainRequested(causes=("age",)), **about, partition=DAY)
    assert not status_of_training.is_answered(world.flights, DAY, after=asked.seq)
    world.enters("good", champion=1)
    assert status_of_training.is_answered(world.flights, DAY, after=asked.seq)
    old = (date.fromisoformat(DAY) + timedelta(days=200)).isoformat()
    ledger.append(model_records.Monitored(**measured_day(old).as_dict()), **about, partition=old)
    decided = monitoring.decide(world.flights, old, RUN)
    assert (decided["action"], decided["wanted"]) == ("nothing", ["age"])
    assert (
        decided["reasons"][-1]
        == "No model is asked for, because version 2 is in shadow and will be decided on first."
    )


class _Killed(BaseException):
    """The end of a process, in the place of what it would have done next."""


def test_killed_between_the_decision_and_the_promotion_the_next_run_promotes_by_that_decision(
    world, monkeypatch
):
    def die(*_: object, **__: object) -> None:
        raise _Killed

    world.champion("bad")
    world.enters("good", champion=1)
    world.live(DAYS[:-1])
    world.predict(DAYS[-1])
    publish(world.flights, "outcomes", world._of(DAYS[-2]).select(["flight_id", "ds", "is_late"]))
    world.measure(world.flights, DAYS[-1], RUN)
    with monkeypatch.context() as patch:
        patch.setattr(roles, "promote", die)
        with pytest.raises(_Killed):
            shadow.judge(world.flights, DAYS[-1], RUN)
    assert (_decision(2).record.numbers["stage"], roles.current(world.flights).champion) == ("monitor", 1)
    assert shadow.judge(world.flights, DAYS[-1], RUN) == _decision(2)
    assert roles.current(world.flights).champion == 2
    assert len(ledger.entries(model_records.Promoted)) == 2
    assert len(ledger.entries(model_records.Audited)) == 3, "two of the gate, and one of the shadow"
