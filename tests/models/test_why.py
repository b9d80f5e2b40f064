"""Why a prediction is what it is, told from what was recorded when it was made."""

from __future__ import annotations

import json
import math
from datetime import date

import pyarrow as pa
import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import PredictionUnknownError
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.lake import batches, inputs, tables
from sluice.ledger import records
from sluice.models import roles, why
from sluice.models.scoring import stage_predictions
from tests.models.conftest import RUN, flights_rows
from tests.models.test_scorer import model_file
from tests.models.test_scores_origin import of_people, straight

pytestmark = pytest.mark.slow

WANTED = "flight 1570"
SHA = "ab" * 32


def put(flights: spec.Pipeline, table: str, rows: pa.Table, made_of: list[inputs.Delivery | inputs.Snapshot]):
    """Publish the rows of the last of their days."""
    rows = rows.filter(pa.compute.equal(rows["ds"], (day := rows["ds"][-1].as_py())))
    manifest = batches.stage(
        "flights", table, rows, partitions=[day.isoformat()], received=rows.num_rows, dropped={},
        inputs=[one.record() for one in made_of], run=RUN, sort_by=rows.column_names[:1],
    )  # fmt: skip
    tables.publish(manifest, verdict_id="v")
    return manifest


@pytest.fixture
def flights(flights) -> spec.Pipeline:
    """The pipeline; the key of a flight is made of its number alone."""
    features = flights.derived["features"].model_copy(update={"key_from": ("'flight ' || flight",)})
    return flights.model_copy(update={"derived": {**flights.derived, "features": features}})


@pytest.fixture
def predicted(flights):
    """Function: publish predictions of the last day, from features that are made of a delivered plan; returns the day."""

    def predict() -> str:
        rows = flights_rows(flights).drop_columns(["is_late"])
        day = str(rows["ds"][-1])
        numbers = pa.array([int(key.split()[1]) for key in rows["flight_id"].to_pylist()])
        plan = pa.table(
            {"flight": numbers, **{name: rows[name] for name in ("carrier", "origin", "dest", "ds")}}
        )
        delivery = inputs.Delivery(day=day, sha256=SHA, uri="landing/schedule.csv", rows=40)
        schedule = put(flights, "schedule", plan, [delivery])
        read = inputs.Snapshot(
            table="schedule", snapshot_id=tables.snapshot_id("flights", "schedule"), first=day, last=day,
            batches={day: schedule.batch_id},
        )  # fmt: skip
        put(flights, "features", rows, [read])
        tables.publish(stage_predictions(flights, [day], RUN), verdict_id="v")
        return day

    return predict


def logit(score: float) -> float:
    return math.log(score / (1 - score))


@pytest.mark.parametrize("kind", ["boosted", "linear"])
def test_reasons_add_up_to_the_score_and_name_who_let_the_model_in(
    flights, trained, audited, candidate, predicted, kind
):
    first = trained()
    roles.promote(flights, audited(first, None), RUN)
    second = trained() if kind == "boosted" else straight(flights, candidate, flights_rows(flights))
    move = roles.promote(flights, audited(second, first), RUN)
    day = predicted()
    found = why.read(flights, WANTED)
    assert (found.day, found.prediction["flight_id"]) == (day, WANTED)
    assert found.base + sum(one.adds for one in found.reasons) == pytest.approx(
        logit(found.prediction["score"]), abs=1e-4
    )
    assert {one.feature for one in found.reasons} == {*candidate.meta.numeric, *candidate.meta.categorical}
    sizes = [abs(one.adds) for one in found.reasons]
    assert sizes == sorted(sizes, reverse=True)
    assert all(one.description for one in found.reasons)
    assert (found.decided.version, found.decided.previous, found.decided.entry) == (second, first, move.seq)
    assert set(found.others) == {"the baseline, carrier_late_rate_28d", f"version {first}"}
    said = "\n".join(why.lines(found))
    assert f"  scored by     version {second} of flights_late_arrival" in said
    assert f"sluice model rollback flights --to {first} --by NAME --why REASON" in said


def test_it_names_the_batches_the_file_and_the_very_row(flights, trained, audited, predicted):
    roles.promote(flights, audited(trained(), None), RUN)
    day = predicted()
    features, schedule = why.read(flights, WANTED, day).origins
    shown = {table: tables.published("flights", table)[day].batch_id for table in ("features", "schedule")}
    assert (features.table, features.batch) == ("features", shown["features"])
    assert (schedule.table, schedule.batch) == (f"schedule {day}", shown["schedule"])
    assert [one["sha256"] for one in schedule.deliveries] == [SHA]
    (row,) = schedule.rows
    assert row["flight"] == 1570
    assert set(row) == {"flight", "carrier", "origin", "dest"}


