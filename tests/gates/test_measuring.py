"""How close published days came to the limits of their rules: real days, two of them damaged, each rule asked about all of them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import gates
from sluice.cli import main
from sluice.core.partitions import days_between
from sluice.gates import expectations, measuring
from sluice.lake import tables

SPAN = {"days": 28, "min_days": 14}
DAYS = days_between("2013-03-01", "2013-04-09")
# Miles are kilometres on the last day, and half of its rows are missing; a third of the distances of the day before are null.
FAR, HOLED = DAYS[-1], DAYS[-2]
_DISTANCE = f"case when ds = date '{FAR}' then (distance * 1.609344)::bigint when ds = date '{HOLED}' and flight % 3 = 0 then null else distance end as distance"
_FAULTS = (f"* replace ({_DISTANCE})", f"where ds <> date '{FAR}' or hash(carrier, flight, dest) % 2 = 0")


@pytest.fixture
def published(rows, stage):
    """The plan of forty days as readers see it; returns its batch."""
    change, suffix = _FAULTS
    manifest = stage("schedule", rows("schedule", *DAYS, change=change, suffix=suffix), *DAYS)
    tables.publish(manifest, verdict_id="v")
    return manifest


@pytest.fixture
def rules(suite, expect):
    columns = {"column_list": ["distance"], **SPAN}
    suite(
        "schedule",
        expect("expect_table_row_count_to_fit_history", "rows", **SPAN, width=0, slack=0.4),
        expect("expect_column_means_to_fit_history", "means", **columns, width=0, slack=300),
        # More rows than a gate looks at: eight columns of forty days.
        expect("expect_column_null_shares_to_fit_history", "nulls", all_columns_but=[], **SPAN, width=0, slack=0.2),
        expect("expect_column_magnitudes_to_fit_history", "magnitudes", **columns, limit=1.45),
        expect("expect_column_distributions_to_fit_history", "mix", **columns, edges={"distance": [500, 1000]}, limit=0.5),
        expect("expect_column_categories_to_be_known_from_history", "known", column_list=["dest"], **SPAN, limit=0.05),
        expect("expect_column_values_not_to_spike", "spikes", column_list=["dest"], **SPAN, limit=0.1),
        expect("expect_column_mode_shares_to_fit_history", "modes", **columns, limit=0.2),
        expect("expect_rows_to_differ_from_earlier_days", "repeats", column_list=["carrier", "flight"], **SPAN, limit=0.99),
        expect("expect_group_shares_to_fit_history", "groups", column="distance", by="origin", at_least=1000, **SPAN, limit=0.5, limit_below=0.5),
        expect("expect_rows_to_agree_with_history", "routes", column_list=["origin", "dest"], values={"distance": "distance"}, **SPAN, limit=0.02),
        expect("expect_rows_to_agree_with_table", "plan", column_list=["carrier", "flight"], table="arrivals", limit=0.1),
        expect("expect_column_values_to_not_be_null", "complete", column="carrier"),
    )  # fmt: skip


def test_each_rule_fails_on_the_days_on_which_its_gate_would_hold_and_names_the_closest(
    pipeline, published, rules
):
    found = {one.rule: one for one in measuring.measure(pipeline, "schedule")}
    assert set(found) == {one.rule for one in gates.run(pipeline, published).rules} - {"complete"}
    held = {one.rule for one in gates.run(pipeline, published).failed}
    assert {rule for rule, one in found.items() if one.days_failing} == held
    assert held == {"rows", "means", "nulls", "magnitudes", "routes"}
    assert {rule: (one.day, one.days_failing) for rule, one in found.items() if rule in held} == {
        "rows": (FAR, 1),
        "means": (FAR, 1),
        "nulls": (HOLED, 1),
        "magnitudes": (FAR, 1),
        "routes": (FAR, 2),
    }
    assert found["magnitudes"].about == "distance"
    assert found["magnitudes"].found == pytest.approx(1.6, abs=0.15)
    assert found["magnitudes"].days_compared == len(DAYS) - SPAN["min_days"]
    assert found["nulls"].found == pytest.approx(1 / 3, abs=0.03)
    for rule, one in found.items():
        assert (one.share is None) == (rule == "plan"), rule
        assert one.share is None or one.share >= 1 if one.days_failing else (one.share or 0) <= 1


def test_every_type_says_what_it_compares_with_its_limit():
    assert all(one.statistic for one in expectations.COMPARING.values())


def test_it_is_told_in_sentences_and_as_json_and_a_table_without_rows_is_refused(published, rules):
    said = CliRunner().invoke(main, ["suite", "measure", "flights", "schedule"])
    assert said.exit_code == 0, said.output
    lines = {line.partition(":")[0]: line for line in said.output.splitlines()}
    assert f"of 1.45 on {FAR} (distance); 26 days compared, fails on 1" in lines["magnitudes"]
    assert lines["known"].endswith("26 days compared, none fails")
    assert lines["plan"] == "plan: nothing was compared"
    shown = json.loads(CliRunner().invoke(main, ["suite", "measure", "flights", "schedule", "--json"]).output)
    assert {one["rule"] for one in shown["rules"]} == set(lines)
    refused = CliRunner().invoke(main, ["suite", "measure", "flights", "weather"])
    assert refused.exit_code == 1
    assert "flights.weather" in refused.output
