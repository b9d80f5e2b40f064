"""Builds over real published tables, and what goes wrong around them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet
import pytest

from sluice import transform
from sluice.core.errors import SpecInvalidError, TableMissingError, TransformFailedError
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.lake import batches, evidence, tables
from sluice.notify import report
from sluice.notify.compose import compose
from sluice.transform import check, database, docs, project, runner

DAY = "2013-02-08"
BEFORE = pa.scalar("2013-02-09").cast(pa.date32())


def _publish(flights, name, rows):
    manifest = batches.stage(
        flights.pipeline,
        name,
        rows,
        partitions=sorted({str(day) for day in rows["ds"].to_pylist()}),
        received=rows.num_rows,
        dropped={},
        inputs=[],
        run=Run(run_id="test"),
        sort_by=flights.source(name).key,
    )
    return tables.publish(manifest, verdict_id="test").snapshot_id


@pytest.fixture
def published(flights, raw, warm):
    """Publish everything known on the morning of DAY; snapshot ids by table."""
    known = {name: rows.filter(pc.less(rows["ds"], BEFORE)) for name, rows in raw.items()}
    return {name: _publish(flights, name, rows) for name, rows in known.items()}


def test_build_over_published_tables_records_their_snapshots(flights, features, published, tmp_path):
    result = runner.build(flights, "features", DAY, DAY, workdir=tmp_path / "attempt")
    assert {item["table"]: item["snapshot_id"] for item in result.inputs} == published
    arrivals = next(item for item in result.inputs if item["table"] == "arrivals")
    assert (arrivals["first"], arrivals["last"]) == ("2013-01-11", DAY)
    shown = tables.published("flights", "arrivals", arrivals["first"], DAY)
    assert arrivals["batches"] == {day: partition.batch_id for day, partition in shown.items()}
    assert len(shown) == 29
    assert result.data.equals(features)
    assert result.run_results.is_file()
    assert {node.type for node in result.nodes} == {"model", "test"}
    outcomes = runner.build(flights, "outcomes", DAY, DAY, workdir=tmp_path / "outcomes")
    assert [item["table"] for item in outcomes.inputs] == ["arrivals"]


def test_build_reads_the_snapshot_that_it_records_whoever_publishes_meanwhile(
    flights, raw, published, tmp_path, monkeypatch
):
    pinned = tables.snapshot_id

    def publishes_meanwhile(pipeline, name):
        """Returns the current snapshot, and another one is current before anything of it was read."""
        snapshot = pinned(pipeline, name)
        of_day = raw[name].filter(pc.equal(raw[name]["ds"], pa.scalar(DAY).cast(pa.date32())))
        _publish(flights, name, of_day.slice(1))
        return snapshot

    monkeypatch.setattr(tables, "snapshot_id", publishes_meanwhile)
    files, (recorded,) = runner.published_files(flights, ["arrivals"], DAY, DAY, into=tmp_path / "files")
    read = pyarrow.parquet.ParquetDataset(files["arrivals"]).read()
    assert recorded["snapshot_id"] == published["arrivals"] != pinned("flights", "arrivals")
    days = [str(day) for day in raw["arrivals"]["ds"].to_pylist() if "2013-01-11" <= str(day) <= DAY]
    assert read.num_rows == len(days)


def test_build_leaves_the_database_open_to_others_and_the_working_directory_alone(
    flights, published, tmp_path
):
    here = Path.cwd()
    runner.build(flights, "outcomes", DAY, DAY, workdir=tmp_path / "attempt")
    code = f"import duckdb; duckdb.connect({str(tmp_path / 'attempt' / 'dbt.duckdb')!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Path.cwd() == here


def test_build_without_a_register_names_the_table(flights, raw, warm, tmp_path):
    _publish(flights, "schedule", raw["schedule"])
    with pytest.raises(TableMissingError, match="Table 'airlines' has nothing published from 2013-01-11"):
        runner.build(flights, "features", DAY, DAY, workdir=tmp_path)


def test_build_on_the_first_day_needs_no_arrivals_yet(flights, raw, warm, tmp_path):
    for name in ("schedule", "planes", "airports", "airlines"):
        _publish(flights, name, raw[name])
    result = runner.build(flights, "features", DAY, DAY, workdir=tmp_path)
    assert result.data.num_rows > 0
    assert {item["table"] for item in result.inputs if item["snapshot_id"] is None} == {"arrivals", "weather"}
    with pytest.raises(TableMissingError, match="Table 'arrivals'"):
        runner.build(flights, "outcomes", DAY, DAY, workdir=tmp_path)


def test_build_after_a_gap_in_the_arrivals_is_refused(flights, raw, published, tmp_path):
    # The schedule has 2013-07-27; the last arrivals are of February.
    _publish(flights, "schedule", raw["schedule"])
    with pytest.raises(TableMissingError, match="nothing published from 2013-06-29 to 2013-07-27"):
        runner.build(flights, "features", "2013-07-27", "2013-07-27", workdir=tmp_path)


def test_build_of_an_undeclared_table_lists_those_there_are(flights, warm, tmp_path):
    with pytest.raises(SpecInvalidError, match="features, outcomes"):
        runner.build(flights, "fetures", DAY, DAY, workdir=tmp_path)


def test_check_of_the_repository_passes(flights, warm):
    check(flights)


def test_check_of_a_mistyped_model_lists_those_there_are(flights, warm):
    wrong = flights.derived["features"].model_copy(update={"model": "ftr_flights__depature"})
    spec = flights.model_copy(update={"derived": {"features": wrong}})
    with pytest.raises(
        SpecInvalidError, match=r"no dbt model 'ftr_flights__depature'.*ftr_flights__departure"
    ):
        check(spec)


def test_check_of_a_schedule_without_a_single_hour_names_the_model_that_needs_one(flights, warm):
    spec = flights.model_copy(update={"schedule": "0 4,16 * * *"})
    with pytest.raises(
        SpecInvalidError, match=r"int_flights__days reads prediction_hour.*'0 4,16 \* \* \*'.*no single hour"
    ):
        check(spec)


def test_window_shorter_than_a_history_of_fixed_length_fails_the_build(flights, published, tmp_path):
    spec = flights.model_copy(update={"history_days": 6})
    with pytest.raises(TransformFailedError, match="histories_reach_back_a_week"):
        runner.build(spec, "features", DAY, DAY, workdir=tmp_path)


def test_check_of_a_model_on_an_undeclared_source_names_it(flights, warm):
    spec = flights.model_copy(
        update={"sources": {name: source for name, source in flights.sources.items() if name != "weather"}}
    )
    with pytest.raises(SpecInvalidError, match="reads weather"):
        check(spec)


def test_models_look_back_and_score_as_the_pipeline_declares(flights, published, tmp_path):
    other = flights.model_copy(update={"history_days": 14, "schedule": "30 6 * * *"})
    runner.build(other, "features", DAY, DAY, workdir=tmp_path)
    with database.connect(tmp_path / database.FILE) as con:
        (built,) = con.sql("select history_on::varchar, as_of_at::varchar from int_flights__days").fetchall()
        counted = con.sql(
            "select distinct flights_count = (select count(is_late) from stg_flights__arrivals as own"
            f" where own.carrier = known.carrier and own.ds >= '2013-01-25' and own.ds < '{DAY}')"
            " from int_flights__carrier_history as known"
        ).fetchall()
    assert built == ("2013-01-25", "2013-02-08 11:00:00+00")
    assert counted == [(True,)]


@pytest.mark.parametrize(
    "change", [{"history_days": 14}, {"schedule": "0 6 * * *"}, {"timezone": "UTC"}, "a table's own window"]
)
def test_what_the_models_are_told_is_part_of_their_version(flights, change):
    if isinstance(change, str):
        features = flights.derived["features"].model_copy(update={"history_days": 14})
        change = {"derived": {**flights.derived, "features": features}}
    assert project.fingerprint(flights.model_copy(update=change)) != project.fingerprint(flights)


@pytest.fixture
def copied(home, tmp_path, monkeypatch):
    """A copy of the dbt project, to be changed."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(settings().dbt_project, copy, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setenv("SLUICE_DBT_PROJECT", str(copy))
    settings.cache_clear()
    return copy


