"""`sluice new`, from files of different shapes to published rows: each day goes through the real crossing."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sluice import crossing, holds, status
from sluice.cli import main
from sluice.core.errors import BatchHeldError
from sluice.core.runs import Run
from sluice.declare import pipeline_clock, spec
from sluice.ingest import completion, deliveries
from sluice.lake import tables
from sluice.status import check, unjudged_columns

RUN = Run(dag_id="ingest", run_id="test")
DAY = "2024-05-01"
GAP = '"?"'
OWNED = ["--data-only", "--owner", "ops", "--mail", "ops@example.com"]


def _csv(header: str, rows: list[tuple], delimiter: str = ",") -> bytes:
    lines = [header.replace(",", delimiter), *(delimiter.join(map(str, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def _trips() -> bytes:
    rows = [
        (
            at,
            DAY,
            ("North", "South")[at % 2],
            at % 90,
            round(at * 0.37, 2),
            "" if at % 7 else '"a ""word"", and Zoë"',
        )
        for at in range(1, 61)
    ]
    return _csv("trip_id,day,station,minutes,price,note", rows)


def _levels() -> bytes:
    """Hours of a local day, without an offset, of two harbours; behind semicolons and gzip."""
    rows = [
        (harbour, f"{DAY} {hour:02}:00:00", hour * 1.5)
        for harbour in ("Husum", "Emden")
        for hour in range(24)
    ]
    return gzip.compress(_csv("harbour,measured_at,level", rows, ";"))


def _events() -> bytes:
    begin = datetime(2024, 5, 1, tzinfo=UTC)
    rows = [
        {
            "id": f"e{at}",
            "seen": (begin + timedelta(minutes=at)).isoformat(),
            "ok": at % 3 == 0,
            "size": at / 2,
            **({"user": "u"} if at % 2 else {}),
        }
        for at in range(50)
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def _meters() -> bytes:
    count = 40
    table = pa.table(
        {
            "meter": pa.array([f"m{at}" for at in range(count)]),
            "read_on": pa.array([date(2024, 5, 1)] * count),
            "kind": pa.array(["gas", "water"] * (count // 2)).dictionary_encode(),
            "value": pa.array([at * 1.25 for at in range(count)]),
            "checked": pa.array([True, None] * (count // 2)),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _places() -> bytes:
    """A register: no day, codes that look like numbers, names that YAML takes for something else."""
    return _csv("code,no,y,lat", [(f"{at:03}", "yes", at % 2, 50 + at / 10) for at in range(1, 31)])


def _sparse() -> bytes:
    """Numbers with NA between them, and a key of three columns."""
    rows = [
        (DAY, line, stop, turn, "NA" if turn == 2 else turn * 10)
        for line in ("U1", "U2")
        for stop in range(5)
        for turn in range(4)
    ]
    return _csv("day,line,stop,turn,waiting", rows)


def _repeated() -> bytes:
    """Two rows that are the same in everything: the platform drops one of them."""
    return _csv("day,name,n", [(DAY, "a", 1), (DAY, "b", 2), (DAY, "c", 2), (DAY, "a", 1)])


def _unicode() -> bytes:
    rows = [(DAY, at, ("Öl", "Übung", 'a "quoted" word', "O'Hara")[at % 4]) for at in range(60)]
    return "\n".join(
        [
            "day,number,word",
            *(",".join([str(a), str(b), '"' + c.replace('"', '""') + '"']) for a, b, c in rows),
            "",
        ]
    ).encode()


@dataclass(frozen=True)
class Shape:
    make: Callable[[], bytes]
    name: str
    key: tuple[str, ...]
    rows: int
    types: dict[str, str]
    flags: tuple[str, ...] = ()
    cadence: str = "daily"


SHAPES = {
    "one id": Shape(
        _trips, "trips.csv", ("trip_id",), 60, {"day": "date", "price": "number", "note": "string"}
    ),
    "local times behind semicolons": Shape(
        _levels,
        "levels.csv.gz",
        ("harbour", "measured_at"),
        48,
        {"measured_at": "timestamp", "level": "number"},
        ("--timezone", "Europe/Berlin"),
    ),
    "JSON lines": Shape(
        _events, "events.jsonl", ("id",), 50, {"seen": "timestamp", "ok": "boolean", "size": "number"}
    ),
    "Parquet": Shape(
        _meters, "meters.parquet", ("meter",), 40, {"read_on": "date", "checked": "boolean", "kind": "string"}
    ),
    "a register": Shape(
        _places,
        "Places (new).csv",
        ("code",),
        30,
        {"code": "string", "y": "integer", "lat": "number"},
    ),
    "gaps and three columns": Shape(
        _sparse, "waits.csv", ("line", "stop", "turn"), 40, {"waiting": "integer", "line": "string"}
    ),
    "repeated rows": Shape(_repeated, "few.csv", ("name",), 3, {"n": "integer"}),
    "quotes and umlauts": Shape(_unicode, "words.csv", ("number",), 60, {"word": "string"}),
}


def _new(*arguments: str) -> str:
    done = CliRunner().invoke(main, ["new", *arguments, *OWNED], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def _cross(made: spec.Pipeline, source: str, run_day: str) -> None:
    manifest = crossing.stage(made, source, [run_day], RUN)
    crossing.require_publishable(crossing.audit(made, source, manifest.batch_id, RUN))
    crossing.publish(made, source, manifest.batch_id, RUN)


def _landed(made: spec.Pipeline, project: Path) -> list[tuple[str, str]]:
    """Land as the README says; returns source and day of each."""
    said = (project / "pipelines" / f"{made.pipeline}.md").read_text()
    commands = [line.split(" ", 5) for line in said.splitlines() if line.startswith("sluice land ")]
    for _, _, pipeline, source, day, file in commands:
        path = file.strip("'")
        done = CliRunner().invoke(main, ["land", pipeline, source, day, path], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    return [(source, day) for _, _, _, source, day, _ in commands]


@pytest.mark.parametrize("kind", SHAPES)
def test_a_file_becomes_a_pipeline_whose_day_is_published(project, set_clock, kind):
    set_clock("2024-06-01T09:00:00+00:00")
    shape = SHAPES[kind]
    sample = project / shape.name
    sample.write_bytes(shape.make())

    _new("fresh", "--from", str(sample), *shape.flags)

    assert {what: error for what, error in check.check_pipeline("fresh") if error} == {}
    unjudged_columns.check(spec.load("fresh"))
    made = spec.load("fresh")
    ((name, source),) = made.sources.items()
    assert (source.key, source.cadence) == (shape.key, shape.cadence)
    columns = source.contract.columns
    assert {column: columns[column].type for column in shape.types} == shape.types
    assert not made.has_model
    ((landed, day),) = _landed(made, project)
    assert landed == name
    run_day = made.run_day(name, day)
    assert completion.due_sources(made, [run_day]) == [name]
    _cross(made, name, run_day)
    completion.complete(made, [run_day], RUN)
    assert tables.scan("fresh", name, day, day).num_rows == shape.rows
    assert [item.state for item in status.of(made)] == ["published"]


def test_a_sample_of_several_days_is_split_and_each_day_is_published_as_it_was_written(project, set_clock):
    set_clock("2024-06-01T09:00:00+00:00")
    # Local days of Berlin: the last two instants of UTC days are of the next one there; a note has a line end and quotes.
    begin = datetime(2024, 5, 1, 4, tzinfo=UTC)
    rows = [
        (at, (begin + timedelta(hours=6 * at)).strftime("%Y-%m-%dT%H:%M:%SZ"), '"two ""lines"",\r\nof text"')
        for at in range(12)
    ]
    sample = project / "visits.csv"
    sample.write_bytes(_csv("visit_id,seen_at,note", rows))
    _new("fresh", "--from", str(sample), "--timezone", "Europe/Berlin")
    made = spec.load("fresh")
    readme = (project / "pipelines" / "fresh.md").read_text()
    (command,) = [line.split() for line in readme.splitlines() if line.startswith("sluice land-split ")]
    done = CliRunner().invoke(main, command[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "sluice run fresh 2024-05-02 2024-05-05" in readme
    # None of the days that were landed is lost because a later one is today.
    assert [(item.run_day, item.state) for item in status.of(made)] == [
        (f"2024-05-0{number}", "ready") for number in range(2, 6)
    ]
    assert (
        "of 4 days, 2024-05-01 to 2024-05-04"
        in (project / "expectations" / "fresh" / "visits.json").read_text()
    )
    found = []
    for day in ("2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04"):
        _cross(made, "visits", made.run_day("visits", day))
        published = tables.scan("fresh", "visits", day, day).to_pylist()
        found.append(sorted(row["visit_id"] for row in published))
        assert {row["note"] for row in published} == {'two "lines",\r\nof text'}
    assert found == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10], [11]]


def test_days_that_a_sample_lacks_and_sources_that_end_apart_are_said(project, set_clock):
    set_clock("2024-06-01T09:00:00+00:00")
    plan = [(f"2024-05-{day:02}", at) for day in range(1, 11) if day not in (4, 5) for at in range(3)]
    done = [(f"2024-05-{day:02}", at) for day in range(3, 10) for at in range(3)]
    (project / "plan.csv").write_bytes(_csv("day,number", plan))
    (project / "done.csv").write_bytes(_csv("day,number", done))
    _new("shifts", "--from", "plan.csv", "--from", "done.csv")
    made = spec.load("shifts")
    assert {name: source.lag_days for name, source in made.sources.items()} == {"plan": 1, "done": 2}
    readme = (project / "pipelines" / "shifts.md").read_text()
    assert "The sample has no rows of 2024-05-04, 2024-05-05." in readme
    assert "sluice run shifts 2024-05-05 2024-05-11" in readme
    assert (
        "# The sample has no rows of 2024-05-04, 2024-05-05:"
        in (project / "pipelines" / "shifts.yml").read_text()
    )


def test_two_sources_of_one_run_lag_as_their_days_say(project):
    (project / "plan.csv").write_bytes(_csv("day,number", [("2024-05-02", at) for at in range(9)]))
    (project / "done.csv").write_bytes(_csv("day,number", [(DAY, at) for at in range(9)]))
    (project / "places.csv").write_bytes(_places())
    samples = ["--from", "places.csv", "--from", "plan.csv", "--from", "actual=done.csv"]
    _new("shifts", *samples, "--lag-days", "plan=0", "--lag-days", "actual=1")
    made = spec.load("shifts")
    assert {name: source.lag_days for name, source in made.sources.items()} == {
        "places": 0,
        "plan": 0,
        "actual": 1,
    }
    assert [source.cadence for source in made.sources.values()] == ["weekly", "daily", "daily"]
    assert made.clock == "feed"
    assert sorted(_landed(made, project)) == [
        ("actual", DAY),
        ("places", "2024-05-02"),
        ("plan", "2024-05-02"),
    ]
    assert pipeline_clock.today(made).isoformat() == "2024-05-02"
    for name in made.sources:
        _cross(made, name, "2024-05-02")
    assert {item.state for item in status.of(made)} == {"published"}


def test_rows_of_another_day_and_a_repeated_key_are_held_and_a_new_value_warns(project):
    (project / "trips.csv").write_bytes(_trips())
    _new("rides", "--from", "trips.csv")
    made = spec.load("rides")
    good = _trips().decode()

    deliveries.land(made, "trips", DAY, good.replace(f"60,{DAY}", "60,2024-04-30").encode())
    with pytest.raises(BatchHeldError, match="rows_are_of_the_day"):
        _cross(made, "trips", "2024-05-02")
    deliveries.land(made, "trips", DAY, good.replace(f"60,{DAY}", f"59,{DAY}").encode())
    with pytest.raises(BatchHeldError, match="key_is_unique"):
        _cross(made, "trips", "2024-05-02")
    assert tables.published("rides", "trips") == {}

    deliveries.land(made, "trips", DAY, good.replace("North", "Nord").encode())
    manifest = crossing.stage(made, "trips", ["2024-05-02"], RUN)
    verdict = crossing.audit(made, "trips", manifest.batch_id, RUN)
    assert verdict.outcome == "WARN"
    crossing.publish(made, "trips", manifest.batch_id, RUN)
    assert holds.open_batches(made) == []


def test_a_recent_sample_makes_a_live_pipeline_that_starts_with_it(project, set_clock):
    set_clock("2024-05-03T09:00:00+00:00")
    (project / "trips.csv").write_bytes(_trips())
    _new("rides", "--from", "trips.csv")
    made = spec.load("rides")
    assert (made.clock, made.starts) == ("wall", date(2024, 5, 2))
    (_,) = _landed(made, project)
    _cross(made, "trips", "2024-05-02")
    found = {item.run_day: item.state for item in status.of(made)}
    assert found == {"2024-05-02": "published", "2024-05-03": "missing"}


def test_every_rule_says_on_what_it_was_measured_and_gaps_are_visible(project):
    (project / "trips.csv").write_bytes(_trips())
    said = _new("rides", "--from", "trips.csv")
    rules = json.loads((project / "expectations" / "rides" / "trips.json").read_text())["expectations"]
    severities = {rule["meta"]["rule"]: rule["meta"]["severity"] for rule in rules}
    assert {rule for rule, severity in severities.items() if severity == "hold"} == {
        "key_is_unique",
        "rows_are_of_the_day",
    }
    assert {"station_is_known", "minutes_is_in_range", "price_is_in_range", "rows_fit"} <= set(severities)
    assert set(severities.values()) == {"hold", "warn"}
    assert all("Nobody has reviewed it" in rule["meta"]["why"] for rule in rules)
    assert "trip_id_is_in_range" not in severities, "a number that names a thing has no range"
    declared = (project / "pipelines" / "rides.yml").read_text()
    assert 'minutes: {type: integer, unit: "?"}' in declared
    assert "values: [North, South]" in declared
    readme = (project / "pipelines" / "rides.md").read_text()
    assert f"(there are {declared.count(GAP) - 1}: " in readme, "the comment that explains a gap is none"
    assert "what comes next" in said
