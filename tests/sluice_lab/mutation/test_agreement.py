"""Rules that ask whether rows agree: with the plan of the same day, and with earlier rows of their group."""

from __future__ import annotations

import duckdb
import pytest

from sluice.declare import spec
from sluice.gates import agreement_sql, expectations, suites

PLAN = "values ('UA', 1, 600), ('UA', 2, 700), ('AA', 3, 800), ('AA', 4, 900)"


@pytest.fixture
def con():
    with duckdb.connect() as con:
        con.execute(
            "create table plan as select date '2013-04-08' as ds, col0 as carrier, col1 as flight, col2 as minute"
            f" from ({PLAN})"
        )
        con.execute("create table batch as from plan")
        con.execute("create table history as select * replace (ds - 1 as ds) from plan")
        yield con


def _asked(con: duckdb.DuckDBPyConnection, statement: str) -> list[dict]:
    found = con.sql(statement.format(batch="batch"))
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def _with_plan(con: duckdb.DuckDBPyConnection, **agree: str) -> list[dict]:
    return _asked(con, agreement_sql.with_table("plan", ["carrier", "flight"], agree, limit=0.1))


def test_rows_that_only_one_side_has_are_counted(con):
    assert not any(row["fails"] for row in _with_plan(con))
    con.execute("delete from batch where flight = 1")
    con.execute("insert into batch values ('2013-04-08', 'DL', 5, 600)")
    found = {row["compared_value"]: row["differing_share"] for row in _with_plan(con) if row["fails"]}
    assert found == {"missing": 0.25, "unexpected": 0.25}


def test_keys_are_compared_as_the_models_read_them(con):
    con.execute("update batch set carrier = ' ' || lower(carrier)")
    assert not any(row["fails"] for row in _with_plan(con))


def test_rows_that_do_not_agree_with_their_partner_are_counted(con):
    same = {"departure": "delivered.minute = published.minute"}
    assert not any(row["fails"] for row in _with_plan(con, **same))
    con.execute("update batch set minute = 605 where flight = 1")
    (found,) = [row for row in _with_plan(con, **same) if row["fails"]]
    assert (found["compared_value"], found["differing_share"]) == ("departure", 0.25)


def test_a_day_without_a_plan_is_not_compared(con):
    con.execute("delete from plan")
    found = _with_plan(con)
    assert found
    assert not any(row["compared"] or row["fails"] for row in found)


def _with_history(con: duckdb.DuckDBPyConnection, values=None, tolerances=None) -> list[dict]:
    made = agreement_sql.with_history(
        ["carrier", "flight"], values or {}, tolerances or {}, days=28, min_days=1, limit=0.1
    )
    return _asked(con, made)


def test_rows_of_unknown_groups_are_counted(con):
    assert not any(row["fails"] for row in _with_history(con))
    con.execute("update batch set flight = 9 where flight = 1")
    assert [row["differing_share"] for row in _with_history(con) if row["fails"]] == [0.25]


def test_values_are_compared_with_the_usual_one_of_their_group(con):
    con.execute("update batch set minute = 620 where flight = 1")
    assert [row["fails"] for row in _with_history(con, {"minute": "minute"})] == [True]
    assert [row["fails"] for row in _with_history(con, {"minute": "minute"}, {"minute": 30})] == [False]
    assert [row["fails"] for row in _with_history(con, {"minute": "minute"}, {"minute": 10})] == [True]


def test_a_value_that_is_gone_differs_and_a_row_without_a_group_does_not(con):
    con.execute("update batch set minute = null where flight = 1")
    assert [row["fails"] for row in _with_history(con, {"minute": "minute"})] == [True]
    con.execute("update batch set carrier = null where flight = 1")
    assert [row["fails"] for row in _with_history(con, {"minute": "minute"})] == [False]


def test_a_day_without_any_group_is_named_and_not_compared(con):
    con.execute("insert into batch select * replace (ds + 1 as ds, null as carrier) from plan")
    found = _with_history(con, {"minute": "minute"})
    assert [(str(row["ds"]), row["days"], row["compared"]) for row in found] == [
        ("2013-04-08", 2, True),
        ("2013-04-09", 2, False),
    ]


def test_a_table_without_history_is_not_compared(con):
    con.execute("delete from history")
    assert [row["compared"] for row in _with_history(con, {"minute": "minute"})] == [False]


def test_tolerances_need_a_value():
    kind = expectations.TYPES["expect_rows_to_agree_with_history"]
    with pytest.raises(ValueError, match="tolerances of minute, which values does not have"):
        kind(column_list=["carrier"], days=28, min_days=14, limit=0.1, tolerances={"minute": 3})


def test_arrivals_are_compared_with_the_plan(home):
    rules = suites.load(spec.load("flights"), "arrivals").rules
    assert {rule.reference_table for rule in rules} == {"", "schedule"}