def test_check_of_a_project_that_does_not_parse_says_why(flights, copied):
    model = copied / "models/flights/features/out_flights__arrival.sql"
    model.write_text(model.read_text().replace("stg_flights__arrivals", "stg_flights__arivals"))
    with pytest.raises(TransformFailedError, match="stg_flights__arivals"):
        check(flights)


def test_parsed_project_is_kept_until_a_file_changes(flights, copied):
    def kept():
        return {
            path: path.stat().st_mtime_ns for path in (settings().work / "dbt").rglob("*") if path.is_file()
        }

    project.manifest(flights)
    first = kept()
    project.manifest(flights)
    assert kept() == first
    assert len(first) == 1
    with (copied / "models/flights/features/out_flights__arrival.sql").open("a") as model:
        model.write("-- changed\n")
    changed = next(
        node for node in project.manifest(flights).nodes.values() if node.name == "out_flights__arrival"
    )
    assert "-- changed" in changed.raw_code
    assert len(kept()) == 2


def test_failing_model_is_named_with_its_message(flights, copied, raw, tmp_path):
    model = copied / "models/flights/features/out_flights__arrival.sql"
    model.write_text(model.read_text().replace("arrivals.is_late", "'late' as is_late"))
    pa.parquet.write_table(raw["arrivals"], tmp_path / "arrivals.parquet")
    files = {"arrivals": [str(tmp_path / "arrivals.parquet")]}
    with pytest.raises(TransformFailedError, match=r"model out_flights__arrival: .*is_late \| VARCHAR"):
        runner.build_from_files(flights, "outcomes", DAY, DAY, files, workdir=tmp_path / "attempt")


