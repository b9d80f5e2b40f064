"""Every scenario, through a real Airflow."""

from __future__ import annotations

import pytest

from sluice.core.settings import settings
from sluice_lab.rehearsal import runner, scenario_list

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

# A sample of every kind of ending: corrected, noticed, rewritten, refused, held by a gate of the model. Mailed late is in tests/scenarios.
SHORT = {
    "held_and_corrected",
    "late_delivery_noticed",
    "s02_history_rewritten",
    "s25_purpose_expired",
    "s45_scoring_skew",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in scenario_list.names()],
)
def test_rehearsal_passes(stage, name):
    result = runner.rehearse(stage, scenario_list.find(name), say=print, days=3)

    assert result.passed, result.report()


def test_state_is_healthy_again_after_a_scenario_changed_everything(stage):
    """What a scenario leaves behind, the next one does not find."""
    stage.reset()
    stage.used()
    (settings().home / "pipelines" / "flights.yml").write_text("nothing: here\n")
    (settings().mail / "left.eml").write_text("Subject: left over\n\n")
    (settings().home / "ledger.db").write_bytes(b"")

    stage.reset()

    assert "pipeline: flights" in (settings().home / "pipelines" / "flights.yml").read_text()
    assert not list(settings().mail.iterdir())
    assert (settings().home / "ledger.db").stat().st_size
