"""Every scenario, through a real Airflow."""

from __future__ import annotations

import pytest

from sluice.rehearsal import catalogue, runner
from sluice.settings import settings

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

# More than half of the time of all: several runs each, or commands of their own.
LONG = {
    "s05_spelling_variants",
    "s08_dependency_change",
    "s37_mistyped_keys",
    "s47_clean_days",
    "three_days_off",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in catalogue.names()]
)
def test_rehearsal_passes(stage, name):
    result = runner.rehearse(stage, catalogue.find(name), say=print, days=3)

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
