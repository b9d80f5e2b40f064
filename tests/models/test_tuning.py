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
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ledger import model_records
from sluice.models import tuning
from sluice.models.config import check_model
from tests.models.conftest import DAY, flights, flights_rows, publish

__all__ = ["flights"]

pytestmark = pytest.mark.slow

# Trees of one cut find no bump in these rows; two trials, of one seed.
DECLARED = """
model:
  tuning:
    cpu_minutes: 5
    trials: 2
    space:
      max_depth: {low: 3, high: 5}
      learning_rate: {low: 0.1, high: 0.3, log: true}
"""


@pytest.fixture
def declared(flights, tmp_path, monkeypatch) -> spec.Pipeline:
    """The pipeline with bad parameters and a search."""
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    for old, new in (
        ("\nmodel:\n", DECLARED),
        ("    max_depth: 5\n", "    max_depth: 1\n"),
        ("    learning_rate: 0.06\n", "    learning_rate: 0.001\n"),
        ("    min_child_weight: 20\n", "    min_child_weight: 5\n"),
        ("  rounds: 400\n", "  rounds: 25\n"),
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
    page = settings().reports / record.report
    assert "A proposal" in page.read_text()
    assert block in page.read_text()
    assert len(json.loads(page.with_suffix(".json").read_text())["trials"]) == 2
    assert spec.load("flights").model.params == published.model.params
    assert ledger.entries(kind="trained") == []


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
    with pytest.raises(SpecInvalidError, match="no parameter max_deep"):
        checked(max_deep=bounds)
    with pytest.raises(SpecInvalidError, match="subsample"):
        checked(subsample=bounds)
    with pytest.raises(SpecInvalidError, match=r"scale_pos_weight is declared as model\.class_weights"):
        checked(scale_pos_weight=bounds)
