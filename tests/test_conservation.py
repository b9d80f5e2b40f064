"""Whatever is delivered: each row that was received is published, set aside or dropped for a reason, and none is both.

Random deliveries of a small source go through the real crossing: landing zone, staging, Great Expectations, Iceberg.
"""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from sluice import crossing
from sluice.core.runs import Run
from sluice.core.settings import settings as platform
from sluice.declare import spec
from sluice.ingest import deliveries
from sluice.lake import batches, quarantine, tables

DAY = "2013-04-03"
RUN = Run(dag_id="test_ingest", run_id="test")
SCHEMA = pa.schema(
    [("place", pa.string()), ("hour", pa.int64()), ("reading", pa.float64()), ("note", pa.string())]
)
# Rules of every kind that can set rows aside; the limit lets a third of a day go, and two of them overlap.
LIMIT = 0.34
RULES = {
    "one_row_an_hour": ("expect_compound_columns_to_be_unique", {"column_list": ["place", "hour"]}),
    "known_place": (
        "expect_column_values_to_be_in_set",
        {"column": "place", "value_set": ["a", "b", "c", "é"]},
    ),
    "reading_is_possible": (
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "select *, 1 as more from {batch} where reading > 100 or reading = -0.5"},
    ),
    "noted": ("expect_column_values_to_not_be_null", {"column": "note"}),
    # In the place of the rule that is derived for every number of a source, which lets only 5% of a day go.
    "numbers_fit_float32": (
        "unexpected_rows_expectation",
        {"unexpected_rows_query": "select * from {batch} where abs(reading) > 3.5e38"},
    ),
}


@pytest.fixture
def small(home, tmp_path, monkeypatch) -> spec.Pipeline:
    """A pipeline with one small source, and its suite."""
    raw = yaml.safe_load((platform().pipelines / "flights.yml").read_text())
    contract = {
        "version": 1,
        "columns": {
            "place": {"type": "string"},
            "hour": {"type": "integer", "nullable": True},
            "reading": {"type": "number", "nullable": True},
            "note": {"type": "string", "nullable": True},
        },
    }
    raw["sources"] = {
        "readings": raw["sources"]["schedule"]
        | {"key": ["place", "hour"], "format": "parquet", "contract": contract, "lag_days": 0}
    }
    raw["monitoring"].pop("pipes")
    for derived in raw["derived"].values():
        derived.pop("rows_from", None)
        derived.pop("key_from", None)
        derived.pop("values_from", None)
    suite = [
        {
            "type": kind,
            "kwargs": kwargs,
            "meta": {"rule": rule, "severity": "quarantine", "limit": LIMIT, "owner": "o", "why": f"{rule}!"},
        }
        for rule, (kind, kwargs) in RULES.items()
    ]
    (tmp_path / "suites" / "flights").mkdir(parents=True)
    path = tmp_path / "suites" / "flights" / "readings.json"
    path.write_text(json.dumps({"name": "flights.readings", "expectations": suite, "meta": {}}))
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    platform.cache_clear()
    return spec.Pipeline.model_validate(raw)


FLOATS = st.sampled_from([0.0, -0.0, 1.5, -0.5, 101.0, math.nan, math.inf, None, 1e-300, 0.1 + 0.2])
ROWS = st.fixed_dictionaries(
    {
        "place": st.sampled_from(["a", "b", "c", "é", "zz", ""]),
        "hour": st.one_of(st.none(), st.integers(0, 5)),
        "reading": FLOATS,
        "note": st.sampled_from(["", "x", "NaN", "null", '"{}', None]),
    }
)
# Mostly good rows, or nearly every delivery would be held: then bad ones, and copies of both.
GOOD = st.builds(
    lambda n: [{"place": "abc"[i % 3], "hour": 100 + i, "reading": float(i), "note": "x"} for i in range(n)],
    st.integers(3, 40),
)


def failing(row: dict, rows: list[dict]) -> list[str]:
    """The rules that a row fails, by hand."""
    found = []
    same = [one for one in rows if (one["place"], one["hour"]) == (row["place"], row["hour"])]
    # A row without one of the two cannot be told from another, and does not pass.
    if row["hour"] is None or len(same) > 1:
        found.append("one_row_an_hour")
    if row["place"] not in ("a", "b", "c", "é"):
        found.append("known_place")
    # In SQL a NaN is above every number.
    value = row["reading"]
    if value is not None and (math.isnan(value) or value > 100 or value == -0.5):
        found.append("reading_is_possible")
    if row["note"] is None:
        found.append("noted")
    if value is not None and not abs(value) <= 3.5e38:
        found.append("numbers_fit_float32")
    return found


