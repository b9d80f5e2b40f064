"""The harness without an Airflow: which scenarios there are, and that a rehearsal that fails says so."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import ScenarioUnknownError, SpecInvalidError
from sluice.core.settings import settings
from sluice.ledger import records
from sluice_lab.rehearsal import __main__ as process
from sluice_lab.rehearsal import bench, healthy, runner, scenario_list, world


class _Bench:
    """Stands where a bench stands, and for the API of its Airflow; what it plays needs none."""

    def __init__(self, base):
        self.base, self.api = base, self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def reset(self):
        settings().mail.mkdir(parents=True, exist_ok=True)

    def used(self):
        return None

    def recent_runs(self):
        return []


@pytest.fixture
def play(home, tmp_path):
    """Play a scenario given as its text."""

    def run(body: str, doc: str = "A title") -> runner.Result:
        path = tmp_path / "fault.py"
        path.write_text(f'"""{doc}"""\n\n\n{body}\n')
        return runner.rehearse(_Bench(tmp_path), scenario_list.find(str(path)), say=lambda text: None)

    return run


def test_scenario_unknown_is_refused_with_all_names_and_the_nearest():
    done = CliRunner().invoke(main, ["rehearse", "s02_history_rewriten"])

    assert done.exit_code == 1
    assert (
        "There is no scenario 's02_history_rewriten'. The nearest is 's02_history_rewritten'." in done.output
    )
    assert all(name in done.output for name in scenario_list.names())


def test_scenario_unknown_is_refused_before_anything_is_started(home):
    with pytest.raises(ScenarioUnknownError):
        scenario_list.find("S99")
    assert not home.exists()


def test_scenario_is_found_by_its_number_and_by_its_path(tmp_path):
    assert scenario_list.find("S02").name == scenario_list.find("s02").name == "s02_history_rewritten"
    path = tmp_path / "mine.py"
    path.write_text('"""Mine"""\n\n\ndef rehearse(world): ...\n')
    assert scenario_list.find(str(path)).title == "Mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def rehearse(world): ...\n", "does not say what happens"),
        ('"""Mine"""\n\n\ndef rehears(world): ...\n', "has no function 'rehearse'"),
        ("def rehearse(world:\n", "cannot be read"),
    ],
)
def test_scenario_that_is_none_is_refused_before_anything_is_started(tmp_path, text, said):
    path = tmp_path / "silent.py"
    path.write_text(text)
    with pytest.raises(SpecInvalidError, match=said):
        scenario_list.find(str(path))


def test_list_says_what_each_scenario_is_about():
    listed = CliRunner().invoke(main, ["rehearse", "--list"]).output

    for scenario in scenario_list.all_scenarios():
        assert f"{scenario.name} " in listed
        assert scenario.title in listed
    for number in (1, 2, 4, 5, 6, 8, 10, 11, 15, 25, 26, 27, 30, 31, 32, 35, 37, 39, 43, 44, 45, 47):
        assert f"s{number:02d}_" in listed


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "def rehearse(world):\n    world.expect('the day is held', False, 'it is not')",
            "FAIL  the day is held",
        ),
        ("def rehearse(world): ...", "FAIL  it expected something"),
        ("def rehearse(world):\n    world.expect('one', True)\n    1 / 0", "ZeroDivisionError"),
    ],
)
def test_scenario_that_does_not_pass_is_reported_as_failed(play, body, said):
    result = play(body)

    assert not result.passed
    assert said in result.report()
    assert result.report().splitlines()[-1].startswith("FAIL  fault")


def test_command_ends_with_1_where_a_scenario_fails_and_with_0_where_none_does(home, tmp_path, monkeypatch):
    monkeypatch.setattr(process.bench, "Bench", lambda say, keep: _Bench(tmp_path))
    path, results = tmp_path / "fault.py", tmp_path / "results.json"
    for ok, code in ((False, 1), (True, 0)):
        path.write_text(f'"""A fault"""\n\n\ndef rehearse(world):\n    world.expect("so", {ok}, "seen")\n')

        done = CliRunner().invoke(process.main, [str(path), "--json", str(results)])

        assert done.exit_code == code, done.output
        assert f"{int(ok)} of 1 passed" in done.output
        (result,) = json.loads(results.read_text())
        assert result["passed"] is ok
        assert result["expectations"] == [{"words": "so", "ok": ok, "seen": "seen"}]


def test_mails_about_a_run_of_an_earlier_rehearsal_and_their_answers_are_not_this_ones(home):
    ledger.append(records.Mail(message="late"), pipeline="flights", subject="x", run="earlier")
    ledger.append(records.Mail(message="own"), pipeline="flights", subject="x", run="mine")
    settings().mail.mkdir(parents=True)
    for number, (message, answers) in enumerate(
        [("late", None), ("late-over", "late"), ("own", None), ("own-over", "own")]
    ):
        header = f"In-Reply-To: <{answers}@sluice>\n" if answers else ""
        text = f"Message-ID: <{message}@sluice>\nSubject: {message}\n{header}\nText\n"
        (settings().mail / f"{number}.eml").write_text(text)

    found = world.World(None, print, earlier_runs=frozenset({"earlier"})).mails()

    assert [mail.subject for mail in found] == ["own", "own-over"]


def test_environment_of_a_rehearsal_is_nothing_of_this_installation(monkeypatch, tmp_path):
    """It is started from a task of the very Airflow that it must not touch."""
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite:////production.db")
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", "smtp://production")
    monkeypatch.setenv("SLUICE_LEDGER_URI", "postgresql://production")

    environment = bench.environment(tmp_path)

    assert not any("production" in value for value in environment.values())
    assert environment["SLUICE_HOME"] == str(tmp_path / "stage")


def test_state_is_saved_and_restored_whole_and_caches_are_left_alone(home):
    for name in ("ledger.db", "lake/flights/data.parquet", "work/dbt/parsed", "landing/a/b.csv"):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("healthy")
    healthy.save(home.parent / "healthy" / "x")
    (home / "ledger.db").write_text("changed")
    (home / "ledger.db-wal").write_text("left behind")
    (home / "landing" / "a" / "late.csv").write_text("late")
    (home / "work" / "dbt" / "parsed").write_text("newer")

    healthy.restore(home.parent / "healthy" / "x")

    assert (home / "ledger.db").read_text() == "healthy"
    assert not (home / "ledger.db-wal").exists()
    assert [path.name for path in (home / "landing" / "a").iterdir()] == ["b.csv"]
    assert (home / "work" / "dbt" / "parsed").read_text() == "newer"


def test_state_is_found_again_before_its_declarations_are_copied_and_after_a_scenario_edited_them(
    home, monkeypatch
):
    for name in ("pipelines", "expectations"):
        monkeypatch.setenv(f"SLUICE_{name.upper()}", str(home / name))
    settings.cache_clear()
    before = healthy.fingerprint()

    healthy.copy_declarations()
    (home / "pipelines" / "flights.yml").write_text("edited")

    assert healthy.fingerprint() == before
