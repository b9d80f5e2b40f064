"""A search for parameters of a pipeline: what is recorded of it, its page, the command and the task, and that nothing is changed."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import pytest
import yaml
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import model_records
from sluice.models import tuning
from sluice.models.config import check_model
from sluice_ml.errors import FeaturesUnsoundError
from tests.models.conftest import DAY, flights, flights_rows, publish

__all__ = ["flights"]

pytestmark = pytest.mark.slow

# Trees whose leaves want more rows than there are make no cut; two trials, of one seed.
DECLARED = """
model:
  tuning:
    cpu_minutes: 5
    trials: 2
    space:
      max_depth: {low: 3, high: 5}
      learning_rate: {low: 0.1, high: 0.3, log: true}
      min_child_weight: {low: 2, high: 5}
"""


@pytest.fixture
def declared(flights, tmp_path, monkeypatch) -> spec.Pipeline:
    """The pipeline with bad parameters and a search."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    for old, new in (
        ("\nmodel:\n", DECLARED),
        ("    max_depth: 3\n", "    max_depth: 1\n"),
        ("    learning_rate: 0.1\n", "    learning_rate: 0.001\n"),
        ("    min_child_weight: 20\n", "    min_child_weight: 500\n"),
        ("  rounds: 150\n", "  rounds: 25\n"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "flights.yml").write_text(text)
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path))
    settings.cache_clear()
    return spec.load("flights")


@pytest.fixture
def published(declared) -> spec.Pipeline:
    """The same, its days published, and its feed on the morning of DAY."""
    drawn = flights_rows(declared, days=70)
    publish(declared, "features", drawn.drop_columns(["is_late"]))
    publish(declared, "outcomes", drawn.select(["flight_id", "ds", "is_late"]))
    pipeline_clock.advance(declared, date.fromisoformat(DAY))
    return declared


def test_command_records_a_proposal_with_all_trials_on_a_page_and_the_yaml_stays(published):
    done = CliRunner().invoke(main, ["model", "tune", "flights"])

    assert done.exit_code == 0, done.output
    (entry,) = ledger.entries(model_records.Tuned, pipeline="flights", subject=published.model.name)
    record = entry.record
    assert entry.partition == DAY, "as of today by the pipeline's clock"
    assert len(record.trials) == 2
    assert record.gain["low"] > 0
    assert record.proposed == record.trials[record.best]["params"]
    # What is not searched for stays as it is declared, and where it stands.
    assert record.proposed["subsample"] == published.model.params["subsample"]
    block = "\n".join(tuning.block(published, record.proposed))
    shown = yaml.safe_load(block)["params"]
    assert (shown, list(shown)) == (record.proposed, list(published.model.params))
    assert "trial 2: mean daily AUC" in done.stderr
    assert block in done.stdout
    assert f"Recorded as entry {entry.seq}." in done.stdout
    assert (record.confidence, record.linear is None) == (1 - (1 - 0.95) / 2, False)
    assert "an interval of 97.500%" in record.reasons[1]
    page = settings().home / "reports" / record.report
    assert "A proposal" in page.read_text()
    assert block in page.read_text()
    assert len(json.loads(page.with_suffix(".json").read_text())["trials"]) == 2
    assert spec.load("flights").model.params == published.model.params
    assert ledger.entries(kind="trained") == []

    assert CliRunner().invoke(main, ["model", "tune", "flights"]).exit_code == 0
    pages = {settings().home / "reports" / one.record.report for one in ledger.entries(model_records.Tuned)}
    assert len(pages) == 2, "a second search of the day has a page of its own"
    assert all(one.is_file() for one in pages)


def test_search_on_rows_that_no_model_should_learn_from_is_refused_and_is_no_refused_training(declared):
    """Else it would count in the backoff, and end what monitoring asked for."""
    drawn = flights_rows(declared, days=70)
    place = drawn.schema.get_field_index("distance_miles")
    copied = drawn.set_column(place, "distance_miles", drawn["is_late"].cast(drawn.schema.field(place).type))
    publish(declared, "features", copied.drop_columns(["is_late"]))
    publish(declared, "outcomes", drawn.select(["flight_id", "ds", "is_late"]))
    with pytest.raises(FeaturesUnsoundError, match="distance_miles is a copy of the label"):
        tuning.tune(declared, DAY, Run(run_id="run-1"), print)
    assert ledger.entries(kind="training_refused") == []
    assert ledger.entries(model_records.Tuned) == []


@pytest.mark.airflow
def test_task_searches_as_of_today_for_whoever_triggered_it(published):
    from airflow.sdk.execution_time.context import set_current_context

    from sluice.orchestration import tune

    ti = SimpleNamespace(dag_id="flights_tune", task_id="propose_parameters", run_id="run-1", try_number=1)
    context = {"ti": ti, "dag_run": SimpleNamespace(triggering_user_name="ada")}
    with set_current_context(context):
        said = tune._propose_parameters.function("flights")
    (entry,) = ledger.entries(model_records.Tuned)
    assert said == " ".join(entry.record.reasons)
    assert (entry.partition, entry.run, entry.record.asked_by) == (DAY, "run-1", "ada")


def test_command_without_a_declared_search_says_what_to_declare(flights):
    done = CliRunner().invoke(main, ["model", "tune", "flights", "--day", DAY])
    assert done.exit_code == 1
    assert "tuning: {cpu_minutes: 30}" in done.output
    assert ledger.entries(model_records.Tuned) == []


def test_space_that_xgboost_does_not_know_or_take_is_refused(declared):
    def checked(**space) -> None:
        search = declared.model.tuning.model_copy(update={"space": {**declared.model.tuning.space, **space}})
        model = declared.model.model_copy(update={"tuning": search})
        check_model(declared.model_copy(update={"model": model}))

    bounds = declared.model.tuning.space["max_depth"]
    checked(max_leaves=bounds)
    with pytest.raises(
        SpecInvalidError,
        match=r"model\.tuning\.space\.max_deep: XGBoost has no parameter max_deep .*did you mean 'max_depth'\? Where",
    ):
        checked(max_deep=bounds)
    with pytest.raises(SpecInvalidError, match=r"model\.tuning\.space\.subsample: "):
        checked(subsample=bounds)
    with pytest.raises(SpecInvalidError, match=r"scale_pos_weight is declared as model\.class_weights"):
        checked(scale_pos_weight=bounds)
    with pytest.raises(SpecInvalidError, match="seed is set by every training itself"):
        checked(seed=bounds)
    with pytest.raises(SpecInvalidError, match="lambda and reg_lambda are one parameter"):
        checked(**{"lambda": bounds})


def test_base_score_beside_class_weights_is_refused(flights):
    def checked(**more) -> None:
        check_model(flights.model_copy(update={"model": flights.model.model_copy(update=more)}))

    params = {**flights.model.params, "base_score": 0.3}
    checked(params=params)
    checked(class_weights={True: 4.0})
    with pytest.raises(SpecInvalidError, match=r"model\.params\.base_score"):
        checked(params=params, class_weights={True: 4.0})