@pytest.fixture
def quoting(flights, copied, raw, tmp_path):
    """Function: build outcomes with a model in which DuckDB cannot convert a value, and quotes it."""

    def build(pii: str) -> None:
        model = copied / "models/flights/features/out_flights__arrival.sql"
        model.write_text(
            model.read_text().replace("arrivals.is_late", "arrivals.flight_id::integer > 0 as is_late")
        )
        pa.parquet.write_table(raw["arrivals"], tmp_path / "arrivals.parquet")
        sources = {
            name: source.model_copy(update={"pii": pii if name == "arrivals" else "none"})
            for name, source in flights.sources.items()
        }
        files = {"arrivals": [str(tmp_path / "arrivals.parquet")]}
        declared = flights.model_copy(update={"sources": sources})
        runner.build_from_files(declared, "outcomes", DAY, DAY, files, workdir=tmp_path / "attempt")

    return build


def test_conversion_error_quotes_the_value_where_nobody_is_meant(quoting):
    with pytest.raises(TransformFailedError, match="Could not convert string '2013-"):
        quoting("none")


def test_conversion_error_of_personal_data_is_told_without_the_value(
    quoting, tmp_path, capfd, caplog, flights
):
    with pytest.raises(TransformFailedError) as caught:
        quoting("pseudonymised")
    said = str(caught.value)
    # What, and where.
    assert "model out_flights__arrival" in said
    assert "Conversion Error" in said
    assert "out_flights__arrival.sql" in said
    assert "Could not convert" not in said
    told = "".join(
        [
            said,
            *traceback.format_exception(caught.value),
            *capfd.readouterr(),
            caplog.text,
            repr(vars(caught.value)),
        ]
    )
    assert "'2013-" not in told
    # All of it, for its owner only.
    attempt = tmp_path / "attempt"
    assert "Could not convert string" in (attempt / project.LOG).read_text()
    assert attempt.stat().st_mode & 0o777 == 0o700
    assert str(attempt / project.LOG) in said
    event = report.of_exception(
        flights,
        caught.value,
        task_id="outcomes.stage_outcomes",
        run_id="r",
        partition=DAY,
        task_url="https://a/b",
    )
    mail = compose(event, sender="a@b", to=["c@d"]).as_string()
    assert "Conversion Error" in mail
    assert "Could not convert" not in mail


@pytest.mark.slow
@pytest.mark.long
def test_builds_at_the_same_time_from_nothing_give_the_same_rows(published, features, tmp_path):
    shutil.rmtree(settings().work)
    code = (
        "import sys; from pathlib import Path; import pyarrow.feather as feather;"
        "from sluice.declare import spec; from sluice.transform import build;"
        f"rows = build(spec.load('flights'), 'features', '{DAY}', '{DAY}', workdir=Path(sys.argv[1])).data;"
        "feather.write_feather(rows, sys.argv[1] + '.arrow')"
    )
    attempts = [str(tmp_path / f"attempt-{number}") for number in range(2)]
    running = [subprocess.Popen([sys.executable, "-c", code, attempt]) for attempt in attempts]
    assert [process.wait() for process in running] == [0, 0]
    for attempt in attempts:
        assert pa.feather.read_table(attempt + ".arrow").equals(features)


@pytest.mark.slow
def test_docs_are_one_page_with_every_column_and_nothing_from_elsewhere(flights, warm):
    page = docs(flights)
    assert page == "flights/dbt/index.html"
    text = evidence.read(page).decode()
    assert "ftr_flights__departure" in text
    assert "precipitation_inches_6h" in text
    assert not list((settings().work).glob("docs-*"))
    assert "<script src=" not in text


def test_project_that_another_pipeline_broke_is_parsed_and_built_without_its_folder(
    flights, copied, raw, tmp_path
):
    """dbt parses a project as a whole: neither SQL, nor yml, nor tests of another pipeline may stop this one."""
    for name, text in (
        ("models/trains/stg_trains__stops.sql", "select * from {{ ref('no_such_model') }} {% if %}"),
        ("models/trains/sources.yml", "sources: [\n"),
        ("tests/trains/always.sql", "{{ no_such_macro() }}"),
    ):
        path = copied / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    check(flights)
    pa.parquet.write_table(raw["arrivals"], tmp_path / "arrivals.parquet")
    files = {"arrivals": [str(tmp_path / "arrivals.parquet")]}
    built = runner.build_from_files(flights, "outcomes", DAY, DAY, files, workdir=tmp_path / "attempt")
    assert built.data.num_rows
    assert len(evidence.read(transform.docs(flights))) > 1_000_000
