"""What a model cannot hold is held where it arrives, by a rule that nobody has to write."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from sluice import gates
from sluice.gates import representable, suites
from sluice.lake import batches
from sluice_ml.numbers import LARGEST

DAY = "2013-04-05"
ONE_GUST = "* replace (if(row_number() over () = 1, {0}, wind_gust) as wind_gust)"


def test_run_reading_that_float32_cannot_hold_is_set_aside(audit):
    verdict = audit("weather", DAY, change=ONE_GUST.format("1.7e308"))
    assert (verdict.outcome, verdict.quarantined) == ("WARN", {representable.RULE: 1})
    made = batches.load("flights", "weather", verdict.publish_batch_id)
    assert made.rows == verdict.rows - 1


def test_run_many_such_readings_hold_the_batch(audit):
    verdict = audit("weather", DAY, change="* replace (cast('-1e39' as double) as pressure)")
    assert representable.RULE in [rule.rule for rule in verdict.failed if rule.holds]


@pytest.mark.parametrize("value", [1.7e308, -1e39, float("inf"), float("nan")])
def test_run_feature_that_float32_cannot_hold_holds(pipeline, stage, suite, expect, value):
    suite("features", expect("expect_column_values_to_not_be_null", column="flight_id"))
    columns = {"flight_id": ["a", "b", "c"], "ds": pa.array([date(2013, 4, 5)] * 3)}
    rows = pa.table({**columns, "wind_gust_mph": [value, None, LARGEST], "other": [value] * 3})
    # Made of nothing.
    features = pipeline.derived["features"].model_copy(update={"key_from": None, "values_from": {}})
    made_up = pipeline.model_copy(update={"derived": {**pipeline.derived, "features": features}})
    verdict = gates.run(made_up, stage("features", rows, DAY))
    assert (verdict.outcome, [(rule.rule, rule.failing_rows) for rule in verdict.failed]) == (
        "HOLD",
        [(representable.RULE, 1)],
    )


def test_run_suite_with_a_rule_of_that_name_judges_in_its_own_way(audit, suite, expect):
    query = "select * from {batch} where wind_gust > 1e300"
    mine = expect(
        "unexpected_rows_expectation", representable.RULE, severity="warn", unexpected_rows_query=query
    )
    suite("weather", mine)
    verdict = audit("weather", DAY, change=ONE_GUST.format("1.7e308"))
    assert (verdict.outcome, len(verdict.rules)) == ("WARN", 1)
    assert verdict.quarantined == {}


def test_every_number_of_a_source_and_every_feature_is_looked_at(pipeline):
    looked_at = {}
    for table in pipeline.tables:
        columns = {name: kind.upper() for name, kind in suites.columns_of(pipeline, table).items()}
        loaded = suites.Suite(rules=(), hash="")
        looked_at[table] = [rule.sql for rule in representable.add(pipeline, table, loaded, columns).rules]
    assert {table for table, rules in looked_at.items() if rules} == {"weather", "airports", "features"}
    doubles = [name for name, kind in suites.columns_of(pipeline, "features").items() if kind == "double"]
    used = set(doubles) & set(pipeline.model.features.numeric)
    assert len(used) > 10
    assert all(f'abs("{name}")' in looked_at["features"][0] for name in used)
