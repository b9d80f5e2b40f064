"""A sample or an answer that cannot be used is refused in words that help, and nothing is left half written."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sluice.cli import main
from sluice.declare import spec
from sluice.gates import suites

GOOD = b"day,number,name\n2024-05-01,1,a\n2024-05-01,2,b\n2024-05-01,3,a\n"
OWNED = ("--owner", "ops", "--mail", "ops@example.com")


def _refused(*arguments: str, name: str = "fresh", owned: tuple[str, ...] = OWNED) -> str:
    done = CliRunner().invoke(main, ["new", name, "--data-only", *arguments, *owned], catch_exceptions=False)
    assert done.exit_code == 1, done.output
    return done.output


def _left(project) -> list[str]:
    return sorted(
        path.name for folder in ("pipelines", "expectations") for path in (project / folder).rglob("*")
    )


FILES = {
    "empty": ("a.csv", b"", "is empty: it has 0 bytes"),
    "one row": ("a.csv", b"day,n\n2024-05-01,1\n", "has 1 row(s)"),
    "no rows": ("a.csv", b"day,n\n", "has 0 row(s)"),
    "no values": (
        "a.csv",
        b"day,n\n2024-05-01,\n2024-05-01,\n",
        "Column 'n' has no value in the whole sample",
    ),
    "spaces": ("a.csv", b"day,Trip ID\n2024-05-01,1\n2024-05-01,2\n", "for example trip_id"),
    "quotes": ("a.csv", b'day,"a""b"\n2024-05-01,1\n2024-05-01,2\n', "has other characters than letters"),
    "umlauts": (
        "a.csv",
        "day,größe\n2024-05-01,1\n2024-05-01,2\n".encode(),
        "has other characters than letters",
    ),
    "reserved": ("a.csv", b"day,order\n2024-05-01,1\n2024-05-01,2\n", "'order' is a reserved word of SQL"),
    "reserved in places": (
        "a.csv",
        b"day,at\n2024-05-01,1\n2024-05-01,2\n",
        "'at' is a reserved word of SQL",
    ),
    "case": (
        "a.csv",
        b"day,n,N\n2024-05-01,1,1\n2024-05-01,2,2\n",
        "names that differ only in case are one column",
    ),
    "ours": ("a.csv", b"ds,n\n2024-05-01,1\n2024-05-01,2\n", "'ds' is the name of a column that Sluice adds"),
    "several days": (
        "a.csv",
        b"day,n\n2024-05-01,1\n2024-05-02,2\n",
        "is not clear: 'day' (2 days, 2024-05-01 to 2024-05-02); the sample has 2 rows",
    ),
    "a date of birth": (
        "a.csv",
        b"id,born_on\n" + b"".join(b"%d,19%02d-01-01\n" % (at, at % 40 + 50) for at in range(200)),
        "Which column says the day of a row is not clear: 'born_on' (40 days",
    ),
    "two such columns": (
        "a.csv",
        b"id,made_on,due_on\n"
        + b"".join(b"%d,2024-05-%02d,2024-06-%02d\n" % (at, at % 9 + 1, at % 9 + 1) for at in range(90)),
        "is not clear: 'made_on' (9 days, 2024-05-01 to 2024-05-09), 'due_on' (9 days",
    ),
    "days to come": ("a.csv", b"day,n\n9999-12-31,1\n9999-12-31,2\n", "names 9999-12-31, a day to come"),
    "no key": ("a.csv", b"day,n,x\n2024-05-01,1,2.5\n2024-05-01,1,3.5\n", "No set of up to four columns"),
    "decimal commas": (
        "a.csv",
        b"day;n;x\n2024-05-01;1;2,5\n2024-05-01;2;3,5\n",
        "numbers with a decimal comma",
    ),
    "other days": ("a.csv", b"n,day\n1,31/12/2024\n2,31/12/2024\n", "days that do not begin with the year"),
    "ragged": ("a.csv", b"day,n\n2024-05-01,1\n2024-05-01,2,3\n", "row 2 has 3 field(s)"),
    "no text": ("a.csv", b"day,n\n2024-05-01,\xff\n", "cannot be read as csv"),
    "nested": (
        "a.jsonl",
        b'{"n": 1, "x": {"y": 1}}\n{"n": 2, "x": {"y": 1}}\n',
        "Column 'x' holds an object",
    ),
    "no objects": ("a.jsonl", b"[1]\n[2]\n", "has no columns"),
    "no Parquet": ("a.parquet", b"PAR1", "cannot be read as parquet"),
    "a spreadsheet": ("a.xlsx", b"PK", "ends in no format that can be delivered"),
    "nameless": ("2024.csv", GOOD, "No name of a source can be made of '2024.csv'"),
    "a table of ours": ("predictions.csv", GOOD, "'predictions' names two tables"),
    "too many columns": (
        "a.csv",
        ",".join(f"c{at}" for at in range(1_001)).encode() + b"\n",
        "has too many columns: 1,001",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_sample_that_cannot_be_used_is_refused_and_nothing_is_written(project, kind):
    name, content, said = FILES[kind]
    (project / name).write_bytes(content)
    output = " ".join(_refused("--from", name).split())
    assert said in output
    assert "Next:" in output
    assert _left(project) == []


ANSWERS = {
    "no such file": (["--from", "b.csv"], "There is no such file"),
    "no such day column": (["--from", "a.csv", "--day-column", "dya"], "There is no column 'dya'"),
    "a day column of numbers": (
        ["--from", "a.csv", "--day-column", "number"],
        "cannot say the day of a row: it is integer",
    ),
    "a key that repeats": (
        ["--from", "a.csv", "--key", "name"],
        "The key name is not unique: 2 different rows",
    ),
    "a key of nothing": (["--from", "a.csv", "--key", "id"], "The key names 'id', which is no column"),
    "hours": (["--from", "a.csv", "--cadence", "hourly"], "'hourly' is no cadence that a source can have"),
    "nothing daily": (["--from", "a.csv", "--cadence", "weekly"], "All sources are weekly"),
    "a lag in words": (["--from", "a.csv", "--lag-days", "soon"], "'soon' is no number of days"),
    "no such zone": (["--from", "a.csv", "--timezone", "Mars"], "There is no time zone 'Mars'"),
    "text that is not there": (
        ["--from", "a.csv", "--as-text", "id"],
        "There is no column 'id', which --as-text names",
    ),
    "the same source twice": (["--from", "a.csv", "--from", "a.csv"], "Two samples are of the source 'a'"),
    "whose key": (
        ["--from", "a.csv", "--from", "c=a.csv", "--key", "number"],
        "does not say which source it is about",
    ),
    "no address": (["--from", "a.csv", "--mail", "nobody"], "mail_to"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_does_not_fit_is_refused_and_nothing_is_written(project, kind):
    arguments, said = ANSWERS[kind]
    (project / "a.csv").write_bytes(GOOD)
    assert said in " ".join(_refused(*arguments).split())
    assert _left(project) == []


@pytest.mark.parametrize("name", ["Fresh", "2x", "a-b", "../x", "a b", "x" * 61, "größe"])
def test_a_name_that_no_pipeline_can_have_is_refused(project, name):
    (project / "a.csv").write_bytes(GOOD)
    assert "cannot be the name of a pipeline" in _refused("--from", "a.csv", name=name)
    assert _left(project) == []


@pytest.mark.parametrize("there", ["pipelines/fresh.yml", "pipelines/fresh.md", "expectations/fresh"])
def test_what_is_there_is_never_overwritten(project, there):
    (project / "a.csv").write_bytes(GOOD)
    (project / there).write_text("mine")
    assert "is there already" in _refused("--from", "a.csv")
    assert _left(project) == [there.rpartition("/")[2]]
    assert (project / there).read_text() == "mine"


def test_without_an_owner_and_a_terminal_the_flag_is_named(project):
    (project / "a.csv").write_bytes(GOOD)
    assert "--owner" in _refused("--from", "a.csv", owned=("--mail", "ops@example.com"))
    assert _left(project) == []


def test_a_model_is_refused_with_what_can_be_written(project):
    (project / "a.csv").write_bytes(GOOD)
    done = CliRunner().invoke(main, ["new", "fresh", "--from", "a.csv", *OWNED])
    assert (done.exit_code, "add --data-only" in done.output) == (1, True)


def test_samples_of_different_runs_are_refused(project):
    (project / "a.csv").write_bytes(GOOD)
    (project / "b.csv").write_bytes(GOOD.replace(b"2024-05", b"2024-08"))
    assert "they are not of one run" in _refused("--from", "a.csv", "--from", "b.csv")


def test_a_type_that_no_contract_has_is_refused(project):
    pq.write_table(pa.table({"n": [1, 2], "parts": [[1], [2]]}), project / "a.parquet")
    assert "Column 'parts' holds list" in _refused("--from", "a.parquet")


def test_what_breaks_while_it_is_written_leaves_nothing(project, monkeypatch):
    """The suites are checked where they will lie, before the YAML makes them a pipeline's."""
    (project / "a.csv").write_bytes(GOOD)

    def broken(declared: spec.Pipeline) -> None:
        assert (project / "expectations" / "fresh" / "a.json").is_file()
        assert spec.pipeline_names() == []
        raise KeyboardInterrupt

    monkeypatch.setattr(suites, "check", broken)
    done = CliRunner().invoke(main, ["new", "fresh", "--data-only", "--from", "a.csv", *OWNED])
    assert done.exit_code != 0
    assert _left(project) == []


def test_as_text_declares_what_could_not_be_measured(project):
    (project / "a.csv").write_bytes(b"day;n;x;e\n2024-05-01;1;2,5;\n2024-05-01;2;3,5;\n")
    done = CliRunner().invoke(
        main,
        ["new", "fresh", "--data-only", "--from", "a.csv", "--as-text", "x", "--as-text", "e", *OWNED],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    columns = spec.load("fresh").sources["a"].contract.columns
    assert (columns["x"].type, columns["e"].type, columns["e"].nullable) == ("string", "string", True)
    assert spec.load("fresh").sources["a"].contract.reading.delimiter == ";"
