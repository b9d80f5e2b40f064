"""The gate's floor in the benchmarks does the gate's work: without that its ratio would mean nothing."""

from __future__ import annotations

import pytest

from benchmarks import gate
from sluice import gates, spec
from sluice.feed import data
from sluice.lake import batches
from sluice.settings import ROOT

# SQL over a real day, `landed`; together they break every rule of the suite.
DAMAGES = {
    "clean": "from landed",
    "seconds, strangers, another day, rows twice": """
        select * replace (
            dep_delay * 60 as dep_delay, arr_delay * 60 as arr_delay, air_time * 60 as air_time,
            if(flight < 50, 'ZZ', carrier) as carrier, if(flight > 5000, 'BOS', origin) as origin,
            if(flight = 1, 'BOSTON', dest) as dest, if(flight > 4000, flight_date - 1, flight_date) as flight_date
        )
        from (from landed union all (from landed limit 7))""",
    "few rows, one origin nearly silent, no clock, a column slipped": """
        select * replace (dep_time + 70 as dep_time, lag(arr_delay) over () as arr_delay)
        from landed where flight < 300 or (origin <> 'LGA' and flight % 2 = 0)""",
    "nulls": """
        select * replace (
            if(flight % 5 > 0, null, dep_time) as dep_time, null::bigint as arr_delay, null::bigint as air_time
        )
        from landed""",
}


@pytest.fixture
def found(home):
    """Function: what the gate and its floor say about 2013-04-01 with some damage."""
    import datetime

    import duckdb
    import pyarrow as pa

    landed = data.rows("arrivals", datetime.date(2013, 4, 1))

    def both(damage: str):
        with duckdb.connect() as con:
            con.register("landed", landed)
            rows = con.sql(DAMAGES[damage]).to_arrow_table()
        rows = rows.append_column("ds", pa.array([datetime.date(2013, 4, 1)] * rows.num_rows))
        rows = rows.append_column("delivery_id", pa.array(["a1b2c3d4e5f60718"] * rows.num_rows))
        manifest = batches.stage(
            "flights",
            "arrivals",
            rows,
            partitions=["2013-04-01"],
            received=rows.num_rows,
            dropped={},
            inputs=[],
            run={"run_id": "r1"},
            sort_by=["flight"],
        )
        verdict = gates.run(spec.load("flights"), manifest)
        said = {
            "outcome": verdict.outcome,
            "failed": {rule.rule: rule.failing_rows for rule in verdict.failed},
        }
        return said, gate.by_hand(manifest.files["2013-04-01"], 1, 1)

    return both


def test_floor_on_damaged_days_finds_what_the_gate_finds(found):
    broken: set[str] = set()
    for damage in DAMAGES:
        by_gate, by_hand = found(damage)
        assert not gate.disagreement(by_gate, by_hand), damage
        assert (by_gate["outcome"] == "PASS") == (damage == "clean"), damage
        broken |= by_hand["failed"].keys()
    assert broken == set(by_hand["rules"]), "every rule of the floor has been seen to fail"


def test_floor_has_the_rules_of_the_suite():
    text = (ROOT / "expectations" / "flights" / "arrivals.json").read_text()
    rules = [one["meta"] for one in gate.of_the_batch(text)]
    assert all(f" as {rule['rule']}" in gate.FLOOR for rule in rules), (
        "write the new rule into benchmarks/gate_floor.sql"
    )
    assert {rule["rule"] for rule in rules if rule["severity"] == "warn"} == gate.WARNS
    limits = {rule["rule"]: rule["limit"] for rule in rules if rule["severity"] == "quarantine"}
    assert limits == gate.LIMITS


def test_disagreement_of_other_counts_is_seen():
    by_gate = {"outcome": "HOLD", "failed": {"known_carrier": 3}}
    assert gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {"known_carrier": 2}})
    assert gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {}})
    assert not gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {"known_carrier": 3}})