def exact(row: dict) -> tuple:
    """A row as it is told from others: NaN is itself, and minus zero is not zero."""
    return row["place"], row["hour"], repr(row["reading"]), row["note"]


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    good=GOOD,
    odd=st.lists(ROWS, max_size=10),
    copies=st.lists(st.integers(0, 60), max_size=4),
    landed=st.booleans(),
)
def test_every_row_received_is_published_or_set_aside_or_dropped(small, good, odd, copies, landed):
    rows = [*good, *odd]
    rows += [rows[index % len(rows)] for index in copies]
    if landed:
        # Parsing refuses what is no number, and an empty text where a value must be; dbt or a model may make both.
        rows = [row for row in rows if math.isfinite(row["reading"] or 0) and row["place"]]
    before = _published()

    manifest = (_land if landed else _make)(small, rows)
    verdict = crossing.audit(small, "readings", manifest.batch_id, RUN)

    kept = list({exact(row): row for row in rows}.values()) if landed else rows
    assert manifest.received == len(rows)
    assert sum(manifest.dropped.values()) == len(rows) - len(kept)
    by_rule = {rule: [row for row in kept if rule in failing(row, kept)] for rule in RULES}
    note(verdict.reasons)
    assert {one.rule: one.failing_rows or 0 for one in verdict.rules} == {
        rule: len(found) for rule, found in by_rule.items()
    }
    if any(len(found) / len(kept) > LIMIT for found in by_rule.values()):
        assert verdict.outcome == "HOLD"
        assert _published() == before, "nothing of it is seen"
        return
    crossing.require_publishable(verdict)
    publication = crossing.publish(small, "readings", verdict.publish_batch_id, RUN)

    expected = Counter(exact(row) for row in kept if not failing(row, kept))
    assert _published() == expected
    there = quarantine.rows("flights", "readings", DAY, DAY).to_pylist()
    aside = [row for row in there if row["status"] == "open"]
    assert Counter(row["rule"] for row in aside) == Counter(
        failing(row, kept)[0] for row in kept if failing(row, kept)
    )
    payloads = Counter(exact(_read(row["payload"])) for row in aside)
    assert payloads == Counter(exact(row) for row in kept if failing(row, kept))
    newest = next(
        one for one in tables.history("flights", "readings") if one["snapshot_id"] == publication.snapshot_id
    )
    parts = [json.loads(newest[f"sluice.{name}"]) for name in ("dropped", "quarantined")]
    assert int(newest["sluice.received"]) == len(rows)
    assert int(newest["sluice.received"]) == int(newest["sluice.rows"]) + sum(
        sum(one.values()) for one in parts
    )


def _land(small, rows: list[dict]) -> batches.Manifest:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), sink)
    deliveries.land(small, "readings", DAY, sink.getvalue())
    return crossing.stage(small, "readings", [DAY], RUN)


def _make(small, rows: list[dict]) -> batches.Manifest:
    """As a transform or a model stages: whatever it made, repetitions included."""
    data = pa.Table.from_pylist(rows, schema=SCHEMA)
    data = data.append_column("ds", pa.repeat(pa.scalar(date.fromisoformat(DAY)), len(rows)))
    data = data.append_column("delivery_id", pa.repeat(pa.scalar("made"), len(rows)))
    return batches.stage(
        "flights",
        "readings",
        data,
        partitions=[DAY],
        received=len(rows),
        dropped={},
        inputs=[],
        run=RUN,
        sort_by=small.key_of("readings"),
    )


def _published() -> Counter:
    if not tables.published("flights", "readings", DAY, DAY):
        return Counter()
    return Counter(exact(row) for row in tables.scan("flights", "readings", DAY, DAY).to_pylist())


def _read(payload: str) -> dict:
    row = json.loads(payload)
    assert date.fromisoformat(row["ds"]) == date.fromisoformat(DAY)
    # What JSON has no number for is written as text: NaN, Infinity.
    return row | {"reading": None if row["reading"] is None else float(row["reading"])}
