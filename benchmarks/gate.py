"""The gate against hand-written DuckDB SQL that evaluates the same rules.

Measured: `gates.run` on a staged batch of arrivals: load the suite, let Great Expectations evaluate it inside DuckDB,
decide, write the verdict and its page. Floor: `gate_floor.sql` and `gate_history_floor.sql`, what a careful engineer
would write instead, over the same files with as many threads: one pass for all rules of the batch alone, one over the key
for duplicates, and for the rules that compare with earlier days each column's values counted once. It only counts.
The floor does the real work: before anything is timed, both must give the same verdict, the same failed rules and the
same failing rows on a clean batch and on a damaged one, and tests/benchmarks holds it to that on real days.

The batches are one day each, made of the real flights of 2013. Its flight numbers are moved apart, so that keys stay
distinct; the bounds of the three volume rules are raised with the rows. Behind it are 56 published days of 900 real
flights: they cost next to nothing, so that what is measured is what a row of the batch costs. Rules that the floor lacks
are left out, and the table says how many.
"""

from __future__ import annotations

import json
import time
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Clock, Figure, Lab
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from sluice.lake.batches import Manifest

DAY = "2013-04-01"
# Of a real day, for which the suite is written: it allows 600 to 1,200 flights, 120 at least from each origin.
DAY_ROWS = 900
HISTORY_DAYS = 56
WARNS = {"delay_beyond_a_day", "many_cancelled", "delays_mean_unusual", "gaps_unusual"}
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
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
)

FLOOR = Path(__file__).with_name("gate_floor.sql").read_text()
HISTORY_FLOOR = Path(__file__).with_name("gate_history_floor.sql").read_text()


def slack(scale: float) -> float:
    """Half of the band of rows a day, as a share of what is expected (rule rows_fit_the_weekday): 900 are."""
    return max(0.42, 1.5 * (scale - 1))


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
        cpu = [median(sample.found["cpu"] for sample in samples) for samples in (measured, bare)]
        says = f"{staged[False]['rules']}, CPU {cpu[0]:.2f} s / {cpu[1]:.2f} s = {cpu[0] / cpu[1]:.2f}"
        figures.append(Figure(f"{name} / hand-written SQL", measured, bare, says))
    return figures


def disagreement(gate: dict[str, Any], floor: dict[str, Any]) -> str:
    """What two findings say differently, "" if nothing. The gate counts no rows for rules about a whole day."""
    if gate["outcome"] != floor["outcome"] or set(gate["failed"]) != set(floor["failed"]):
        return f"{gate} against {floor}"
    counts = {rule: rows for rule, rows in gate["failed"].items() if rows is not None}
    return "" if counts.items() <= floor["failed"].items() else f"{gate} against {floor}"


def by_hand(path: str, scale: float, threads: int, history: Sequence[str]) -> dict[str, Any]:
    """Verdict of the floor on one Parquet file: outcome, and failed rules with the rows (or days) that fail.

    Args:
        history: Parquet files of the days before it; without them rules that compare are not evaluated.
    """
    import duckdb

    given: dict[str, Any] = {"path": path, "scale": scale}
    with duckdb.connect(config={"threads": threads}) as con:
        counts = _one_row(con.execute(FLOOR, given))
        if history:
            read = "from read_parquet($paths, hive_partitioning = false)"
            con.sql(read, params={"paths": [path]}).create_view("batch")
            con.sql(read, params={"paths": list(history)}).create("history")
            *first, last = HISTORY_FLOOR.split(";\n")
            for statement in first:
                con.execute(statement)
            counts |= _one_row(con.execute(last, {"slack": slack(scale)}))
    rows = counts.pop("rows")
    failed = {rule: n for rule, n in counts.items() if n}
    holding = {rule for rule, n in failed.items() if rule not in WARNS and n > LIMITS.get(rule, 0) * rows}
    outcome = "ERROR" if not rows else "HOLD" if holding else "WARN" if failed else "PASS"
    return {"outcome": outcome, "failed": failed, "rules": sorted(counts)}


def _one_row(result: Any) -> dict[str, int]:
    names = [column[0] for column in result.description]
    return {name: int(n or 0) for name, n in zip(names, result.fetchall()[0], strict=True)}


