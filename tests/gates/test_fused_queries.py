"""Rules that are asked together get the answers that Great Expectations gets when it asks them one by one."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import date, timedelta

import duckdb
import pytest

from sluice.gates import engine, fused_queries, statistics, suites

FIRST = date(2013, 4, 1)
ROWS = "expect_rows_to_satisfy_condition"
GROUPS = "expect_groups_to_satisfy_condition"
COUNTS = "expect_value_counts_to_be_between"
KEY = "expect_key_to_be_unique"
QUERY = "unexpected_rows_expectation"


def _rows(rng: random.Random, day: date, count: int) -> list[tuple]:
    """Rows of few different values, so that groups, repetitions and nulls are all there."""
    maybe = lambda value: None if rng.random() < 0.15 else value  # noqa: E731
    return [
        (
            day,
            maybe(rng.randint(-3, 3)),
            maybe(rng.choice((0.0, -0.0, 1.5, float("nan"), -2.25, rng.random()))),
            maybe(rng.choice(("a", "A ", "b", "ß", ""))),
        )
        for _ in range(count)
    ]


@pytest.fixture
def drawn(tmp_path):
    """Function: a staged file of random rows of some days, and one of the days before."""

    def draw(seed: int, days: int) -> tuple[str, str]:
        rng, paths = random.Random(seed), []
        with duckdb.connect() as con:
            for name, first, count in (("batch", FIRST, days), ("history", FIRST - timedelta(days=20), 20)):
                con.execute(f"create table {name} (ds date, x bigint, y double, name varchar)")
                for offset in range(count):
                    if name == "history" and rng.random() < 0.2:
                        continue
                    rows = _rows(rng, first + timedelta(days=offset), rng.randint(1, 60))
                    con.executemany(f"insert into {name} values (?, ?, ?, ?)", rows)
                paths.append(str(tmp_path / f"{name}-{seed}.parquet"))
                con.execute(f"copy {name} to '{paths[-1]}' (format parquet)")
        return paths[0], paths[1]

    return draw


def _condition(rng: random.Random) -> str:
    one = lambda: rng.choice(  # noqa: E731
        (
            f"x > {rng.randint(-3, 3)}",
            f"x not between {rng.randint(-3, 0)} and {rng.randint(0, 3)}",
            f"y < {rng.randint(-2, 2)}",
            "isnan(y)",
            "name is null",
            "upper(trim(name)) not in ('A', 'B')",
            "(x is null) <> (name is null)",
        )
    )
    return f" {rng.choice(('and', 'or'))} ".join(one() for _ in range(rng.randint(1, 3)))


def _typed(rng: random.Random) -> dict[str, tuple[str, dict, str]]:
    """Rules with random arguments: type, arguments, and the SQL that somebody would write instead."""
    one, other, of_day = _condition(rng), _condition(rng), _condition(rng)
    key = rng.sample(["ds", "x", "y", "upper(trim(name))"], rng.randint(1, 4))
    mostly, share, least, few = (
        rng.randint(60, 99) / 100,
        rng.random() / 2,
        rng.randint(1, 60),
        rng.randint(0, 3),
    )
    counts = [rng.randint(0, 10), rng.randint(10, 20)]
    return {
        "rows": (ROWS, {"condition": one}, f"select * from {{batch}} where (({one}) = false)"),
        "rows_all": (
            ROWS,
            {"condition": [one, other]},
            f"select * from {{batch}} where not ({one}) or not ({other})",
        ),
        "rows_mostly": (
            ROWS,
            {"condition": of_day, "mostly": mostly},
            "select * exclude (s) from (select *, avg(cast(("
            f"{of_day}) as int)) over (partition by ds) as s from {{batch}}) where s < {mostly} and not ({of_day})",
        ),
        "days": (
            GROUPS,
            {
                "aggregates": {"part": f"avg(cast(({one}) as int))", "n": "count(*)"},
                "condition": f"part <= {share} and n >= {least}",
            },
            f"select ds, avg(cast(({one}) as int)) as part, count(*) as n from {{batch}} group by ds"
            f" having avg(cast(({one}) as int)) > {share} or count(*) < {least}",
        ),
        "groups_where": (
            GROUPS,
            {
                "group_by": ["ds", "name"],
                "where": one,
                "aggregates": {"x": "avg(x)", "n": "count(*)"},
                "condition": [f"x <= {share}", f"n < {least}"],
            },
            f"select ds, name, avg(x) as x, count(*) as n from {{batch}} where {one} group by ds, name"
            f" having avg(x) > {share} or count(*) >= {least}",
        ),
        "groups_compared": (
            GROUPS,
            {
                "group_by": ["ds", "name"],
                "aggregates": {"n": "count(*)", "hit": f"count(*) filter ({one})"},
                "compared_within": ["ds"],
                "condition": f"n <= {few} or hit * others_n <= {share} * others_hit * n",
            },
            f"select ds, name, count(*) as n, count(*) filter ({one}) as hit, sum(n) over (partition by ds) - n as"
            " others_n, sum(hit) over (partition by ds) - hit as others_hit from {batch} group by ds, name qualify n >"
            f" {few} and hit * others_n > {share} * others_hit * n",
        ),
        "counts": (
            COUNTS,
            {
                "value": "upper(trim(name))",
                "value_set": ["A", "B"],
                "min_value": counts[0],
                "max_value": counts[1],
            },
            "select ds, count(*) filter (upper(trim(name)) = 'A') as a, count(*) filter (upper(trim(name)) = 'B') as b"
            f" from {{batch}} group by ds having least(a, b) < {counts[0]} or greatest(a, b) > {counts[1]}",
        ),
        "key": (
            KEY,
            {"key": key},
            f"select * from {{batch}} qualify count(*) over (partition by {', '.join(key)}) >= 2",
        ),
    }


def _suite(rng: random.Random, expect) -> list[dict]:
    made = []
    for name, (kind, arguments, query) in _typed(rng).items():
        made += [
            expect(kind, name, **arguments),
            expect(QUERY, f"{name}_as_query", unexpected_rows_query=query),
        ]
    made += [
        expect("expect_column_values_to_be_unique", f"unique_{column}", column=column)
        for column in ("x", "name")
    ]
    pair = {"column_A": "x", "column_B": "y"}
    made.append(expect("expect_column_pair_values_a_to_be_greater_than_b", "pair", **pair))
    span = {"days": rng.randint(3, 20), "min_days": 2}
    numbers = {"column_list": ["x", "y"], **span}
    tight = {"width": rng.random(), "slack": 0.05}
    values = {"column_list": ["x", "y", "name"], **span}
    edges = {"x": [-1.5, 0.5, 1]}
    made += [
        expect("expect_table_row_count_to_fit_history", "row_count", **span, **tight),
        expect("expect_column_means_to_fit_history", "means", column_list=["x"], **span, **tight),
        expect("expect_column_null_shares_to_fit_history", "nulls", **numbers, **tight),
        expect("expect_column_magnitudes_to_fit_history", "sizes", **numbers, limit=1.3),
        expect("expect_column_distributions_to_fit_history", "mix", **values, edges=edges, limit=0.1),
        expect("expect_column_categories_to_be_known_from_history", "known", **values, limit=0.01),
        expect("expect_column_values_not_to_spike", "spikes", **values, limit=0.1),
        expect("expect_column_mode_shares_to_fit_history", "modes", **values, limit=0.05),
        expect(
            "expect_column_values_not_to_spike", "spikes_of", column_list=["x"], by="name", **span, limit=0.1
        ),
        expect("expect_rows_to_differ_from_earlier_days", "differs", **values, limit=0.2),
        expect(
            "expect_group_shares_to_fit_history",
            "group",
            column="x",
            by="name",
            at_least=1,
            **span,
            limit=0.05,
            limit_below=0.05,
        ),
    ]
    return made


def _alike(one, other) -> bool:
    """As equal as sums of floating point numbers in another order can be."""
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, nan_ok=True, rel=1e-9, abs=1e-12)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    return one == other


def _said(found) -> list[tuple]:
    return [
        (
            one.result.rule,
            one.result.passed,
            one.result.broken,
            one.result.failing_rows,
            # Of a condition they are only counted where it is asked together with others.
            one.result.unjudged_rows if one.result.kind != ROWS else None,
        )
        for one in found
    ]


def _compare(drawn, rules, seed: int, monkeypatch) -> set[str]:
    """Ask rules together and one by one; returns the names of those that failed."""
    batch, history = drawn(seed, 1 + seed % 3)
    with engine.opened({str(FIRST): batch}, [history]) as staged:
        answers = fused_queries.ask(staged._con, rules)
        found = staged.evaluate(rules, show_rows=True)
        with monkeypatch.context() as patch:
            patch.setattr(fused_queries, "ask", lambda con, rules: fused_queries.Answers())
            stock = staged.evaluate(rules, show_rows=True)
        for rule in (one for one in rules if one.history_days):
            listed = staged._con.execute(rule.sql)
            names = [column[0] for column in listed.description]
            alone = [dict(zip(names, row, strict=True)) for row in listed.fetchall()]
            shared = answers.tables[rule.query]
            by = lambda row: str([str(v) for v in row.values() if not isinstance(v, float)])  # noqa: E731
            pairs = zip(sorted(shared, key=by), sorted(alone, key=by), strict=True)
            assert all(_alike(one, other) for one, other in pairs), (seed, rule.meta.rule, shared, alone)
        for rule in (one for one in rules if one.query in answers.counts):
            (alone,) = staged._con.execute(f"select count(*) from ({rule.sql})").fetchone()
            assert answers.counts[rule.query] == alone, (seed, rule.sql)
        of_rows = {rule.query: rule.expectation.passing for rule in rules if rule.kind == ROWS}
        assert answers.unjudged.keys() == of_rows.keys(), seed
        for query, passing in of_rows.items():
            unknown = f"select count(*) from batch where ({passing}) is null"
            assert answers.unjudged[query] == staged._con.execute(unknown).fetchone()[0], (seed, query)
    assert _said(found) == _said(stock), seed
    by_name = {one.result.rule: one for one in found}
    typed = [name.removesuffix("_as_query") for name in by_name if name.endswith("_as_query")]
    for name in typed:
        one, query = by_name[name], by_name[f"{name}_as_query"]
        assert one.result.passed == query.result.passed, (seed, name)
        assert one.result.failing_rows == query.result.failing_rows, (seed, name)
        assert not query.result.broken, (seed, name)
        values = [sorted(map(str, map(list, map(dict.values, each.rows)))) for each in (one, query)]
        assert values[0] == values[1] or len(values[0]) == engine.LOOKED_AT, (seed, name)
    answered = {rule.meta.rule for rule in rules if rule.query in answers.counts}
    assert answered == set(typed), seed
    assert answers.repeated.keys() == {"x", "name"}, seed
    return {one.result.rule for one in stock if not one.result.passed}


def _check(seeds, suite, expect, pipeline, drawn, monkeypatch, proofs) -> None:
    failed, tried = set(), 0
    for seed in seeds:
        suite("arrivals", *_suite(random.Random(seed), expect))
        rules = suites.load(pipeline, "arrivals").rules
        failed |= _compare(drawn, rules, seed, monkeypatch)
        tried += len(rules)
    assert failed >= {*_typed(random.Random()), "unique_x"}, "all were seen to fail"
    proofs("fused rules", "asked together and one by one", rules=tried)


def test_random_rules_asked_together_say_what_they_say_alone(
    suite, expect, pipeline, drawn, monkeypatch, proofs
):
    _check(range(3), suite, expect, pipeline, drawn, monkeypatch, proofs)


@pytest.mark.long
def test_many_random_rules_asked_together_say_what_they_say_alone(
    suite, expect, pipeline, drawn, monkeypatch, proofs
):
    _check(range(3, 60), suite, expect, pipeline, drawn, monkeypatch, proofs)


def test_rules_of_the_large_tables_are_asked_together(pipeline):
    """A query that a suite writes itself costs a pass over the batch: declare it as a type."""
    for table in ("arrivals", "schedule", "features", "outcomes", "predictions"):
        rules = suites.load(pipeline, table).rules
        assert [rule.meta.rule for rule in rules if rule.kind == QUERY] == [], table


def test_rule_that_cannot_be_asked_leaves_the_others_their_answers(suite, expect, pipeline, drawn):
    suite(
        "arrivals",
        expect(ROWS, "good", condition="x is null"),
        expect(ROWS, "bad", condition="cast(name as int) > 1"),
    )
    batch, history = drawn(1, 1)
    with engine.opened({str(FIRST): batch}, [history]) as staged:
        found = staged.evaluate(suites.load(pipeline, "arrivals").rules, show_rows=True)
    assert [(one.result.rule, one.result.broken) for one in found] == [("good", False), ("bad", True)]
    assert found[0].result.failing_rows


_PEAK = """
import resource, sys
from sluice.gates import engine, fused_queries
path, limit = sys.argv[1:]
engine.MEMORY = limit
with engine.opened({"2013-04-01": path}) as staged:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fused_queries.count_repeated(staged._con, ["name", "ds"], "repeated")
    print(found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.long
def test_memory_of_a_large_batch_is_bounded(tmp_path):
    """A key of twelve million different rows, within what DuckDB may hold; without a limit it takes several times that."""
    path = tmp_path / "large.parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select date '2013-04-01' as ds, 'a rather long key ' || range as name from range(12000000))"
            f" to '{path}' (format parquet)"
        )

    # From a file: DuckDB takes `python -c` for a person, to whom it shows its progress.
    script = tmp_path / "peak.py"
    script.write_text(_PEAK)

    def added(limit: str) -> int:
        # As a shell's child: to what this process starts itself, Linux counts the peak of this process.
        command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, str(script), str(path), limit]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        assert answer[0] == "0"
        return int(answer[1])

    assert added("150MB") < 350 < added("4GB")


def test_shared_statistics_read_a_column_once(suite, expect, pipeline):
    """Ten rules over one column are one table of its values."""
    span = {"column_list": ["air_time"], "days": 7, "min_days": 1}
    suite(
        "arrivals",
        *(
            expect("expect_column_magnitudes_to_fit_history", f"rule_{n}", limit=2 + n, **span)
            for n in range(9)
        ),
        expect("expect_column_null_shares_to_fit_history", "rule_9", width=1, slack=1, **span),
    )
    shared = statistics.Shared([FIRST], 7)
    for rule in suites.load(pipeline, "arrivals").rules:
        rule.expectation.statement(shared)
    assert len(shared.queries()) == 1