def test_prediction_without_a_model_has_a_rule_for_a_reason(flights, predicted):
    predicted()
    found = why.read(flights, WANTED)
    assert (found.scored_by, found.decided, found.reasons, found.others) == ("the baseline", None, [], {})
    said = "\n".join(why.lines(found))
    assert (
        f"the score is carrier_late_rate_28d, which is {found.prediction['score']:.4g} (0.2 where it is null)"
        in said
    )
    assert "rollback" not in said


def test_what_is_told_stays_true_when_the_model_is_lost_and_another_is_champion(
    flights, trained, audited, predicted, home
):
    first = trained()
    roles.promote(flights, audited(first, None), RUN)
    predicted()
    assert why.read(flights, WANTED).is_champion
    roles.promote(flights, audited(trained(), first), RUN)
    model_file(flights, home, first).unlink()
    found = why.read(flights, WANTED)
    assert (found.decided.version, found.is_champion, found.stood_in) == (first, False, "")
    assert found.reasons is None
    assert (
        f"version {first} cannot be asked again: model.ubj of flights_late_arrival version {first}"
        in "\n".join(why.lines(found))
    )


def test_model_that_stood_in_says_for_whom_and_why_and_who_had_let_it_in(
    flights, trained, audited, predicted, home
):
    first = trained()
    move = roles.promote(flights, audited(first, None), RUN)
    second = trained()
    roles.promote(flights, audited(second, first), RUN)
    model_file(flights, home, second).unlink()
    predicted()
    found = why.read(flights, WANTED)
    assert (found.scored_by, found.decided.entry, found.is_champion) == (f"version {first}", move.seq, False)
    assert found.stood_in.startswith(
        f"in place of version {second}: model.ubj of flights_late_arrival version {second}"
    )
    assert found.stood_in in "\n".join(why.lines(found))


def test_rule_that_stood_in_was_nobodys_decision_and_who_was_rolled_back_is_not_named_as_a_way_back(
    flights, trained, audited, predicted, home
):
    first = trained()
    roles.promote(flights, audited(first, None), RUN)
    roles.promote(flights, audited(second := trained(), first), RUN)
    roles.roll_back(flights, str(first), by="Ada", why="It is wrong.", run=RUN)
    predicted()
    rolled_back = why.read(flights, WANTED)
    assert (rolled_back.decided.by, rolled_back.decided.previous) == ("Ada", second)
    assert set(rolled_back.others) == {"the baseline, carrier_late_rate_28d"}
    assert rolled_back.way_back.startswith("sluice model rollback flights --to baseline ")

    roles.roll_back(flights, "baseline", by="Ada", why="It is wrong, too.", run=RUN)
    roles.promote(flights, audited(third := trained(), None), RUN)
    for version in (first, second, third):
        model_file(flights, home, version).unlink()
    predicted()
    found = why.read(flights, WANTED)
    assert (found.scored_by, found.decided) == ("the baseline", None)
    assert found.stood_in.startswith(f"in place of version {third}")


def test_version_that_came_back_shows_who_let_it_in_first_and_the_way_back(
    flights, trained, audited, predicted
):
    roles.promote(flights, audited(first := trained(), None), RUN)
    promotion = roles.promote(flights, audited(second := trained(), first), RUN)
    predicted()
    for number, to in enumerate((str(first), str(second))):
        run = Run(run_id=f"roll-back {number}")
        back = roles.roll_back(flights, to, by="Ada", why="It is wrong.", run=run)
        found = why.read(flights, WANTED)
        assert (found.decided.entry, found.is_champion) == (promotion.seq, to == str(second))
        assert found.now.entry == back.seq
        again = " again" if found.is_champion else ""
        assert f"  champion now  version {to}{again}, since " in "\n".join(why.lines(found))
    predicted()
    found = why.read(flights, WANTED)
    assert (found.decided.entry, found.promoted.entry) == (back.seq, promotion.seq)
    assert set(found.others) == {"the baseline, carrier_late_rate_28d", f"version {first}"}
    said = "\n".join(why.lines(found))
    assert "  let in        by a person, Ada" in said
    assert "  first let in  by the gate" in said
    assert f"the way back  sluice model rollback flights --to {first} " in said
    assert "champion now" not in said


