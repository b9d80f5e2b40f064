"""Rules that are asked together get the answers that Great Expectations gets when it asks them one by one."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import date, timedelta

import duckdb
import pytest

from sluice.gates import engine, shapes, statistics, suites, together

BATCH = "(select * from batch) as subselect"
FIRST = date(2013, 4, 1)
SHAPES = {
    "select * from {batch} where x > 1": shapes.Rows,
    "SELECT * FROM {batch} WHERE x > 1 OR (name IS NULL AND y <> 2)": shapes.Rows,
    "select ds, count(*) as n, n > 3 as many from {batch} group by ds having many or avg(x) > 2": shapes.Groups,
    "select ds, avg(x) as x from {batch} group by ds having x > 1": shapes.Groups,
    "select * exclude (s) from (select *, avg(cast(x is null as int)) over (partition by ds) as s from {batch})"
    " where s > 0.1 and x is null": shapes.RowsOfGroups,
    "select * from {batch} qualify count(*) over (partition by ds, upper(name)) > 1": shapes.Repeated,
    "select ds, name, count(*) as n, sum(n) over (partition by ds) - n as others from {batch} group by ds, name"
    " qualify n > 3 and others < n": shapes.Groups,
    # Of no shape that is known: each differs from one that is in one thing.
    "select x from {batch} where x > 1": None,
    "select * from {batch} where x > 1 limit 3": None,
    "select * from {batch} where x > (select avg(x) from batch)": None,
    "select * from {batch} where random() > 0.5": None,
    "select * from {batch} where x > 1 order by x": None,
    "select distinct * from {batch} where x > 1": None,
    "select ds, count(*) from {batch} where x > 1 group by ds having count(*) > 1": None,
    "select ds, count(*) from {batch} group by rollup (ds) having count(*) > 1": None,
    "select ds, name, count(*) as n from {batch} group by ds, name having sum(count(*)) over (partition by ds) > 3": None,
    "select ds, name, count(*) as n from {batch} group by ds, name qualify sum(n) over (partition by ds order by name) > 3": None,
    "select ds, name, count(*) as n from {batch} group by ds, name qualify row_number() over (partition by ds) > 3": None,
    "select ds, count(*) as n from {batch} group by 1 having n > 3": None,
    "select ds, count(*) as n from {batch} group by ds, 'all' having n > 3": None,
    "select upper(name) as c0, count(*) as n from {batch} group by c0 having n > 3": None,
    "select name, count(*) as x from {batch} group by name, x having x > 3": None,
    "select * from {batch} where rowid > 1": None,
    "select ds, count(*) as n, avg(x) as x from {batch} group by ds qualify x > sum(n) over (partition by ds)": None,
    "select ds, count(*) as n from {batch} group by ds having n > 1 qualify sum(n) over (partition by ds) > 3": None,
    "select * from {batch} qualify count(*) over (partition by ds order by x) > 1": None,
    "select * from {batch} qualify count(x) over (partition by ds) > 1": None,
    "select * from {batch} where x > 1 qualify count(*) over (partition by ds) > 1": None,
    "select * from {batch} join history using (ds) where x > 1": None,
    "select * exclude (s) from (select *, avg(x) over (partition by ds) as s from {batch}) where s > x": None,
    "with b as (select * from {batch}) select * from b where x > 1": None,
}


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


def _suite(rng: random.Random, expect) -> list[dict]:
    condition = _condition(rng)
    share = f"avg(cast(({condition}) as int))"
    key = ", ".join(rng.sample(["ds", "x", "y", "upper(trim(name))"], rng.randint(1, 4)))
    queries = {
        "rows": f"select * from {{batch}} where {_condition(rng)}",
        "groups": f"select ds, {share} as part, count(*) as n from {{batch}} group by ds"
        f" having part > {rng.random() / 2} or n < {rng.randint(1, 60)}",
        "groups_renamed": f"select ds, avg(x) as x, count(*) as n from {{batch}} group by ds, name"
        f" having x > {rng.random() - 0.5} and n > {rng.randint(1, 5)}",
        "groups_of_groups": f"select ds, name, {share} as part, count(*) as n from {{batch}} group by ds, name qualify n >"
        f" {rng.randint(0, 3)} and sum(n) over (partition by ds) - n > {rng.randint(0, 40)} and"
        f" part > {rng.random()} * max(part) over (partition by ds)",
        "rows_of_groups": f"select * exclude (s) from (select *, {share} over (partition by ds) as s from {{batch}})"
        f" where s > {rng.random() / 4} and ({condition})",
        "repeated": f"select * from {{batch}} qualify count(*) over (partition by {key}) > {rng.randint(1, 3)}",
        "alone": f"select ds from {{batch}} where {_condition(rng)} order by x",
    }
    made = [
        expect("unexpected_rows_expectation", name, unexpected_rows_query=sql)
        for name, sql in queries.items()
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
            # Of a query they are only counted where it is asked together with others.
            one.result.unjudged_rows if one.result.kind != "unexpected_rows_expectation" else None,
        )
        for one in found
    ]


def _compare(drawn, rules, seed: int, monkeypatch) -> set[str]:
    """Ask rules together and one by one; returns the names of those that failed."""
    batch, history = drawn(seed, 1 + seed % 3)
    with engine.opened({str(FIRST): batch}, [history]) as staged:
        answers = together.ask(staged._con, rules)
        found = staged.evaluate(rules, show_rows=True)
        with monkeypatch.context() as patch:
            patch.setattr(together, "ask", lambda con, rules: together.Answers())
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
        for rule in (one for one in rules if one.query in answers.unjudged):
            _, _, condition = rule.sql.partition(" where ")
            unknown = f"select count(*) from batch where ({condition}) is null"
            assert answers.unjudged[rule.query] == staged._con.execute(unknown).fetchone()[0], (
                seed,
                rule.sql,
            )
        assert len(answers.unjudged) == sum(rule.meta.rule == "rows" for rule in rules), seed
    assert _said(found) == _said(stock), seed
    unanswered = {rule.meta.rule for rule in rules if rule.query and not rule.history_days} - {
        rule.meta.rule for rule in rules if rule.query in answers.counts
    }
    assert unanswered == {"alone"}, seed
    assert answers.repeated.keys() == {"x", "name"}, seed
    return {one.result.rule for one in stock if not one.result.passed}


def _check(seeds, suite, expect, pipeline, drawn, monkeypatch, proofs) -> None:
    failed, tried = set(), 0
    for seed in seeds:
        suite("arrivals", *_suite(random.Random(seed), expect))
        rules = suites.load(pipeline, "arrivals").rules
        failed |= _compare(drawn, rules, seed, monkeypatch)
        tried += len(rules)
    assert failed >= {"rows", "groups", "rows_of_groups", "repeated", "alone", "unique_x"}, (
        "all were seen to fail"
    )
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


@pytest.mark.parametrize("query", SHAPES)
def test_shape_of_a_query_is_read_from_its_syntax(query):
    with duckdb.connect() as con:
        found = shapes.Reader(con, ["ds", "x", "y", "name"]).read(query.format(batch=BATCH))
    wanted = SHAPES[query]
    assert found is None if wanted is None else isinstance(found, wanted)


def test_queries_of_the_large_tables_are_asked_together(pipeline):
    """A rule that falls out of the shapes costs a pass over the batch for itself: write it in one of them."""
    for table in ("arrivals", "schedule", "features", "outcomes"):
        with duckdb.connect() as con:
            reader = shapes.Reader(con, suites.columns_of(pipeline, table))
            rules = [
                one for one in suites.load(pipeline, table).rules if one.kind == "unexpected_rows_expectation"
            ]
            alone = [rule.meta.rule for rule in rules if reader.read(rule.sql) is None]
        assert rules
        assert not alone, (table, alone)


def test_rule_that_cannot_be_asked_leaves_the_others_their_answers(suite, expect, pipeline, drawn):
    suite(
        "arrivals",
        expect(
            "unexpected_rows_expectation",
            "good",
            unexpected_rows_query="select * from {batch} where x is not null",
        ),
        expect(
            "unexpected_rows_expectation",
            "bad",
            unexpected_rows_query="select * from {batch} where cast(name as int) > 1",
        ),
    )
    batch, history = drawn(1, 1)
    with engine.opened({str(FIRST): batch}, [history]) as staged:
        found = staged.evaluate(suites.load(pipeline, "arrivals").rules, show_rows=True)
    assert [(one.result.rule, one.result.broken) for one in found] == [("good", False), ("bad", True)]
    assert found[0].result.failing_rows


_PEAK = """
import resource, sys
from sluice.gates import engine, shapes, together
path, limit = sys.argv[1:]
engine.MEMORY = limit
with engine.opened({"2013-04-01": path}) as staged:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = together._count_repeated(staged._con, shapes.Repeated(("name", "ds")), "repeated")
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
        command = [sys.executable, str(script), str(path), limit]
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
