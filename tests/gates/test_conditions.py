"""Rules that are declared in arguments: what each finds in rows that are written here; against SQL, see test_together."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sluice.core.errors import SpecInvalidError
from sluice.gates import engine, suites

ROWS = "expect_rows_to_satisfy_condition"
GROUPS = "expect_groups_to_satisfy_condition"
COUNTS = "expect_value_counts_to_be_between"
KEY = "expect_key_to_be_unique"
DETERMINED = "expect_columns_to_be_determined_by_keys"
DECLARED = "expect_column_values_to_be_declared"
DAYS = (date(2013, 4, 1), date(2013, 4, 2))
# Ten rows a day; of the second day the last two have no delay, and HA is there alone.
BATCH = pa.table(
    {
        "ds": [day for day in DAYS for _ in range(10)],
        "carrier": ["AA", "UA"] * 5 + ["AA", "ua "] * 4 + ["HA", "HA"],
        "delay": [*range(10), *range(8), None, None],
    }
)


@pytest.fixture
def judge(pipeline, suite, expect, tmp_path):
    """Function: the result of one rule on the batch, with the rows that it found."""

    def run(kind: str, batch: pa.Table = BATCH, **arguments) -> engine.Evaluated:
        suite("arrivals", expect(kind, **arguments))
        path = tmp_path / "batch.parquet"
        pq.write_table(batch, path)
        with engine.opened({"2013-04-01": str(path)}) as staged:
            (found,) = staged.evaluate(suites.load(pipeline, "arrivals").rules, show_rows=True)
        assert not found.result.broken, found.result.observed
        return found

    return run


@pytest.fixture
def refused(pipeline, suite, expect):
    """Function: why a rule is refused before there is any data."""

    def run(kind: str, **arguments) -> str:
        suite("arrivals", expect(kind, **arguments))
        with pytest.raises(SpecInvalidError) as error:
            suites.load(pipeline, "arrivals")
        assert "sluice check" in error.value.todo
        return str(error.value)

    return run


def test_rows_that_violate_the_condition_fail_and_unknown_ones_are_counted(judge):
    found = judge(ROWS, condition="delay < 7")
    assert (found.result.failing_rows, found.result.unjudged_rows) == (4, 2)
    assert found.result.failing_share == 0.2
    assert sorted(row["delay"] for row in found.rows) == [7, 7, 8, 9]
    assert judge(ROWS, condition="delay < 10").result.passed


def test_rows_have_to_satisfy_every_condition_of_a_list(judge):
    assert judge(ROWS, condition=["delay < 7", "carrier <> 'HA'"]).result.failing_rows == 6
    assert judge(ROWS, condition=["delay < 7 or delay > 7", "true"]).result.failing_rows == 2


@pytest.mark.parametrize(("mostly", "failing"), [(0.7, 0), (0.71, 3), (0.87, 3), (0.88, 4)])
def test_mostly_is_a_share_of_each_days_rows_that_are_known(judge, mostly, failing):
    """7 of 10 rows pass on the first day, and 7 of 8 that are known on the second."""
    found = judge(ROWS, condition="delay < 7", mostly=mostly)
    assert found.result.passed == (failing == 0)
    assert (found.result.failing_rows or 0) == failing
    assert all(set(row) == {"ds", "carrier", "delay"} for row in found.rows)


def test_condition_may_have_braces(judge):
    assert judge(ROWS, condition="regexp_matches(carrier, '^[A-Z]{2}$')").result.failing_rows == 4


def test_groups_that_violate_the_condition_are_found_with_their_aggregates(judge):
    found = judge(GROUPS, aggregates={"known": "count(delay)"}, condition="known = 10")
    assert found.rows == [{"ds": DAYS[1], "known": 8}]
    assert found.result.observed == "1 finding: ds 2013-04-02, known 8"
    passing = judge(GROUPS, aggregates={"known": "count(delay)"}, condition="known > 7").result
    assert (passing.passed, passing.observed) == (True, "nothing that breaks it")


def test_groups_have_only_the_rows_that_are_chosen(judge):
    found = judge(GROUPS, aggregates={"rows": "count(*)"}, where="carrier = 'HA'", condition="rows > 5")
    assert found.rows == [{"ds": DAYS[1], "rows": 2}], "a day without such rows is no group"


def test_groups_are_compared_with_the_others_of_their_day(judge):
    arguments = {
        "group_by": ["ds", "carrier"],
        "aggregates": {"rows": "count(*)"},
        "compared_within": ["ds"],
    }
    found = judge(GROUPS, condition="rows >= others_rows", **arguments)
    assert sorted((row["carrier"], row["rows"], row["others_rows"]) for row in found.rows) == [
        ("AA", 4, 6),
        ("HA", 2, 8),
        ("ua ", 4, 6),
    ]


def test_each_value_occurs_so_often_each_day(judge):
    arguments = {"value": "upper(trim(carrier))", "value_set": ["AA", "UA"]}
    assert judge(COUNTS, min_value=4, max_value=5, **arguments).result.passed
    found = judge(COUNTS, min_value=5, **arguments)
    assert found.rows == [{"ds": DAYS[1], "AA": 4, "UA": 4}]
    assert judge(COUNTS, max_value=4, **arguments).rows == [{"ds": DAYS[0], "AA": 5, "UA": 5}]
    quote = judge(COUNTS, value="carrier", value_set=["it's"], min_value=1)
    assert [row["it's"] for row in quote.rows] == [0, 0]


def test_rows_of_a_repeated_key_fail(judge):
    found = judge(KEY, key=["ds", "delay"])
    assert found.result.failing_rows == 2, "two nulls are the same"
    assert judge(KEY, key=["delay"], batch=BATCH.slice(0, 10)).result.passed
    assert judge(KEY, key=["upper(trim(carrier))"]).result.failing_rows == 20


def test_values_that_the_contract_does_not_declare_fail(judge):
    batch = BATCH.append_column("origin", pa.array(["EWR", "jfk", None, "SWF"] * 5))
    found = judge(DECLARED, column="origin", batch=batch)
    assert (found.result.failing_rows, found.result.unjudged_rows) == (10, 5)
    found = judge(DECLARED, column="origin", value="upper(origin)", batch=batch)
    assert found.result.observed == "5 of 20 rows fail, such as origin SWF; 5 not judged (no value)"


@pytest.mark.parametrize(
    ("kind", "arguments", "problem"),
    [
        (
            ROWS,
            {"condtion": "true"},
            "has no argument 'condtion' (allowed: condition, mostly); did you mean 'condition'?",
        ),
        (ROWS, {}, "condition: field required"),
        (DETERMINED, {"columns_by_key": {}}, "columns_by_key has none"),
        (DETERMINED, {"columns_by_key": {"origin": []}}, "'' is no name of a column"),
        (DETERMINED, {"columns_by_key": {"origin": ["dest, 1"]}}, "'dest, 1' is no name of a column"),
        (ROWS, {"condition": "true", "mostly": 1.5}, "mostly: ensure this value is less than or equal to 1"),
        (
            ROWS,
            {"condition": "true", "unexpected_rows_query": "select"},
            "has no argument 'unexpected_rows_query'",
        ),
        (GROUPS, {"aggregates": {}, "condition": "true"}, "aggregates has none"),
        (GROUPS, {"aggregates": {"a b": "count(*)"}, "condition": "true"}, "'a b', which is no plain name"),
        (
            GROUPS,
            {"aggregates": {"ds": "count(*)"}, "condition": "true"},
            "'ds' is an aggregate, and a column to group by",
        ),
        (
            GROUPS,
            {"aggregates": {"n": "count(*)"}, "condition": "true", "compared_within": ["carrier"]},
            "compared_within has 'carrier', by which rows are not grouped",
        ),
        (COUNTS, {"value": "carrier", "value_set": []}, "value_set: ensure this value has at least 1 items"),
        (KEY, {"key": []}, "key: ensure this value has at least 1 items"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(refused, kind, arguments, problem):
    assert problem in refused(kind, **arguments)
