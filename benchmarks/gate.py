"""The gate against one hand-written DuckDB statement that evaluates the same rules.

Measured: `gates.run` on a staged batch of arrivals: load the suite, let Great Expectations evaluate it inside DuckDB,
decide, write the verdict and its page. Floor: `gate_floor.sql`, what a careful engineer would write instead: one statement
over the same file with as many threads, one pass for all rules and one over the key for duplicates, that only counts.
The floor does the real work: before anything is timed, both must give the same verdict, the same failed rules and the
same failing rows on a clean batch and on a damaged one, and tests/benchmarks holds it to that on real days.

The batches are one day each, made of the real flights of 2013. Its flight numbers are moved apart, so that keys stay
distinct; the bounds of the two volume rules are raised with the rows. Rules that compare with earlier days are left out,
as a batch of this size has no earlier days; nothing else of the suite is changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Clock, Figure, Lab
from sluice.settings import ROOT, settings

if TYPE_CHECKING:
    import pyarrow as pa

DAY = "2013-04-01"
# Of a real day, for which the suite is written: it allows 600 to 1,200 flights, 120 at least from each origin.
DAY_ROWS = 900
WARNS = {"delay_beyond_a_day", "many_cancelled"}
# Rules that set rows aside up to this share of a day's rows, and hold the batch above it.
LIMITS = dict.fromkeys(
    ("one_row_a_flight", "known_carrier", "known_origin", "dest_is_a_code", "clock_is_hhmm", "gaps_agree"),
    0.01,
)
# Those of sluice.orchestration.preload that a gate uses.
_LIBRARIES = (
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "duckdb",
    "duckdb_engine",
    "great_expectations",
    "great_expectations.expectations.core",
)

FLOOR = Path(__file__).with_name("gate_floor.sql").read_text()


def run(lab: Lab) -> list[Figure]:
    figures = []
    for rows in (DAY_ROWS, 10**6) if lab.quick else (DAY_ROWS, 10**6, 10**7):
        name = f"gate, {rows:,} rows"
        lab.say(f"{name}: staging a clean and a damaged batch")
        suites = {"SLUICE_EXPECTATIONS": str(lab.base / f"expectations-{rows}")}
        staged = {}
        for damaged in (False, True):
            staged[damaged] = lab.call("benchmarks.gate:prepare", rows=rows, damaged=damaged, env=suites)
            calls = [
                (f"benchmarks.gate:{side}", {**staged[damaged], "env": suites})
                for side in ("measured", "floor")
            ]
            gate, floor = (lab.call(target, **given)["found"] for target, given in calls)
            if problem := disagreement(gate, floor):
                raise RuntimeError(f"{name}: the gate and its floor disagree: {problem}")
            lab.say(f"{name}: both say {gate['outcome']}, failed: {', '.join(gate['failed']) or 'none'}")
        calls = [
            (f"benchmarks.gate:{side}", {**staged[False], "env": suites}) for side in ("measured", "floor")
        ]
        measured, bare = lab.alternate(name, 3 if lab.quick or rows > 10**6 else 5, *calls)
        figures.append(Figure(f"{name} / one SQL statement", measured, bare, "17 rules"))
    return figures


def disagreement(gate: dict[str, Any], floor: dict[str, Any]) -> str:
    """What two findings say differently, "" if nothing. The gate counts no rows for rules about a whole day."""
    if gate["outcome"] != floor["outcome"] or set(gate["failed"]) != set(floor["failed"]):
        return f"{gate} against {floor}"
    counts = {rule: rows for rule, rows in gate["failed"].items() if rows is not None}
    return "" if counts.items() <= floor["failed"].items() else f"{gate} against {floor}"


def by_hand(path: str, scale: float, threads: int) -> dict[str, Any]:
    """Verdict of the floor on one Parquet file: outcome, and failed rules with the rows (or days) that fail."""
    import duckdb

    with duckdb.connect(config={"threads": threads}) as con:
        result = con.execute(FLOOR, {"path": path, "scale": scale})
        names = [column[0] for column in result.description]
        counts = {name: int(n or 0) for name, n in zip(names, result.fetchall()[0], strict=True)}
    rows = counts.pop("rows")
    failed = {rule: n for rule, n in counts.items() if n}
    holding = {rule for rule, n in failed.items() if rule not in WARNS and n > LIMITS.get(rule, 0) * rows}
    outcome = "ERROR" if not rows else "HOLD" if holding else "WARN" if failed else "PASS"
    return {"outcome": outcome, "failed": failed, "rules": sorted(counts)}


def measured(batch_id: str, **_: Any) -> dict[str, Any]:
    """Child: the gate, with its libraries imported as the scheduler does for all its tasks."""
    import importlib

    from sluice import gates, spec
    from sluice.lake import batches

    for name in _LIBRARIES:
        importlib.import_module(name)
    pipeline, manifest = spec.load("flights"), batches.load("flights", "arrivals", batch_id)
    with Clock() as clock:
        verdict = gates.run(pipeline, manifest)
    return clock.sample(outcome=verdict.outcome, failed={r.rule: r.failing_rows for r in verdict.failed})


def floor(path: str, scale: float, **_: Any) -> dict[str, Any]:
    """Child: the hand-written statement."""
    import duckdb  # noqa: F401 - paid before the clock starts

    threads = settings().threads
    with Clock() as clock:
        found = by_hand(path, scale, threads)
    return clock.sample(**found)


def prepare(rows: int, damaged: bool) -> dict[str, Any]:
    """Child: stage a batch, and write the suite with its volumes scaled; returns what the measurements need."""
    from sluice.lake import batches

    scale = rows / DAY_ROWS
    text = (ROOT / "expectations" / "flights" / "arrivals.json").read_text()
    for old, new in (
        ("not between 600 and 1200", f"not between {600 * scale} and {1200 * scale}"),
        ("least(ewr, jfk, lga) < 120", f"least(ewr, jfk, lga) < {120 * scale}"),
    ):
        if text.count(old) != 1:
            raise RuntimeError(
                f"The suite of arrivals says no longer {old!r}; gate_floor.sql must follow it."
            )
        text = text.replace(old, new)
    suite = settings().expectations / "flights" / "arrivals.json"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(json.dumps({"name": "flights.arrivals", "expectations": of_the_batch(text)}))
    data = _rows(rows, damaged)
    manifest = batches.stage(
        "flights",
        "arrivals",
        data,
        partitions=[DAY],
        received=data.num_rows,
        dropped={},
        inputs=[],
        run={"run_id": "benchmark"},
        sort_by=["flight"],
    )
    return {"batch_id": manifest.batch_id, "path": manifest.files[DAY], "scale": scale}


def of_the_batch(suite: str) -> list[dict[str, Any]]:
    """The rules of a suite (its JSON) that look at the batch alone."""
    return [rule for rule in json.loads(suite)["expectations"] if "min_days" not in rule["kwargs"]]


def _rows(count: int, damaged: bool) -> pa.Table:
    """Real arrivals of the year as if they were of one day; damaged: minutes sent as seconds, one flight twice."""
    import duckdb

    from sluice.feed import data

    data.rows("arrivals", data.FIRST)  # fills the cache
    cached: Path = settings().home / "feed-cache" / "arrivals.parquet"
    times = 60 if damaged else 1
    with duckdb.connect(config={"threads": settings().threads}) as con:
        return con.sql(
            f"""
            with landed as (
                select date '{DAY}' as flight_date, carrier, dest, origin, tailnum, dep_time, arr_time,
                    flight + 10000 * (dayofyear(_day) + 366 * copy) as flight, dep_delay * {times} as dep_delay,
                    arr_delay * {times} as arr_delay, air_time * {times} as air_time, date '{DAY}' as ds,
                    'a1b2c3d4e5f60718' as delivery_id
                from (select *, row_number() over () as n from read_parquet($path)) cross join range(32) as copies(copy)
                -- Every 97th row first, so that a small batch is a mixture of days too.
                order by copy, n % 97, n limit $rows
            )
            from landed union all (from landed limit {int(damaged)})""",
            params={"path": str(cached), "rows": count - damaged},
        ).to_arrow_table()
