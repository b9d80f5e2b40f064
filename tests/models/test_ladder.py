"""The ladder at scoring: champion, previous, baseline, abstain. Each row says on which step it was made; the last step makes none."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from fastapi import FastAPI
from pydantic import ValidationError

from sluice import gates, ledger, notify, outdated, status
from sluice.cli import main
from sluice.core.errors import BatchSupersededError, PredictionUnknownError
from sluice.core.settings import settings
from sluice.declare import pipeline_clock
from sluice.lake import tables
from sluice.ledger import model_records
from sluice.models import monitoring, recorded_scores, scorer, training, why
from sluice.models.config import registry
from sluice.models.scoring import stage_predictions
from sluice.notify import report
from sluice.status import today
from sluice.web.reports import create_app
from sluice_ml.errors import ModelDamagedError, RowsUnusableError
from sluice_ml.scoring import score
from tests.models.conftest import DAY, RUN, flights, flights_rows, publish, publish_staged
from tests.models.test_scorer import champions, declared, model_file, publish_features
from tests.notify.reading import tell
from tests.web.serving import reader, serving

__all__ = ["champions", "flights"]  # fixtures

pytestmark = pytest.mark.slow


@pytest.fixture
def damaged(champions, home):
    """No version can score."""
    (home / "landing").mkdir()
    for version in (1, 2):
        model_file(champions, home, version).rename(home / f"kept {version}")
    return champions


def restored(spec, home, version: int) -> None:
    (home / f"kept {version}").rename(model_file(spec, home, version))


def steps(manifest) -> set[str]:
    (day,) = manifest.partitions
    return set(pa.parquet.read_table(manifest.files[day])["scored_as"].to_pylist())


def test_each_row_says_on_which_step_it_was_made(champions, home):
    day = publish_features(champions, flights_rows(champions))
    assert steps(stage_predictions(champions, [day], RUN)) == {"champion"}
    model_file(champions, home, 2).unlink()
    assert steps(stage_predictions(champions, [day], RUN)) == {"previous"}
    model_file(champions, home, 1).unlink()
    by_rule = stage_predictions(champions, [day], RUN)
    assert steps(by_rule) == {"baseline"}
    verdict = gates.run(champions, by_rule)
    assert verdict.outcome == "PASS", verdict.failed
    assert "rows_say_what_made_them" in [one.rule for one in verdict.rules]


def test_nobody_scores_and_the_day_is_published_without_rows_until_somebody_can(damaged, home):
    spec = declared(damaged, "previous", "abstain")
    day = publish_features(spec, flights_rows(spec))
    pipeline_clock.advance(spec, date.fromisoformat(day))
    manifest = stage_predictions(spec, [day], RUN)
    assert (manifest.rows, manifest.received, manifest.dropped) == (0, 40, {"nobody_scored": 40})
    verdict = gates.run(spec, manifest)
    assert (verdict.outcome, verdict.empty) == ("PASS", (day,))
    publish_staged(spec, manifest)
    assert tables.scan("flights", "predictions", day, day).num_rows == 0
    with pytest.raises(PredictionUnknownError, match=f"Nobody has scored {day}: model.ubj of"):
        why.read(spec, "flight 0", day)

    (entry,) = ledger.entries(kind="stood_in")
    assert entry.record.reasons[0].startswith(
        "Nobody scores in place of the champion, version 2. model.ubj of"
    )
    found = today.read(spec, last=day)
    assert (found.fitness, found.sentence) == (
        "not_made", f"Nobody has scored {day}: readers see it without rows.",
    )  # fmt: skip
    assert "version 1 cannot be read" in found.reasons[0]
    (item,) = (one for one in status.of(spec, first=day, last=day) if one.stage == "score")
    assert item.state == "published", "nobody can score it yet"
    assert today._mark(spec, [item]) == "open"

    restored(spec, home, 1)
    (item,) = (one for one in status.of(spec, first=day, last=day) if one.stage == "score")
    assert (item.state, item.reason) == ("outdated", "nobody scored it, and version 1 can now")
    publish_staged(spec, stage_predictions(spec, [day], RUN))
    assert set(tables.scan("flights", "predictions", day, day)["scored_as"].to_pylist()) == {"previous"}
    (item,) = (one for one in status.of(spec, first=day, last=day) if one.stage == "score")
    assert item.state == "published"


def test_predictions_that_readers_see_are_never_replaced_by_none(champions, home):
    spec = declared(champions, "previous", "abstain")
    day = publish_features(spec, flights_rows(spec))
    paths = [model_file(spec, home, version) for version in (1, 2)]
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    nobody = stage_predictions(spec, [day], RUN)
    for path, content in zip(paths, whole, strict=True):
        path.write_bytes(content)
    made = publish_staged(spec, stage_predictions(spec, [day], RUN))
    for path in paths:
        path.unlink()
    with pytest.raises(ModelDamagedError) as error:
        stage_predictions(spec, [day], RUN)
    assert error.value.what.startswith(
        "Nobody can score, and the predictions that readers see stay. model.ubj of"
    )
    assert "version 1 cannot be read" in error.value.what
    # The same for a batch that was staged before readers saw any.
    with pytest.raises(BatchSupersededError, match="nobody scored it, and readers see predictions of"):
        outdated.require_not_behind(spec, nobody, {day: made.batch_id})
    assert tables.scan("flights", "predictions", day, day).num_rows == 40
    assert not ledger.entries(kind="stood_in")[1:]


def test_day_that_nobody_scored_is_predicted_late_as_no_hindsight_replaces_anything(damaged, home):
    spec = declared(damaged, "previous", "abstain")
    day = publish_features(spec, flights_rows(spec))
    pipeline_clock.advance(spec, date.fromisoformat(day))
    nobody = publish_staged(spec, stage_predictions(spec, [day], RUN))
    restored(spec, home, 1)
    pipeline_clock.advance(spec, date.fromisoformat(day) + timedelta(days=2))
    late = stage_predictions(spec, [day], RUN)
    outdated.require_not_behind(spec, late, {day: nobody.batch_id})
    assert crossing_rows(spec, late, day) == {True}


def test_day_that_nobody_scored_ends_no_fault_of_its_predictions(damaged, home, sink):
    spec = declared(damaged, "previous", "abstain")
    day = publish_features(spec, flights_rows(spec))
    event = report.of_exception(
        spec, RuntimeError("It was killed."), task_id="stage_predictions", run_id="r", partition=day,
        task_url="http://127.0.0.1:8080/", dag_id="flights_score",
    )  # fmt: skip
    tell(event, sink[0])

    def closed() -> list[str]:
        """What closes it: its own run, the watcher by the ledger, and the watcher by the status."""
        found = status.of(spec, first=day, last=day)
        made = notify.close_published(spec, "predictions", day, sink[0])
        made += [*notify.retry_failed(spec, sink[0]), *notify.done(spec, found, sink[0])]
        return [entry.record.status for entry in made]

    publish_staged(spec, stage_predictions(spec, [day], RUN))
    assert closed() == []
    restored(spec, home, 1)
    publish_staged(spec, stage_predictions(spec, [day], RUN))
    assert closed() == ["resolved"]


def test_registry_that_does_not_answer_does_not_stop_the_status(damaged, home, monkeypatch):
    spec = declared(damaged, "previous", "abstain")
    day = publish_features(spec, flights_rows(spec))
    pipeline_clock.advance(spec, date.fromisoformat(day))
    publish_staged(spec, stage_predictions(spec, [day], RUN))
    restored(spec, home, 1)
    monkeypatch.setenv("SLUICE_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings.cache_clear()
    with pytest.raises(ConnectionError):
        scorer.choose(spec)
    (item,) = (one for one in status.of(spec, first=day, last=day) if one.stage == "score")
    assert item.state == "published"


def crossing_rows(spec, manifest, day: str) -> set[bool]:
    """What the rows of a day say of whether they were made late, after it was published."""
    publish_staged(spec, manifest, made_late=True)
    return set(tables.scan("flights", "predictions", day, day)["made_late"].to_pylist())


def test_without_a_champion_and_the_column_of_the_rule_nobody_scores_where_that_is_declared(flights):
    rows = flights_rows(flights).drop_columns([flights.model.baseline])
    day = publish_features(flights, rows)
    gone = f"The baseline is {flights.model.baseline}, which the rows do not have."
    with pytest.raises(RowsUnusableError) as error:
        stage_predictions(declared(flights, "previous", "baseline"), [day], RUN)
    assert error.value.what == gone
    spec = declared(flights, "previous", "abstain")
    manifest = stage_predictions(spec, [day], RUN)
    assert (manifest.rows, manifest.dropped) == (0, {"nobody_scored": 40})
    (entry,) = ledger.entries(kind="stood_in")
    assert entry.record.reasons == (f"Nobody scores, and there is no champion. {gone}",)
    made_by = manifest.inputs[-1]
    assert (made_by["scored_as"], made_by["stands_in_for"]) == ("abstain", None)
    event = report.of_damaged_model(
        spec, champion=None, version=None, abstained=True, problems=made_by["problems"], task_url="http://127.0.0.1:8080/"
    )  # fmt: skip
    assert event.facts["Champion"] == "the declared baseline"
    assert "Give the column back" in event.next_steps[0]


def test_day_that_nobody_scored_warns_and_is_mailed_as_no_score(damaged):
    spec = declared(damaged, "abstain")
    day = publish_features(spec, flights_rows(spec))
    (made_by,) = (each for each in stage_predictions(spec, [day], RUN).inputs if each["kind"] == "model")
    assert (made_by["version"], made_by["scored_as"], made_by["stands_in_for"]) == (None, "abstain", 2)
    event = report.of_damaged_model(
        spec, champion=2, version=None, abstained=True, problems=made_by["problems"], task_url="http://127.0.0.1:8080/"
    )  # fmt: skip
    assert event.effect.startswith("No predictions are made: readers see each day without rows")
    assert event.facts["Scores"] == "nobody"
    assert f"sluice model rollback {spec.pipeline} --to VERSION --by NAME --why REASON" in event.commands
    assert "baseline" not in " ".join(event.commands), "it is no declared step, or was tried"
    decided = monitoring.decide(spec, day, RUN)
    assert decided["action"] == "warn"
    assert decided["reasons"][-1].startswith("Nobody scores in place of the champion, version 2.")


def test_baseline_whose_column_is_gone_is_no_step_and_nobody_scores(damaged):
    rows = flights_rows(damaged).drop_columns([damaged.model.baseline])
    spec = declared(damaged, "previous", "baseline", "abstain")
    choice = scorer.choose(spec, rows.column_names)
    assert (choice.scored_as, choice.problems[-1]) == (
        "abstain", f"The baseline is {spec.model.baseline}, which the rows do not have.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["abstain", "baseline"], r"write \[baseline, abstain\]"),
        (["previous", "previous"], r"write \[previous\]"),
    ],
)
def test_ladder_that_goes_on_after_its_end_is_refused(champions, steps, said):
    with pytest.raises(ValidationError, match=said):
        type(champions.model).model_validate({**champions.model.model_dump(), "fallback": steps})


def test_page_and_trace_of_a_days_predictions_say_who_scored_and_lead_to_the_model(champions):
    day = publish_features(champions, flights_rows(champions))
    publish_staged(champions, stage_predictions(champions, [day], RUN))
    outer = FastAPI()
    outer.mount("/evidence", create_app(reader=reader))
    with serving(outer) as get:
        status, _, page = get(f"/evidence/_/partition/flights/predictions/{day}")
        assert status == 200
        assert "scored by version 2, of flights_late_arrival" in page
        assert '<a href="/evidence/_/model/flights">Model</a>' in page
        assert get("/evidence/_/model/flights")[0] == 200
    told = CliRunner().invoke(main, ["trace", "flights", "predictions", day]).output
    assert "from        scored by version 2, of flights_late_arrival" in told
    assert "kind model" not in told


def test_trace_of_a_prediction_names_its_model_and_what_it_is_made_of(champions):
    day = publish_features(champions, flights_rows(champions))
    publish_staged(champions, stage_predictions(champions, [day], RUN))
    key = tables.scan("flights", "predictions", day, day)["prediction_id"][0].as_py()
    done = CliRunner().invoke(main, ["trace", "flights", key])
    assert done.exit_code == 0, done.output
    assert f"prediction {key}" in done.output
    for said in (
        "scored by     version 2 of",
        "let in        by",
        "published in  predictions",
        "made of       features",
    ):
        assert said in done.output
    assert "log odds" not in done.output
    assert f"sluice why flights {key}" in done.output
    told = json.loads(CliRunner().invoke(main, ["trace", "flights", key, "--json"]).output)
    assert (told["reasons"], told["prediction"]["prediction_id"]) == (None, key)
    misspelt = CliRunner().invoke(main, ["trace", "flights", "feature"])
    assert "or a table with its day: " in misspelt.output
    missing = CliRunner().invoke(main, ["trace", "flights", "features"])
    assert (missing.exit_code, "The day of features is missing" in missing.output) == (2, True)


def published_by(spec, version: int, days: int, *, knew: bool = False, marked: tuple[str, ...] = ()) -> None:
    """Publish what a version made of the last days that were held out, or, under its name, what has come of them (`knew`)."""
    rows = flights_rows(spec)
    kept = sorted(set(rows["ds"].to_pylist()))[-days:]
    made = score(
        rows.filter(pa.compute.is_in(rows["ds"], pa.array(kept))).to_batches(),
        scorer.usable(spec, version, None).model,
        key=spec.model.key, name=spec.model.name, version=version, feature_snapshot_id=1, run_id="r",
        scored_at=datetime(2013, 3, 31, tzinfo=UTC),
    )  # fmt: skip
    held_out = registry().candidate(spec.model.name, version).test
    come = dict(
        zip(
            *(held_out[name].to_pylist() for name in ("flight_id", "is_late" if knew else "score_candidate")),
            strict=True,
        )
    )
    scores = pa.array([float(come[one]) for one in made["flight_id"].to_pylist()])
    made = made.set_column(made.schema.get_field_index("score"), "score", scores)
    for name in marked:
        place = made.schema.get_field_index(name)
        made = made.set_column(place, name, pa.repeat(pa.scalar(True), made.num_rows))
    publish(spec, "predictions", made)


def learned_to(spec, version: int, days: int | None) -> None:
    """Record a training of a version that learned of the newest rows, but not of their last `days`; None: it says nothing of that."""
    last = sorted(set(flights_rows(spec)["ds"].to_pylist()))[-1 - (days or 0)]
    splits = {} if days is None else {"refit": {"last": last.isoformat()}}
    about = {"pipeline": "flights", "subject": spec.model.name, "partition": DAY}
    ledger.append(model_records.Trained(version=version, splits=splits), **about)


@pytest.mark.parametrize(
    ("knew", "outcome", "decided"), [(False, "passed", "promote"), (True, "failed", "refuse")]
)
def test_successor_of_a_damaged_champion_has_to_keep_up_with_its_recorded_scores(
    champions, home, trained, knew, outcome, decided
):
    published_by(champions, 2, days=14, knew=knew)
    learned_to(champions, 2, days=14)
    model_file(champions, home, 2).write_bytes(b"not a model")
    decision = training.audit_candidate(champions, trained(), DAY, RUN)
    _, compared = decision.numbers["comparisons"]
    assert (compared["against"], compared["must"], compared["days"]) == ("champion", "keep_up", 14)
    assert (compared["outcome"], decision.outcome) == (outcome, decided), decision.reasons
    assert decision.numbers["by_recorded_scores"]
    said = "The champion was compared by the scores that it had published: model.ubj of"
    assert said in " ".join(decision.reasons)
    assert "could not be compared" not in " ".join(decision.reasons)


@pytest.mark.parametrize("days", [12, 10])
def test_scores_of_days_that_the_lost_champion_had_learned_do_not_count(champions, home, trained, days):
    published_by(champions, 2, days=14, knew=True)
    learned_to(champions, 2, days=days)
    model_file(champions, home, 2).write_bytes(b"not a model")
    decision = training.audit_candidate(champions, trained(), DAY, RUN)
    assert decision.numbers["comparisons"][1]["days"] == days


def test_recorded_scores_of_a_champion_of_which_it_is_not_known_what_it_learned_are_none_and_it_says_so(
    champions, home, trained
):
    published_by(champions, 2, days=14, knew=True)
    learned_to(champions, 2, days=None)
    model_file(champions, home, 2).write_bytes(b"not a model")
    decision = training.audit_candidate(champions, trained(), DAY, RUN)
    assert decision.promote, decision.reasons
    said = "The last day that it learned from was not recorded, so its published scores do not count."
    assert said in " ".join(decision.reasons)
    assert [one["against"] for one in decision.numbers["comparisons"]] == ["baseline"]


def test_too_few_recorded_scores_stop_no_successor(champions, home, trained):
    published_by(champions, 2, days=3)
    learned_to(champions, 2, days=14)
    model_file(champions, home, 2).write_bytes(b"not a model")
    decision = training.audit_candidate(champions, trained(), DAY, RUN)
    assert decision.promote, decision.reasons
    assert "It had scored 3 of the days that count here, and 10 are needed." in " ".join(decision.reasons)
    assert not decision.numbers["by_recorded_scores"]


@pytest.mark.parametrize(("version", "marked"), [(1, ()), (2, ("is_stale",)), (2, ("made_late",))])
def test_what_another_version_made_or_it_made_late_or_of_old_inputs_is_no_score_of_the_champion(
    champions, home, trained, version, marked
):
    published_by(champions, version, days=14, marked=marked)
    test = registry().candidate(champions.model.name, 2).test
    (two,) = (one.record for one in ledger.entries(model_records.Trained) if one.record.version == 2)
    rival = recorded_scores.champion(champions, two, test, "It is lost.")
    assert rival is not None
    assert np.isnan(rival.scorer.score(test)).all()
