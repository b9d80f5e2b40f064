"""Custom checks of monitoring: what a query may say, what becomes of one that is wrong, and that none can do harm."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from sluice import ledger
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.lake import tables
from sluice.ledger import model_records
from sluice.models import custom_checks, monitoring, monitoring_table
from sluice_ml.custom_checks import CustomCheck
from tests.models.conftest import publish

DAY = "2013-04-10"
DAYS = [str(date.fromisoformat(DAY) + timedelta(days=number)) for number in range(-9, 2)]
SAYS = "-- What is looked for.\n"
ONE = SAYS + "select 1 as value, 0 as low, 2 as high, count(*) as n from predictions"


@pytest.fixture
def flights(home) -> spec.Pipeline:
    """The pipeline with predictions of the days DAYS, ten of each."""
    flights = spec.load("flights")
    publish(flights, "predictions", predicted({day: [0.1 * n for n in range(10)] for day in DAYS}))
    return flights


@pytest.fixture
def write(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Function: write a custom check beside the project's suites, in the place of those that are shipped."""
    suites = tmp_path / "expectations"
    shutil.copytree(ROOT / "expectations", suites)
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(suites))
    settings.cache_clear()
    folder = suites / "flights" / custom_checks.FOLDER
    shutil.rmtree(folder)
    folder.mkdir()

    def write(sql: str, name: str = "one.sql") -> Path:
        (folder / name).write_text(sql)
        return folder / name

    return write


def predicted(scores: dict[str, list[float]], carriers: str = "abcdefgh") -> pa.Table:
    """Predictions by day; of the same flights each day, as far as there are as many."""
    rows = [
        {
            "flight_id": f"{day}|{carriers[n % len(carriers)]}|{n}|EWR|BOS",
            "ds": date.fromisoformat(day),
            "score": score,
            "is_baseline": False,
        }
        for day, found in scores.items()
        for n, score in enumerate(found)
    ]
    return pa.Table.from_pylist(rows)


def run_checks(flights: spec.Pipeline, day: str = DAY) -> dict[str, CustomCheck]:
    return {each.name: each for each in custom_checks.run(flights, day, custom_checks.Budget())}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "state", "said"),
    [
        ("select 1 as value, 1 as low, 1 as high", "PASS", "1 (at least 1, at most 1)"),
        ("select 0.5 as value, 1::decimal(4, 2) as low", "FAIL", "0.5 (at least 1)"),
        ("select 3 as value, null as low, 2 as high", "FAIL", "3 (at most 2)"),
        ("select 1 as value, 0 as low from predictions where false", "INSUFFICIENT", "returned no row"),
        ("select null::double as value, 0 as low", "ERROR", "value is null"),
        ("select 'nan'::double as value, 0 as low", "ERROR", "value is no finite number"),
        ("select 'Ms Smith' as value, 0 as low", "ERROR", "value is no finite number"),
        ("select 1 as value, null as low", "ERROR", "could never fail"),
        ("select 1 as value, 2 as low, 1 as high", "ERROR", "above high"),
        ("select 1 as value, 0 as low from predictions", "ERROR", "more than one row"),
        (
            "select score as value, 0 as low from predictions where flight_id::int > 0",
            "ERROR",
            "Conversion Error",
        ),
        (
            "select date_diff('day', cast(flight_id as date), ds) as value, 0 as low from predictions",
            "ERROR",
            "kept",
        ),
        ("select max(error(flight_id)) as value, 0 as low from predictions", "ERROR", "Invalid Input Error"),
        (
            "select sum((score * 1000000 + 1234567)::tinyint) as value, 0 as low from predictions",
            "ERROR",
            "kept",
        ),
        ("select 5 as value, 0 as low, 1e19::hugeint as n", "ERROR", "n is no number of rows"),
        ("select 5 as value, 0 as low, -1 as n", "ERROR", "n is no number of rows"),
        ("select 5 as value, 0 as low, 2.5 as n", "ERROR", "n is no number of rows"),
        ("select true as value, 0 as low", "ERROR", "value is no finite number"),
        ("select repeat('9', 400)::bignum as value, 0 as low", "ERROR", "value is no finite number"),
        ("select 0.999996 as value, 1 as low", "FAIL", "0.999996 (at least 1)"),
        ("select 1 as value, 0 as low from predictons", "ERROR", "predictons"),
    ],
)
def test_check_says_what_its_query_returns_and_what_cannot_be_computed_is_an_error(
    flights, write, query, state, said
):
    write(SAYS + query)
    write(ONE, "other.sql")
    found = run_checks(flights)
    assert (found["one"].state, found["one"].sentence) == (state, "What is looked for.")
    assert said in found["one"].said
    for personal in ("Smith", "EWR", "1234567"):
        assert personal not in found["one"].said
    assert found["one"].sql_sha256 == hashlib.sha256((SAYS + query).encode()).hexdigest()
    # The day and the seven before it, not what was published of later and earlier days.
    assert (found["other"].state, found["other"].n) == ("PASS", 80)
    assert found["other"].snapshots == {"predictions": tables.snapshot_id("flights", "predictions")}


