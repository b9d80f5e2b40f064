"""Rows and keys against those that they were made of, over rows of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import duckdb
import jinja2
import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.gates import suites


@pytest.mark.parametrize("source", ["schedule", "arrivals"])
def test_key_from_is_the_key_that_staging_writes(pipeline, source):
    project = settings().dbt_project
    (model,) = project.rglob(f"stg_flights__{source}.sql")
    macros = [
        (project / "macros" / f"{name}.sql").read_text()
        for name in ("dialect", "join_key", "local_timestamp")
    ]
    adapter = SimpleNamespace(dispatch=lambda name: duckdbs[name])
    names = {"source": lambda _, name: name, "var": lambda _: 15, "adapter": adapter}
    jinja = jinja2.Environment(autoescape=False)
    module = jinja.from_string("".join(macros)).make_module()
    duckdbs = {name: getattr(module, f"default__{name}") for name in ("whole", "plus_minutes", "one_blank")}
    staging = jinja.from_string("".join([*macros, model.read_text()])).render(names)
    (table,) = (name for name, one in pipeline.derived.items() if one.rows_from == source)
    key_from = ", ".join(pipeline.derived[table].key_from)
    columns = pipeline.sources[source].contract.sql_types
    blanks = "'LGA', 'L A', ' l\u00a0 a\t', '\u00a0\u00a0\u00a0', '\u2003lga', 'lga', '', null"
    with duckdb.connect() as con:
        con.execute(
            "create table params as select date '2013-04-02' as start_on, date '2013-04-02' as end_on"
        )
        con.execute(
            f"create table {source} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})"
        )
        con.execute(
            f"insert into {source} by name select date '2013-04-02' as ds, carrier, 7 as flight, origin, dest"
            f" from (select unnest([{blanks}]) as carrier), (select unnest([{blanks}]) as origin), (select unnest([{blanks}]) as dest)"
        )
        written = con.sql(f"select flight_id from ({staging}) order by 1").fetchall()
        assert con.sql(f"select {key_from} from {source} order by 1").fetchall() == written
    assert {"2013-04-02|LGA|7|L A|L A", "2013-04-02|7"} <= {key for (key,) in written}


@pytest.fixture
def found():
    """Function: what the rule finds of the rows of a batch and of their input, each (key columns, segment)."""
    from sluice.gates.origin_expectations import INPUT, ExpectOneRowForEachInput

    def find(batch: str, given: str, types: list[str], left_out: int = 0) -> list[tuple]:
        key = [f"k{number}" for number in range(len(types))]
        rule = ExpectOneRowForEachInput(
            table="given", key=key, input_key=key, types=types, left_out=left_out, max_left_out=2
        )
        listed = ", ".join(key)
        with duckdb.connect() as con:
            for view, values in (("batch", batch), (INPUT, given)):
                con.execute(
                    f"create table {view} as select date '2013-04-02' as ds, {listed} from (values {values}) as t({listed})"
                )
            query = rule.unexpected_rows_query.format(batch="batch")
            return con.sql(f"select problem, rows, such_as from ({query})").fetchall()

    return find


def test_row_of_a_repeated_key_is_missed_once_and_may_be_left_out_once(found):
    given = "('K'), ('K'), ('L')"
    assert found("('K'), ('L')", given, ["VARCHAR"], left_out=1) == []
    assert found("('K'), ('L')", given, ["VARCHAR"]) == [("missing", 1, "K")]
    assert found("('K'), ('L')", given, ["VARCHAR"], left_out=2) == [("missing", 1, "K")]
    assert found("('K')", given, ["VARCHAR"], left_out=1) == [("missing", 2, "K, L")]


def test_rows_that_are_left_out_for_a_reason_may_not_be_many(found):
    given = "('K'), ('L'), ('M'), ('N')"
    assert found("('K'), ('L')", given, ["VARCHAR"], left_out=2) == []
    assert found("('K')", given, ["VARCHAR"], left_out=3) == [("left out", 3, None)]


@pytest.mark.parametrize(
    ("batch", "given", "shown"),
    [
        ("('A', null, '1')", "('A', '1', null)", ("A|null|1", "A|1|null")),
        ("('a|b', 'c', '')", "('a', 'b|c', '')", ("a|b|c|", "a|b|c|")),
        ("('A', '', '1')", "('A', null, '1')", ("A||1", "A|null|1")),
    ],
)
def test_keys_that_read_alike_are_told_apart(found, batch, given, shown):
    assert found(batch, given, ["VARCHAR"] * 3) == [("extra", 1, shown[0]), ("missing", 1, shown[1])]
    assert found(batch, batch, ["VARCHAR"] * 3) == []


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        # Texts as Arrow writes them.
        ("DOUBLE", "1", "1.0"),
        ("DOUBLE", "1e+20", "1e20"),
        ("TIMESTAMP", "2013-04-02 05:00:00.000000", "2013-04-02 05:00"),
        ("TIMESTAMP WITH TIME ZONE", "2013-04-02 05:00:00.000000Z", "2013-04-02 07:00+02"),
        ("INTEGER", "7", "7"),
    ],
)
def test_key_is_compared_as_its_type_however_it_is_written(found, kind, text, value):
    given = f"(cast('{value}' as {kind}))"
    assert found(f"('{text}')", given, [kind]) == []
    assert [row[:2] for row in found("('none')", given, [kind])] == [("extra", 1), ("missing", 1)]
    assert found("('none')", f"(cast(null as {kind}))", [kind]) != []


def test_score_whose_key_is_missing_is_told_because_it_cannot_be_compared():
    from sluice.gates.origin_expectations import SCORES, ExpectScoresToBeReproduced

    rule = ExpectScoresToBeReproduced(key="id", type="DOUBLE", model="version 1")
    with duckdb.connect() as con:
        con.execute(
            f"create table {SCORES} as select date '2013-04-02' as ds, unnest([1.0, 2.5, null]) as key, key / 5 as expected"
        )
        con.execute(
            "create table batch as select date '2013-04-02' as ds, unnest(['1', '2.5', null]) as id, unnest([0.2, 0.4, 0.9]) as score"
        )
        found = con.sql(rule.unexpected_rows_query.format(batch="batch")).to_arrow_table().to_pylist()
    assert [rule.sentence(one, show=True) for one in found] == [
        "1 of 3 scores of 2013-04-02 are not what version 1 gives for the same rows: their mean is 0.4 in place of 0.5,"
        " correlation 1.00, such as 2.5 0.4 (expected 0.5)",
        "1 of 3 rows of 2013-04-02 that were scored again have no score here under their key",
    ]


def test_whole_number_under_another_spelling_finds_no_partner():
    """Outcomes are joined by the text: '7.0', as floats make it, would never meet theirs."""
    from sluice.gates.origin_expectations import INPUT, ExpectOneRowForEachInput

    rule = ExpectOneRowForEachInput(table="features", key=["id"], input_key=["number"], types=["BIGINT"])
    with duckdb.connect() as con:
        con.execute(
            f"create table {INPUT} as select date '2013-04-02' as ds, * from (values (7), (8), (9), (10)) as t(number)"
        )
        con.execute(
            "create table batch as select date '2013-04-02' as ds, * from (values ('7.0'), (' 8'), ('9'), ('10')) as t(id)"
        )
        found = con.sql(rule.unexpected_rows_query.format(batch="batch")).to_arrow_table().to_pylist()
        con.execute("create or replace table batch as select ds, id::double as id from batch")
        numbers = con.sql(rule.unexpected_rows_query.format(batch="batch")).fetchall()
    assert [rule.sentence(one, show=False) for one in found] == [
        "2 rows are made of no row of features on 2013-04-02",
        "2 of 4 rows of features have no row here on 2013-04-02",
    ]
    assert numbers == [], "a number is compared as one"


def test_value_that_the_row_of_its_key_does_not_give_is_told_with_both_and_a_repeated_key_is_not_compared():
    from sluice.gates.origin_expectations import INPUT, ExpectValuesToBeReproduced

    rule = ExpectValuesToBeReproduced(
        table="arrivals",
        key=["id"],
        input_key=["number"],
        types=["BIGINT"],
        values={"minutes": "delay", "is_late": "delay >= 15", "is_known": "delay is not null"},
        value_types=["DOUBLE", "BOOLEAN", "BOOLEAN"],
    )
    given = "('1', 20, true), ('2', 10, true), ('3', null, null), ('4', null, null), ('5', 7, true)"
    with duckdb.connect() as con:
        con.execute(
            f"create table {INPUT} as select date '2013-04-02' as ds, * from (values (1, 20), (2, 10), (3, 0), (4, null), (5, 1), (5, 2)) as t(number, delay)"
        )
        con.execute(
            f"create table batch as select date '2013-04-02' as ds, *, minutes < 15 as is_late from (values {given}) as t(id, minutes, is_known)"
        )
        found = con.sql(rule.unexpected_rows_query.format(batch="batch")).to_arrow_table().to_pylist()
    assert [rule.sentence(one, show=True) for one in found] == [
        "2 of 4 values of is_known on 2013-04-02 are not what arrivals gives by `delay is not null`, such as"
        " 3 null (expected true), 4 null (expected false)",
        "3 of 4 values of is_late on 2013-04-02 are not what arrivals gives by `delay >= 15`, such as"
        " 1 false (expected true), 2 true (expected false), 3 null (expected false)",
        "1 of 4 values of minutes on 2013-04-02 are not what arrivals gives by `delay`, such as 3 null (expected 0.0)",
    ]
    assert rule.sentence(found[2], show=False) == (
        "1 of 4 values of minutes on 2013-04-02 are not what arrivals gives by `delay`"
    )


_RANKED = "hash(i, 'other') / 18446744073709551616"


@pytest.mark.parametrize(
    ("score", "rows", "unlike"),
    [
        ("(x + x * x) / 2", 200, {}),
        ("1 - x", 200, {"baseline": "-0.99, at least -0.21", "previous": "-1.00, at least 0.21"}),
        ("1 - x", 199, {}),
        (_RANKED, 1000, {"previous": "0.03, at least 0.09"}),
        ("0.5", 1000, {}),
    ],
)
def test_scores_that_rank_opposite_to_a_peer_or_unlike_the_champion_before_are_told(score, rows, unlike):
    from sluice.gates.origin_expectations import SCORES, ExpectScoresToRankLikePeers

    peers = {"baseline": "the baseline, rate", "previous": "version 1, champion before it"}
    rule = ExpectScoresToRankLikePeers(key="id", type="BIGINT", peers=peers, must_be_alike="previous")
    drawn = f"(select i, hash(i) / 18446744073709551616 as x from range({rows}) as t(i))"
    with duckdb.connect() as con:
        # The baseline has few values, so that most ranks are shared.
        con.execute(
            f"create table {SCORES} as select date '2013-04-02' as ds, i as key, 0.0 as expected, floor(10 * x) / 10 as baseline, x / 2 as previous from {drawn}"
        )
        con.execute(
            f"create table batch as select date '2013-04-02' as ds, i::varchar as id, ({score})::double as score from {drawn}"
        )
        found = con.sql(rule.unexpected_rows_query.format(batch="batch")).to_arrow_table().to_pylist()
    said = [rule.sentence(one, show=False) for one in found]
    assert said == [
        f"scores do not rank {rows:,} rows of 2013-04-02 as {peers[peer]} does: rank correlation {text} expected"
        for peer, text in unlike.items()
    ]


@pytest.mark.parametrize(
    "name",
    [
        "scores_are_reproduced",
        "scores_rank_like_others",
        "rows_say_what_made_them",
        "rows_say_what_training_knew",
        "one_row_for_each_of_schedule",
        "values_are_those_of_x",
    ],
)
def test_rule_with_the_name_of_a_built_in_one_is_refused(pipeline, suite, expect, name):
    suite("arrivals", expect("expect_column_values_to_not_be_null", name, column="carrier"))
    with pytest.raises(SpecInvalidError, match=rf"arrivals.json, rule {name}: a built-in rule has this name"):
        suites.check(pipeline)
