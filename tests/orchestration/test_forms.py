"""What somebody fills into Airflow's forms is refused in the words of the command line, before anything is touched."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from sluice import holds, ledger
from sluice.cli import main
from sluice.core.errors import DayInvalidError, SourceUnknownError
from sluice.declare import spec
from sluice.orchestration.runs import run_days

DAYS = ["2013-02-30", "2013-13-40", "yesterday", "20130401", "9999-12-31", ""]


def _replay(flights, table, day):
    holds.plan(flights, table, day)


def _release(flights, table, day):
    holds.request(flights, table, day, why="because", until="2099-01-01")


@pytest.mark.parametrize("form", [_replay, _release])
@pytest.mark.parametrize("day", DAYS)
def test_form_with_no_day_is_refused_as_the_command_refuses_it(home, form, day):
    with pytest.raises(DayInvalidError) as caught:
        form(spec.load("flights"), "arrivals", day)
    command = CliRunner().invoke(main, ["replay", "flights", "arrivals", day])
    assert caught.value.what in command.output
    assert caught.value.allowed in command.output
    assert ledger.entries() == []


@pytest.mark.parametrize("form", [_replay, _release])
def test_form_with_an_unknown_table_is_refused_as_the_command_refuses_it(home, form):
    with pytest.raises(SourceUnknownError) as caught:
        form(spec.load("flights"), "arivals", "2013-04-02")
    command = CliRunner().invoke(main, ["replay", "flights", "arivals", "2013-04-02"])
    assert caught.value.what in command.output
    assert caught.value.allowed in command.output


@pytest.mark.parametrize("day", DAYS[:-1])
def test_run_with_no_day_for_a_partition_key_or_a_range_is_refused(day):
    keyed = SimpleNamespace(partition_key=day, run_id="manual", dag_id="flights_ingest")
    ranged = SimpleNamespace(partition_key=None, run_id="manual", dag_id="flights_backfill")
    for context in (
        {"dag_run": keyed, "params": {}},
        {"dag_run": ranged, "params": {"first_day": day, "last_day": "2013-04-02"}},
        {"dag_run": ranged, "params": {"first_day": "2013-04-02", "last_day": day}},
    ):
        with pytest.raises(DayInvalidError, match="YYYY-MM-DD"):
            run_days(context)