HARMFUL = [
    ("copy (select 2 as score) to '{published}' (use_tmp_file false)", "not one select"),
    (
        "with w as (copy (select 2 as score) to '{published}' (use_tmp_file false)) select 1 as value, 0 as low",
        "Error",
    ),
    (
        "with w as (insert into predictions (score) values (1) returning 1) select count(*) as value, 0 as low from w",
        "Error",
    ),
    ("drop table predictions; select 1 as value, 0 as low", "not one select"),
    ("select count(*) as value, 0 as low from read_parquet('{published}')", "Permission Error"),
    ("select length(content) as value, 0 as low from read_text('/etc/hostname')", "Permission Error"),
    ("select 1 as value, 0 as low from 'https://example.com/x.parquet'", "Error"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("query", "problem"), HARMFUL)
def test_check_can_neither_write_nor_read_anything_but_its_tables(flights, write, query, problem):
    (file,) = tables.files("flights", "predictions", DAY, DAY, into=Path("unused"))
    before = hashlib.sha256(Path(file).read_bytes()).digest()
    write(SAYS + query.format(published=file))
    write(ONE, "other.sql")
    found = run_checks(flights)
    assert (found["one"].state, found["other"].state, found["other"].n) == ("ERROR", "PASS", 80)
    assert problem in found["one"].problem
    assert hashlib.sha256(Path(file).read_bytes()).digest() == before


@pytest.mark.slow
def test_copy_that_queries_read_cannot_be_changed_and_leads_to_no_file(flights, tmp_path):
    (file,) = tables.files("flights", "predictions", DAY, DAY, into=Path("unused"))
    before = hashlib.sha256(Path(file).read_bytes()).digest()
    copied = custom_checks._copy(flights, DAY, ["predictions"], tmp_path, custom_checks.Budget())
    assert not copied.problems
    with custom_checks._copied(DAY, tmp_path) as con:
        for statement in (
            "delete from predictions",
            "create table other as select 1",
            f"copy predictions to '{tmp_path}/out.csv'",
            f"attach '{tmp_path}/other.duckdb'",
            "select * from read_text('/etc/hostname')",
            "set enable_external_access = true",
            *(query.format(published=file) for query, _ in HARMFUL),
        ):
            with pytest.raises(duckdb.Error):
                con.execute(statement)
        assert con.sql("select count(*) from predictions").fetchall() == [(80,)]
        # 10 GB.
        assert con.sql("select current_setting('max_temp_directory_size')").fetchall() == [("9.3 GiB",)]
    assert hashlib.sha256(Path(file).read_bytes()).digest() == before


@pytest.mark.parametrize(
    "call",
    [
        "enable_logging()",
        "Enable_Profiling (save_location := 'out.json')",
        '"write_log"',
        "checkpoint /* of the day */ ()",
    ],
)
def test_check_that_would_change_the_instance_is_refused_before_it_is_bound(home, write, call):
    call = call if "(" in call else f"{call}('Ms Smith')"
    write(SAYS + f"select count(*) as value, 0 as low from {call}")
    with pytest.raises(SpecInvalidError, match="which no check may"):
        custom_checks.check(spec.load("flights"))


@pytest.mark.slow
def test_columns_with_personal_data_cannot_be_read_and_are_not_copied(flights, write, tmp_path):
    name, source = next(iter(flights.sources.items()))
    columns = {
        **source.contract.columns,
        "is_baseline": source.contract.columns["carrier"].model_copy(update={"pii": True}),
    }
    contract = source.contract.model_copy(update={"columns": columns})
    personal = flights.model_copy(
        update={"sources": {**flights.sources, name: source.model_copy(update={"contract": contract})}}
    )
    write(SAYS + "select count(is_baseline) as value, 0 as low from predictions")
    with pytest.raises(SpecInvalidError, match="no check can read is_baseline: personal data"):
        custom_checks.check(personal)
    assert "personal data" in run_checks(personal)["one"].problem
    custom_checks._copy(personal, DAY, ["predictions"], tmp_path, custom_checks.Budget())
    with custom_checks._copied(DAY, tmp_path) as con:
        shown = con.table("predictions").columns
    assert "score" in shown
    assert "is_baseline" not in shown


@pytest.mark.slow
def test_check_that_does_not_end_is_stopped_and_the_others_have_what_is_left(flights, write, monkeypatch):
    endless = "with recursive r as (select 1 as x union all select x + 1 from r) select max(x) as value, 0 as low from r"
    write(SAYS + endless)
    write(ONE, "other.sql")
    monkeypatch.setattr(custom_checks, "QUERY_SECONDS", 0.3)
    found = run_checks(flights)
    assert (found["one"].state, found["other"].state) == ("ERROR", "PASS")
    assert "stopped after 0 seconds" in found["one"].problem

    _, other = custom_checks.run(flights, DAY, custom_checks.Budget(0.2))
    assert other.state == "ERROR"
    assert "the checks before it, took" in other.problem


@pytest.mark.slow
def test_table_that_cannot_be_read_is_an_error_of_the_checks_that_name_it(flights, write):
    write(ONE)
    write(SAYS + "select count(*) as value, 0 as low from features", "other.sql")
    (file,) = tables.files("flights", "predictions", DAY, DAY, into=Path("unused"))
    Path(file).write_bytes(b"damaged")
    found = run_checks(flights)
    assert [(each.name, each.state) for each in found.values()] == [("one", "ERROR"), ("other", "PASS")]
    assert found["one"].problem.startswith("its table predictions cannot be read: ")
    assert found["one"].sentence == "What is looked for."
    assert found["one"].snapshots == {"predictions": tables.snapshot_id("flights", "predictions")}


@pytest.mark.parametrize(
    ("name", "sql", "problem"),
    [
        ("one.sql", "select 1 as value, 0 as low", "one.sql: it does not begin with a comment"),
        ("one.sql", SAYS, "one.sql: it is not one select statement"),
        ("one.sql", SAYS + "delete from predictions", "one.sql: it is not one select statement"),
        ("one.sql", SAYS + "selct 1", 'one.sql: Parser Error: syntax error at or near "selct"'),
        ("one.sql", SAYS + "select 1 as value, 0 as low from predictons", "predictons does not exist"),
        ("one.sql", SAYS + "select scor as value, 0 as low from predictions", '"scor" not found'),
        ("one.sql", SAYS + "select 1 as value", "one.sql: it returns value; a check returns one row with"),
        (
            "one.sql",
            SAYS + "select 1 as value, 0 as low, 1 as lower",
            "one.sql: it returns value, low, lower",
        ),
        ("One two.sql", ONE, "One two.sql: its name may have small letters"),
        ("OTHER.sql", ONE, "other.sql: another file has the same name, but for capitals"),
        ("one.py", "", "one.py is no file .sql, and nothing reads it"),
    ],
)
def test_check_of_the_declarations_names_each_problem(home, write, name, sql, problem):
    write(ONE, "other.sql")
    flights = spec.load("flights")
    custom_checks.check(flights)
    write(sql, name)
    with pytest.raises(SpecInvalidError, match="expectations/flights/monitoring") as caught:
        custom_checks.check(flights)
    assert problem in str(caught.value)


def test_checks_of_a_pipeline_without_a_model_are_refused(home, write):
    write(ONE)
    flights = spec.load("flights")
    without = flights.model_copy(update={"model": None, "monitoring": None})
    with pytest.raises(SpecInvalidError, match="a pipeline without a model is not monitored"):
        custom_checks.check(without)


def test_pipeline_without_a_folder_has_no_custom_checks(home, write):
    write(ONE).parent.rename(write(ONE).parent.with_name("elsewhere"))
    flights = spec.load("flights")
    custom_checks.check(flights)
    assert custom_checks.run(flights, DAY, custom_checks.Budget()) == ()


@pytest.mark.slow
def test_failed_and_broken_checks_warn_once_by_the_run_that_measured_them_and_are_rows_of_the_table(
    flights, measured_day
):
    failed = CustomCheck(name="volume", sentence="As many as ever.", state="FAIL", value=0.4, low=0.5, n=9)
    broken = CustomCheck(name="ranks", sentence="As they were.", state="ERROR", problem="it was stopped.")
    quiet = CustomCheck(name="head", sentence="No.", state="INSUFFICIENT")
    about = {"pipeline": "flights", "subject": flights.model.name}
    for day, checks, after in (
        (DAYS[0], (failed,), 1),
        (DAYS[1], (quiet, broken), 0),
        (DAYS[2], (quiet,), 0),
    ):
        numbers = measured_day(day, custom_checks=checks, maturity_days=after)
        assert type(numbers).from_dict(numbers.as_dict()) == numbers
        ledger.append(model_records.Monitored(**numbers.as_dict()), partition=day, **about)

    told = monitoring.decide(flights, DAYS[1], Run(run_id="test"))
    assert told["action"] == "warn"
    assert told["numbers"]["found"].count("custom check") == 2
    assert told["reasons"][-2:] == [
        f"Custom check volume failed on {DAYS[0]}: 0.4 (at least 0.5). As many as ever.",
        f"Custom check ranks of {DAYS[1]} cannot be computed: it was stopped. Nothing is known of: As they were.",
    ]
    assert "custom check" not in monitoring.decide(flights, DAYS[2], Run(run_id="test"))["numbers"]["found"]

    monitoring_table.publish(flights, DAYS[2], Run(run_id="test"))
    rows = tables.scan("flights", "monitoring", DAYS[0], DAYS[1]).to_pylist()
    names = ("metric", "value", "limit_low", "n", "state")
    assert [[row[name] for name in names] for row in rows if row["metric"].startswith("custom.")] == [
        ["custom.volume", 0.4, 0.5, 9, "beyond"],
        ["custom.head", None, None, None, "unknown"],
        ["custom.ranks", None, None, None, "error"],
    ]


def test_check_is_told_of_by_the_run_that_measured_it_also_where_that_day_was_empty(flights, measured_day):
    failed = CustomCheck(
        name="volume", sentence="As many as ever.", state="FAIL", value=0.4, low=0.5, n=2**64
    )
    about = {"pipeline": "flights", "subject": flights.model.name}
    for day, after in ((DAYS[0], 3), (DAYS[1], 0)):
        numbers = measured_day(day, custom_checks=(failed,), maturity_days=after).as_dict()
        # A later version may have recorded more.
        numbers["custom_checks"][0]["later"] = 1
        ledger.append(model_records.Monitored(**numbers), partition=day, **about)

    # Nothing was predicted after DAYS[1].
    def told(day: str) -> list[str]:
        decided = monitoring.decide(flights, day, Run(run_id="test"))
        return [reason.split(":")[0] for reason in decided["reasons"] if "Custom check" in reason]

    assert told(DAYS[1]) == [f"Custom check volume failed on {DAYS[1]}"]
    assert told(DAYS[2]) == []
    assert told(DAYS[3]) == [f"Custom check volume failed on {DAYS[0]}"]
    # Of a number of rows that no column can hold, the table shows none.
    monitoring_table.publish_or_warn(flights, DAYS[1], Run(run_id="test"))
    rows = tables.scan("flights", "monitoring", DAYS[0], DAYS[1]).to_pylist()
    assert [row["n"] for row in rows if row["metric"] == "custom.volume"] == [None, None]


def test_files_of_an_editor_are_no_checks_and_a_byte_order_mark_is_no_text(home, write):
    write("", ".one.sql.swp")
    write("", ".one.sql")
    write("\N{ZERO WIDTH NO-BREAK SPACE}" + ONE)
    custom_checks.check(spec.load("flights"))
