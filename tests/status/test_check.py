from __future__ import annotations

import re
import shutil

import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.core.settings import ROOT, settings
from sluice.status.check import check_all


@pytest.fixture
def copy(home, make_home, tmp_path, monkeypatch):
    """The project's declarations, copied so that a test may break them."""
    make_home(home)
    for name, folder in (("PIPELINES", "dags/pipelines"), ("EXPECTATIONS", "expectations")):
        shutil.copytree(ROOT / folder, tmp_path / name.lower())
        monkeypatch.setenv(f"SLUICE_{name}", str(tmp_path / name.lower()))
    settings.cache_clear()
    return tmp_path


@pytest.mark.slow
def test_check_of_the_project_finds_nothing(copy):
    assert [(what, str(error)) for what, error in check_all() if error] == []


@pytest.mark.slow
def test_check_missing_suite_is_named_and_the_command_fails(copy):
    (copy / "expectations" / "flights" / "weather.json").unlink()
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "weather.json" in result.output
    assert "Traceback" not in result.output


def test_check_mistyped_key_is_named(copy):
    path = copy / "pipelines" / "flights.yml"
    path.write_text(path.read_text().replace("history_days", "histroy_days"))
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "did you mean 'history_days'? Where: " in result.output, "and no full stop behind it"
    assert re.search(r"Error: 1 of \d+ checks found problems", result.output)


def test_check_unknown_variable_is_named(copy, monkeypatch):
    monkeypatch.setenv("SLUICE_HOMME", "x")
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "No setting reads SLUICE_HOMME" in result.output


def test_settings_wrong_type_is_one_plain_error(home, monkeypatch):
    monkeypatch.setenv("SLUICE_API_PORT", "eighty")
    settings.cache_clear()
    result = CliRunner().invoke(main, ["up"])
    assert result.exit_code == 1
    assert "SLUICE_API_PORT" in result.output
    assert "Traceback" not in result.output


def test_one_pipeline_is_checked_alone_and_its_gaps_are_counted(copy):
    flights = copy / "pipelines" / "flights.yml"
    text = flights.read_text()
    (copy / "pipelines" / "other.yml").write_text("pipeline: other\n")
    flights.write_text(f'# A "?" is a gap.\n{text}')
    lines = [line for line in text.splitlines() if line.strip().startswith("licence:")]
    flights.write_text(flights.read_text().replace(lines[0], lines[0].split(":")[0] + ': "?"', 1))
    said = CliRunner().invoke(main, ["check", "flights"])
    assert said.exit_code == 0, said.output
    assert "other" not in said.output
    assert 'gaps     pipeline flights: 1 "?" in flights.yml for a person to fill in' in said.output
    assert "note     model" not in said.output
    wrong = CliRunner().invoke(main, ["check", "other"])
    assert wrong.exit_code == 1
    assert "PROBLEM  pipeline other" in wrong.output


def test_what_the_model_card_lacks_is_a_note_and_no_problem(copy):
    flights = copy / "pipelines" / "flights.yml"
    text = flights.read_text()
    start, end = text.index("    caveats:"), text.index("  key: flight_id\n")
    flights.write_text(text[:start] + text[end:])
    said = CliRunner().invoke(main, ["check", "flights"])
    assert said.exit_code == 0, said.output
    named = "model.card.caveats, model.card.motivation, model.card.distribution"
    assert f"note     model of flights: not stated, and so missing in its card: {named}" in said.output


@pytest.mark.parametrize(("policy", "noted"), [("", True), ("releases: {self_approval: refuse}\n", False)])
def test_critical_model_that_its_trainer_may_approve_is_a_note_and_no_problem(copy, policy, noted):
    flights = copy / "pipelines" / "flights.yml"
    critical = f"\n{policy}model:\n  criticality: critical\n  shadow_days: 14\n"
    flights.write_text(flights.read_text().replace("\nmodel:\n", critical))
    said = CliRunner().invoke(main, ["check", "flights"])
    assert said.exit_code == 0, said.output
    assert ("whoever started its training may approve it" in said.output) == noted