def test_score_that_its_model_does_not_give_and_features_that_are_gone_are_told(
    flights, trained, audited, predicted
):
    roles.promote(flights, audited(trained(), None), RUN)
    day = predicted()
    made = batches.load("flights", "predictions", tables.published("flights", "predictions")[day].batch_id)
    rows = batches.read(made, day).to_pandas().assign(score=0.5)
    other = batches.stage(
        "flights", "predictions", pa.Table.from_pandas(rows, batches.read(made, day).schema), partitions=[day],
        received=len(rows), dropped={}, inputs=made.inputs, run=RUN, sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(other, verdict_id="v")
    assert why.read(flights, WANTED).problem.startswith("the model gives 0.")

    less = [one for one in made.inputs if one["kind"] != "snapshot"]
    gone = batches.stage(
        "flights", "predictions", batches.read(made, day), partitions=[day], received=len(rows), dropped={},
        inputs=less, run=RUN, sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(gone, verdict_id="v")
    found = why.read(flights, WANTED)
    assert found.problem.startswith("the features that it was made of are gone")
    assert (found.reasons, found.origins) == (None, [])
    assert "  made of       unknown: the features that it was made of are gone" in "\n".join(
        why.traced(found)
    )
    assert "  let in        by the gate" in "\n".join(why.lines(found))


def test_key_that_comes_back_is_that_of_the_newest_day_or_of_the_day_that_is_asked_for(flights, predicted):
    day, before = predicted(), "2013-03-20"
    made = batches.load("flights", "predictions", tables.published("flights", "predictions")[day].batch_id)
    rows = batches.read(made, day)
    at = pa.array([date.fromisoformat(before)] * rows.num_rows, pa.date32())
    earlier = batches.stage(
        "flights", "predictions", rows.set_column(rows.column_names.index("ds"), "ds", at), partitions=[before],
        received=rows.num_rows, dropped={}, inputs=made.inputs, run=RUN, sort_by=["flight_id"],
    )  # fmt: skip
    tables.publish(earlier, verdict_id="v")
    assert tables.days_with("flights", "predictions", "flight_id", WANTED) == [before, day]
    assert tables.days_with("flights", "predictions", "flight_id", "flight 0") == []
    assert why.read(flights, WANTED).day == day
    assert why.read(flights, WANTED, before).batch == earlier.batch_id


def test_values_of_people_are_not_shown(flights, trained, audited, predicted):
    roles.promote(flights, audited(trained(), None), RUN)
    predicted()
    found = why.read(of_people(flights), WANTED)
    assert {one.value for one in found.reasons} == {None}
    assert [list(one.rows) for one in found.origins] == [[], []]
    assert not {"flight_id", "unseen_categories"} & set(found.prediction)
    assert found.others == {}


def test_it_is_found_by_id_too_and_what_is_not_there_is_refused(flights, predicted):
    day = predicted()
    found = why.read(flights, WANTED)
    shown = CliRunner().invoke(main, ["why", "flights", found.prediction["prediction_id"], "--json"])
    assert json.loads(shown.output)["prediction"]["flight_id"] == WANTED
    for words in (["flight 0"], [WANTED, "--day", "2013-03-01"]):
        refused = CliRunner().invoke(main, ["why", "flights", *words])
        assert refused.exit_code == 1
        assert (
            f"No published prediction of flights has the id or the flight_id '{words[0]}'" in refused.output
        )
    assert (
        WANTED
        not in CliRunner().invoke(main, ["why", "flights", WANTED, "--day", day]).output.splitlines()[0]
    )
    with pytest.raises(PredictionUnknownError):
        why.read(flights, "")


def test_id_that_a_reader_has_is_found_after_its_day_was_scored_again(flights, predicted):
    day = predicted()
    before = why.read(flights, WANTED)
    acted_on = before.prediction["prediction_id"]
    about = {"pipeline": "flights", "subject": "predictions", "partition": day}
    ledger.append(records.Published(batch_id=before.batch), **about)
    tables.publish(stage_predictions(flights, [day], Run.of_task("score", "again", "score")), verdict_id="v")
    after = why.read(flights, WANTED)
    assert after.prediction["prediction_id"] != acted_on
    for asked in (why.read(flights, acted_on), why.read(flights, acted_on, day)):
        assert asked.prediction == before.prediction
        assert (asked.batch, asked.replaced_by, after.replaced_by) == (before.batch, after.batch, "")
    assert f"replaced since: its day was scored again, and readers see batch {after.batch}" in "\n".join(
        why.traced(asked)
    )


def test_unknown_key_is_answered_with_one_that_there_is(flights, predicted):
    day = predicted()
    with pytest.raises(PredictionUnknownError, match=f"such as 'flight [0-9]+' of {day}"):
        why.read(flights, "nope")
    with pytest.raises(PredictionUnknownError) as refused:
        why.read(of_people(flights), "nope")
    assert "such as" not in str(refused.value)
