"""The gate's floor in the benchmarks does the gate's work: without that its ratio would mean nothing."""

from __future__ import annotations

import json
from datetime import date, timedelta

import duckdb
import pytest

from benchmarks import gate
from sluice import gates
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.lake import batches, tables
from sluice_lab.feed import data

# Rules that compare rows with what is known of them elsewhere.
NOT_IN_THE_FLOOR = {"expect_rows_to_agree_with_history", "expect_rows_to_agree_with_table"}


def _cancelled(which: str) -> str:
    gone = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
    return f"select * replace ({', '.join(f'if({which}, null, {one}) as {one}' for one in gone)}) from landed"


# SQL over a real day, `landed`, and the same weekday before, `earlier`; together they break every rule of the floor.
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
    "strange places and aircraft, one value too often": """
        select * replace (
            if(flight % 5 = 0, 'Q' || dest, dest) as dest, if(flight % 3 = 0, 'X' || tailnum, tailnum) as tailnum,
            if(flight % 4 = 0, 77, dep_delay) as dep_delay
        )
        from landed""",
    "an earlier day again": "select * replace (date '2013-04-01' as flight_date) from earlier",
    "one destination cancelled alone": _cancelled("dest = 'ATL'"),
    "one airport cancelled alone": _cancelled("origin = 'LGA'"),
    "one carrier cancelled alone": _cancelled("carrier = 'UA'"),
    "one airport late": """
        select * replace (
            if(origin = 'LGA', dep_delay + 60, dep_delay) as dep_delay, if(origin = 'LGA', arr_delay + 60, arr_delay) as arr_delay
        )
        from landed""",
    "one carrier late alone": """
        select * replace (
            if(carrier = 'UA', arr_delay + 130, arr_delay) as arr_delay,
            if(carrier = 'UA', dep_delay + 130, dep_delay) as dep_delay
        )
        from landed""",
}


@pytest.fixture
def found(home):
    """Function: what the gate and its floor say about 2013-04-01 with some damage, after 56 published days."""
    first, day = date(2013, 2, 4), date(2013, 4, 1)
    landed, earlier = data.rows("arrivals", day), data.rows("arrivals", day - timedelta(days=7))
    cached = settings().home / "feed-cache" / "arrivals.parquet"

    def staged(con, query: str) -> batches.Manifest:
        shaped = f"select *, flight_date as ds, 'a1b2c3d4e5f60718' as delivery_id from ({query})"
        # Where a row says another day, that is the damage.
        ds = "flight_date" if "_day" in query else f"date '{day}'"
        rows = con.sql(shaped.replace("flight_date as ds", f"{ds} as ds")).to_arrow_table()
        return batches.stage(
            "flights",
            "arrivals",
            rows,
            partitions=sorted({str(one) for one in rows["ds"].unique().to_pylist()}),
            received=rows.num_rows,
            dropped={},
            inputs=[],
            run=Run(run_id="r1"),
            sort_by=["flight"],
        )

    with duckdb.connect() as con:
        before = (
            f"select * exclude (_day) from '{cached}' where _day >= date '{first}' and _day < date '{day}'"
        )
        tables.publish(staged(con, before), verdict_id="v")
    history = tables.files("flights", "arrivals", str(first), str(day - timedelta(days=1)), into=home)

    def both(damage: str):
        with duckdb.connect() as con:
            con.register("landed", landed)
            con.register("earlier", earlier)
            manifest = staged(con, DAMAGES[damage])
        verdict = gates.run(spec.load("flights"), manifest)
        said = {
            "outcome": verdict.outcome,
            "failed": {rule.rule: rule.failing_rows for rule in verdict.failed},
        }
        return said, gate.by_hand(manifest.files[str(day)], 1, 1, history)

    return both


@pytest.fixture
def only_rules_of_the_floor(tmp_path, monkeypatch):
    """The suite of arrivals without the rules that the floor lacks."""
    text = (ROOT / "expectations" / "flights" / "arrivals.json").read_text()
    path = tmp_path / "expectations" / "flights" / "arrivals.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"name": "a", "expectations": gate.of_the_floor(json.loads(text)["expectations"])})
    )
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "expectations"))
    settings.cache_clear()


def test_floor_on_damaged_days_finds_what_the_gate_finds(only_rules_of_the_floor, found):
    broken: set[str] = set()
    for damage in DAMAGES:
        by_gate, by_hand = found(damage)
        assert not gate.disagreement(by_gate, by_hand), damage
        assert (by_gate["outcome"] == "PASS") == (damage == "clean"), damage
        broken |= by_hand["failed"].keys()
    assert broken == set(by_hand["rules"]), "every rule of the floor has been seen to fail"


def test_floor_has_the_rules_of_the_suite():
    text = (ROOT / "expectations" / "flights" / "arrivals.json").read_text()
    every = json.loads(text)["expectations"]
    rules = [one["meta"] for one in gate.of_the_floor(every)]
    lacking = {one["type"] for one in every if one["meta"] not in rules}
    assert lacking <= NOT_IN_THE_FLOOR, "write the new rule into benchmarks/gate_floor.sql"
    assert {rule["rule"] for rule in rules if rule["severity"] == "warn"} == gate.WARNS
    limits = {rule["rule"]: rule["limit"] for rule in rules if rule["severity"] == "quarantine"}
    assert limits == gate.LIMITS


def test_disagreement_of_other_counts_is_seen():
    by_gate = {"outcome": "HOLD", "failed": {"known_carrier": 3}}
    assert gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {"known_carrier": 2}})
    assert gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {}})
    assert not gate.disagreement(by_gate, {"outcome": "HOLD", "failed": {"known_carrier": 3}})
