"""Damage to what a pipeline has published: judged by its own rules, repeatable, without a trace, and with rules that see what was missed."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import TableMissingError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.gates import suite_text, suites
from sluice_lab.mutation import effectiveness, published
from sluice_lab.mutation.damages import DAMAGES

pytestmark = pytest.mark.slow

ALL = len(DAMAGES)


def test_each_kind_is_done_once_said_without_values_and_judged_without_a_trace(flights, tmp_path):
    entries = len(ledger.entries())
    known = published.sources(flights)
    assert {one.table for one in known} == set(flights.sources)
    cases = []
    for number in range(ALL):
        # Flights have no boolean, and their only date is the day itself.
        with suppress(published.NotApplicableError):
            cases.append(published.mutate(known, 1, number, tmp_path).case)
    assert {case.kind for case in cases} == {*DAMAGES} - {"flag", "date"}
    material = [case for case in cases if case.material]
    assert sum(case.stopped for case in material) > len(material) / 2, cases
    again = published.mutate(known, 1, 3, tmp_path).case
    assert again == next(case for case in cases if case.number == again.number)
    assert len(ledger.entries()) == entries
    clean = [published.clean(known, 1, number, tmp_path) for number in range(3)]
    assert {case.outcome for case in clean} <= {"PASS", "WARN"}


def test_rules_that_are_suggested_see_what_was_missed_once_they_are_in_the_suite(flights, weakened, tmp_path):
    for table in ("schedule", "arrivals", "weather"):
        weakened(table, keep={"one_row_a_flight", "one_row_an_hour"})
    asked = CliRunner().invoke(
        main,
        ["mutate", "flights", "--seed", "2", "--mutations", str(ALL), "--clean", "2", "--out", str(tmp_path)],
    )
    assert asked.exit_code == 1, asked.output
    found = json.loads((tmp_path / effectiveness.SUGGESTIONS).read_text())
    assert found
    assert "would be seen by a rule that fails on none of the clean days asked" in asked.output
    cases = [json.loads(line) for line in (tmp_path / "cases.jsonl").read_text().splitlines()]
    missed = {one["number"] for one in cases if one["stage"] == "missed"}
    sees = {number for one in found for number in one["sees"]}
    assert len(sees) > len(missed) / 3
    for table in {one["table"] for one in found}:
        path = suites.path_of(flights, table)
        added = [one["expectation"] for one in found if one["table"] == table]
        held = [{**one, "meta": {**one["meta"], "severity": "hold"}} for one in added]
        suite_text.write(flights, table, suite_text.append(path.read_text(), held))
    known = published.sources(flights)
    for number in sees:
        assert published.mutate(known, 2, number, tmp_path).case.stage == "raw gate", number


def test_pipeline_without_enough_days_and_a_stage_of_the_example_are_refused(flights, monkeypatch, tmp_path):
    asked = CliRunner().invoke(main, ["mutate", "flights", "--stage", "score"])
    assert asked.exit_code == 2
    assert "--stage damages the example; leave PIPELINE out, or --stage." in asked.output
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "empty"))
    settings.cache_clear()
    with pytest.raises(TableMissingError, match="more than 7 published days"):
        published.sources(spec.load("flights"))
