"""A pipeline of sources only: it ingests, gates and publishes, and whatever is about a model knows that there is none."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from click.testing import CliRunner

from sluice import crossing, holds, status, watch
from sluice.cli import main
from sluice.core.errors import BatchHeldError, ModelNotDeclaredError, SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ingest import completion, deliveries
from sluice.lake import evidence, tables
from sluice.notify import failed_runs, reader_impact, report
from sluice.notify.events import Event
from sluice.status import catalogue, check, today, unused
from sluice.status.reconcile import plan

FLIGHTS = ROOT / "dags" / "pipelines" / "flights.yml"
RUN = Run(dag_id="tides_ingest", run_id="test")
DAY = "2024-05-01"
# The watcher's run day: a source lags a day.
RUN_DAY = "2024-05-02"

DECLARED = {
    "pipeline": "tides",
    "title": "Water levels of two harbours",
    "owner": "harbours",
    "mail_to": ["harbours@example.com"],
    "clock": "feed",
    "timezone": "UTC",
    "schedule": "0 5 * * *",
    "landing": "landing-tides",
    "sources": {
        "levels": {
            "owner": "harbours",
            "description": "Water levels, hourly.",
            "grain": "one row a harbour and hour",
            "key": ["harbour", "hour"],
            "format": "csv",
            "cadence": "daily",
            "lag_days": 1,
            "licence": "CC0-1.0",
            "purpose": "test",
            "contract": {
                "version": 1,
                "columns": {
                    "harbour": {"type": "string", "values": ["Cuxhaven", "Husum"]},
                    "hour": {"type": "integer"},
                    "level": {"type": "number", "unit": "cm", "nullable": True},
                },
            },
        }
    },
}
SUITE = {
    "name": "tides.levels",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "hour", "min_value": 0, "max_value": 23},
            "meta": {
                "rule": "hour_of_a_day",
                "severity": "hold",
                "owner": "harbours",
                "why": "A day has 24 hours.",
            },
        }
    ],
}


@pytest.fixture
def declare(home, tmp_path, monkeypatch):
    """Function: declare `tides`, with what is given changed, and return it."""
    pipelines, suites = tmp_path / "pipelines", tmp_path / "expectations"
    pipelines.mkdir()
    (suites / "tides").mkdir(parents=True)
    (suites / "tides" / "levels.json").write_text(json.dumps(SUITE))
    monkeypatch.setenv("SLUICE_PIPELINES", str(pipelines))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(suites))
    settings.cache_clear()

    def write(**changed: object) -> spec.Pipeline:
        (pipelines / "tides.yml").write_text(yaml.safe_dump(DECLARED | changed))
        return spec.load("tides")

    return write


def _rows(hours: int = 24) -> bytes:
    lines = [f"{harbour},{hour},{hour}.5" for harbour in ("Cuxhaven", "Husum") for hour in range(hours)]
    return "\n".join(["harbour,hour,level", *lines, ""]).encode()


def _cross(tides: spec.Pipeline, run_day: str = RUN_DAY) -> None:
    manifest = crossing.stage(tides, "levels", [run_day], RUN)
    crossing.require_publishable(crossing.audit(tides, "levels", manifest.batch_id, RUN))
    crossing.publish(tides, "levels", manifest.batch_id, RUN)


def test_a_day_is_landed_gated_and_published_and_nothing_is_left_to_do(declare, tmp_path):
    tides = declare()
    file = tmp_path / "levels.csv"
    file.write_bytes(_rows())

    landed = CliRunner().invoke(main, ["land", "tides", "levels", DAY, str(file)])

    assert landed.exit_code == 0, landed.output
    assert pipeline_clock.today(tides).isoformat() == RUN_DAY, (
        "to land moves the clock of a replayed pipeline"
    )
    active = dict.fromkeys(tides.stages, 0)
    assert [(start.stage, start.run_day) for start in plan(tides, active)] == [("ingest", RUN_DAY)]
    assert completion.due_sources(tides, [RUN_DAY]) == ["levels"]
    _cross(tides)
    completion.complete(tides, [RUN_DAY], RUN)
    assert tables.scan("tides", "levels", DAY, DAY).num_rows == 48
    found = status.of(tides)
    assert [(item.table, item.day, item.state) for item in found] == [("levels", DAY, "published")]
    assert plan(tides, active) == []
    assert watch.missed_deliveries(tides) == []
    assert watch.rewritten_history(tides) == []
    assert watch.rebuilds(tides) == []


def test_to_land_an_earlier_day_does_not_turn_the_clock_back(declare):
    tides = declare()
    deliveries.land(tides, "levels", DAY, _rows())
    deliveries.land(tides, "levels", "2024-04-01", _rows())
    assert pipeline_clock.today(tides).isoformat() == RUN_DAY


def test_a_wrong_day_is_held_and_the_mail_speaks_of_no_prediction(declare):
    tides = declare()
    deliveries.land(tides, "levels", DAY, _rows(30))
    with pytest.raises(BatchHeldError):
        _cross(tides)
    (hold,) = holds.open_batches(tides)
    assert (hold.table, list(hold.days)) == ("levels", [DAY])
    effect = reader_impact.waiting(tides, "levels", [DAY])
    assert effect == f"The levels of {DAY} are missing for readers; there are none from an earlier day."
    assert reader_impact.waits_for(tides, "levels") == ()
    (item,) = status.of(tides)
    assert item.state == "held"

    deliveries.land(tides, "levels", DAY, _rows())
    _cross(tides)

    assert holds.open_batches(tides) == []
    assert "no prediction" not in reader_impact.waiting(tides, "levels", [DAY])


def _failed(tides: spec.Pipeline) -> Event:
    return failed_runs.of_failed_run(
        tides,
        dag_id="tides_ingest",
        run_id="r",
        reason="timed_out",
        partition=RUN_DAY,
        task="find_deliveries",
        run_url="http://run",
    )


def test_a_run_that_airflow_ended_says_what_readers_see(declare):
    event = _failed(declare())
    assert (
        event.effect
        == f"What was delivered for {RUN_DAY} is not published; readers see what they saw before."
    )
    assert event.not_published == ()


def test_a_rewritten_day_is_told_without_a_word_of_models(declare):
    said = {
        "recorded": "a",
        "found": "b",
        "recorded_rows": 1,
        "found_rows": 2,
        "diff": {},
        "sample": [],
        "page": "",
    }
    event = report.of_rewritten(declare(), "levels", DAY, **said, task_url="http://task")
    assert event.effect == f"Readers see levels of {DAY} with content that no gate has judged."


def test_by_the_wall_clock_a_late_delivery_is_found(declare, set_clock):
    set_clock("2024-05-02T07:00:00+00:00")
    live = declare(clock="wall", starts="2024-05-02")
    (settings().home / "landing-tides").mkdir()
    (missed,) = watch.missed_deliveries(live)
    assert (missed.source, missed.day) == ("levels", DAY)
    deliveries.land(live, "levels", DAY, _rows())
    assert watch.missed_deliveries(live) == []
    assert pipeline_clock.today(live).isoformat() == RUN_DAY
    _cross(live)
    completion.complete(live, [RUN_DAY], RUN)
    assert [item.state for item in status.of(live)] == ["published"]


def test_today_says_whether_all_tables_of_the_newest_day_are_published(declare):
    tides = declare()
    assert today.read(tides).sentence == "No table is due yet."
    deliveries.land(tides, "levels", DAY, _rows())
    waits = today.read(tides)
    assert (waits.fitness, waits.run_day) == ("not_made", RUN_DAY)
    assert waits.reasons == (f"levels {DAY} is ready: delivery 1 is there",)
    _cross(tides)
    published = today.read(tides)
    assert published.sentence == f"All tables of the run of {RUN_DAY} are published."
    assert [name for name, _ in today.facts(published)] == ["held"]


@pytest.mark.slow
def test_check_and_status_and_the_catalogue_know_that_there_is_no_model(declare):
    tides = declare()
    # The project that this is in has flights as well.
    shutil.copy(FLIGHTS, settings().pipelines)
    shutil.copytree(ROOT / "expectations" / "flights", settings().expectations / "flights")
    unused.check(tides)
    assert [error for _, error in check.check_pipeline("tides") if error] == []
    named = [what for what, _ in check.check_pipeline("tides")]
    assert named == ["pipeline tides", "schedule of tides", "landing zone of tides", "suites of tides"]
    deliveries.land(tides, "levels", DAY, _rows())
    shown = CliRunner().invoke(main, ["status", "tides"])
    assert shown.exit_code == 0, shown.output
    assert "levels" in shown.output
    assert "predictions" not in shown.output
    page = evidence.read(catalogue.write(catalogue.read(tides))).decode()
    assert "levels" in page
    assert "Tables that the pipeline makes" not in page
    impact = CliRunner().invoke(main, ["catalogue", "tides", "--impact", "levels.level"])
    assert impact.exit_code == 0, impact.output
    assert "of the model" not in impact.output


def test_what_is_about_a_model_is_refused_in_words(declare):
    tides = declare()
    for refused in (lambda: tides.model, lambda: tides.monitoring):
        with pytest.raises(ModelNotDeclaredError, match="'tides' declares no model"):
            refused()
    shown = CliRunner().invoke(main, ["model", "show", "tides"])
    assert (shown.exit_code, "declares no model" in shown.output) == (1, True)
    assert tides.tables == ["levels"]
    assert tides.stages == ("ingest", "backfill", "replay", "release", "reconcile", "watch", "maintain")


@pytest.mark.parametrize(
    ("removed", "said"),
    [
        (["model"], "`monitoring` is declared without `model`"),
        (["monitoring"], "`model` is declared without `monitoring`"),
    ],
)
@pytest.mark.fast
def test_model_and_monitoring_are_declared_together(removed, said):
    raw = {key: value for key, value in yaml.safe_load(FLIGHTS.read_text()).items() if key not in removed}
    with pytest.raises(SpecInvalidError, match=said):
        spec.validate(raw, FLIGHTS)


@pytest.mark.fast
def test_derived_tables_need_the_days_that_they_look_back_on():
    raw = yaml.safe_load(FLIGHTS.read_text())
    del raw["history_days"]
    with pytest.raises(SpecInvalidError, match="`derived` is declared without `history_days`"):
        spec.validate(raw, FLIGHTS)


@pytest.mark.fast
def test_derived_tables_without_a_model_are_transformed_and_not_scored():
    raw = yaml.safe_load(FLIGHTS.read_text())
    del raw["model"], raw["monitoring"]
    found = spec.validate(raw, FLIGHTS)
    assert found.tables == [*found.sources, *found.derived]
    assert "transform" in found.stages
    assert not {"score", "monitor", "train", "rollback"} & set(found.stages)


@pytest.mark.fast
def test_a_mistyped_key_of_the_model_lists_those_that_there_are():
    raw = yaml.safe_load(FLIGHTS.read_text())
    raw["model"]["questoin"] = raw["model"].pop("question")
    with pytest.raises(SpecInvalidError, match="did you mean 'question'"):
        spec.validate(raw, FLIGHTS)