def measured(batch_id: str, **_: Any) -> dict[str, Any]:
    """Child: the gate, with its libraries imported as the scheduler does for all its tasks."""
    import importlib

    from sluice import gates
    from sluice.declare import spec
    from sluice.lake import batches

    for name in _LIBRARIES:
        importlib.import_module(name)
    pipeline, manifest = spec.load("flights"), batches.load("flights", "arrivals", batch_id)
    with Clock() as clock:
        spent = time.process_time()
        verdict = gates.run(pipeline, manifest)
        spent = time.process_time() - spent
    failed = {r.rule: r.failing_rows for r in verdict.failed}
    return clock.sample(outcome=verdict.outcome, failed=failed, cpu=spent, reasons=verdict.reasons)


def floor(path: str, scale: float, history: list[str], **_: Any) -> dict[str, Any]:
    """Child: the hand-written statement."""
    import duckdb  # noqa: F401 - paid before the clock starts

    threads = settings().threads
    with Clock() as clock:
        spent = time.process_time()
        found = by_hand(path, scale, threads, history)
        spent = time.process_time() - spent
    return clock.sample(**found, cpu=spent)


def prepare(rows: int, damaged: bool) -> dict[str, Any]:
    """Child: stage a batch, and write the suite with its volumes scaled; returns what the measurements need."""
    scale = rows / DAY_ROWS
    text = (ROOT / "expectations" / "flights" / "arrivals.json").read_text()
    for old, new in (
        ("flights between 600 and 1200", f"flights between {600 * scale} and {1200 * scale}"),
        ('"min_value": 120', f'"min_value": {ceil(120 * scale)}'),
    ):
        if text.count(old) != 1:
            raise RuntimeError(
                f"The suite of arrivals says no longer {old!r}; gate_floor.sql must follow it."
            )
        text = text.replace(old, new)
    every = json.loads(text)["expectations"]
    chosen = of_the_floor(every)
    for one in chosen:
        if one["meta"]["rule"] == "rows_fit_the_weekday":
            one["kwargs"]["slack"] = slack(scale)
    suite = settings().expectations / "flights" / "arrivals.json"
    suite.parent.mkdir(parents=True, exist_ok=True)
    suite.write_text(json.dumps({"name": "flights.arrivals", "expectations": chosen}))
    manifest = _staged(_rows(rows, damaged))
    return {
        "batch_id": manifest.batch_id,
        "path": manifest.files[DAY],
        "scale": scale,
        "history": _history(),
        "rules": f"{len(chosen)} of {len(every)} rules",
    }


def of_the_floor(expectations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The expectations of a suite that the floor evaluates too."""
    return [one for one in expectations if f" as {one['meta']['rule']}" in FLOOR + HISTORY_FLOOR]


def _staged(data: pa.Table) -> Manifest:
    from sluice.lake import batches

    return batches.stage(
        "flights",
        "arrivals",
        data,
        partitions=sorted({str(day) for day in data["ds"].unique().to_pylist()}),
        received=data.num_rows,
        dropped={},
        inputs=[],
        run=Run(run_id="benchmark"),
        sort_by=["flight"],
    )


def _history() -> list[str]:
    """Files of 56 published days of 900 flights each, drawn from the whole year as the batch is; made once."""
    import duckdb

    from sluice.lake import tables

    first = date.fromisoformat(DAY) - timedelta(days=HISTORY_DAYS)
    last = date.fromisoformat(DAY) - timedelta(days=1)
    if not tables.published("flights", "arrivals", str(first), str(last)):
        cached: Path = settings().home / "feed-cache" / "arrivals.parquet"
        with duckdb.connect() as con:
            rows = con.sql(
                f"""
                select ds as flight_date, carrier, dest, origin, tailnum, dep_time, arr_time, flight, dep_delay,
                    arr_delay, air_time, ds, 'a1b2c3d4e5f60718' as delivery_id
                from (
                    select *, date '{DAY}' - cast(1 + n % {HISTORY_DAYS} as int) as ds
                    from (
                        select *, row_number() over (order by hash(_day, carrier, flight, origin, dest)) as n
                        from read_parquet($path)
                    )
                    where n <= {HISTORY_DAYS * DAY_ROWS}
                )""",
                params={"path": str(cached)},
            ).to_arrow_table()
        tables.publish(_staged(rows), verdict_id="benchmark")
    return tables.files("flights", "arrivals", str(first), str(last), into=settings().work)


def _rows(count: int, damaged: bool) -> pa.Table:
    """Real arrivals of the year as if they were of one day; damaged: minutes sent as seconds, one flight twice."""
    import duckdb

    from sluice_lab.feed import data

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
