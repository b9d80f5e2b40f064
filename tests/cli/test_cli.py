"""Commands whose shell is more than a call, and all commands with arguments that no one should give."""

from __future__ import annotations

import json
import os

import click
import pytest
from click.testing import CliRunner

from sluice import crossing, ledger
from sluice.cli import GROUPS, main
from sluice.core.runs import Run
from sluice.declare import spec
from sluice.ledger import records
from sluice.ledger.record import Record
from sluice_lab import feed

# An argument that is right, by the parameter's name.
RIGHT = {
    "pipeline": "flights",
    "table": "arrivals",
    "source": "arrivals",
    "day": "2013-04-02",
    "first": "2013-04-02",
    "last": "2013-04-03",
    "version": "1",
    "file": __file__,
    "folder": os.path.dirname(__file__),
    "name": "trains",
    "prediction": "2013-04-02|AA|1|JFK|LAX",
    # Of `sluice trace`: a table or a prediction.
    "what": "arrivals",
    "samples": os.path.join(os.path.dirname(__file__), "stops.csv"),
}
_TEXTS = ["", "no such", "../flights", "a\x00b", "half a \udcff", "two\nlines", "\x1b[2J", "x" * 5000]
_DAYS = ["2013-02-30", "2013-13-40", "yesterday", "20130401", "2013-W14-5", "0001-01-01", "9999-12-31"]
_DAYS += ["2013-04-1", " 2013-04-01", "\uff12013-04-01", "-2013-04-01", "2013-04-01T00:00"]
_COUNTS = ["-1", "", "x", "1.5", "9" * 40 + "x"]
# Arguments that are wrong, by the name of the parameter's type.
WRONG = {
    "day": [*_TEXTS, *_DAYS, "2013-04-02..", "2013-04-03..2013-04-02"],
    "pipeline": _TEXTS,
    "table": [*_TEXTS, "Arrivals", "flights.arrivals"],
    "source": [*_TEXTS, "features"],
    "kind": [*_TEXTS, "hold"],
    "text": _TEXTS[3:7],
    "integer": _COUNTS[1:],
    "integer range": _COUNTS,
    "file": ["no such", "/", ""],
    "directory": ["no such", __file__],
    "path": [],
    "choice": _TEXTS,
}
# What takes any text: a name that it does not know is answered by the command itself.
ANYTHING = {
    "supply-chain": {
        "osv_url": "a database that does not answer is told as not checked (tests/sluice_lab/supply_chain)"
    },
    "airflow": {"arguments": "belongs to Airflow's own command line"},
}
# Commands whose free text is looked up, with what has to be refused.
LOOKED_UP = {
    "feed": {"corrupt": ["no such", ""]},
    "catalogue": {
        "column": ["arrivals", "arrivals.", ".arr_delay", "arrivals.no such", "no such.arr_delay", ""]
    },
    "rehearse": {"scenarios": ["no such", "S99", "../x", "tests/cli/test_cli.py"]},
    "mutate": {"out": [f"{__file__}/reports"]},
    "robustness": {"out": [f"{__file__}/reports"]},
    "land-split": {"column": ["no such", ""]},
    "backtest": {"out": [f"{__file__}/reports"]},
    "new": {
        "name": ["", "No Such", "../x", "flights"],
        "samples": ["no such", "=", f"{RIGHT['samples']}/x"],
        "zone": ["no such"],
        "day_column": ["no such", "stop_id"],
        "key": ["no such", "riders,no such"],
        "cadence": ["hourly"],
        "lag_days": ["x", "-1"],
        "as_text": ["no such"],
        "mails": ["no such"],
    },
    "suite import": {"file": ["no such", "/", "", __file__, RIGHT["samples"]]},
    "model card": {"out": [f"{__file__}/card.md", "/"]},
    "why": {"prediction": ["no such", ""]},
    "trace": {"what": ["no such", "", "Arrivals"]},
    "home backup": {"folder": [f"{__file__}/backup", "/"]},
}
LOOKED_UP["rehearse"]["json_file"] = [f"{__file__}/report.json", "/"]


COMMANDS = {
    " ".join(filter(None, (name, inner))): command
    for name, found in main.commands.items()
    for inner, command in (found.commands if isinstance(found, click.Group) else {"": found}).items()
}


def _calls():
    """Each parameter of each command with each wrong value, while all others are right."""
    for name, command in sorted(COMMANDS.items()):
        for parameter in command.params:
            if getattr(parameter, "is_flag", False) or parameter.name in ANYTHING.get(name, {}):
                continue
            wrong = LOOKED_UP.get(name, {}).get(parameter.name)
            for value in WRONG[parameter.type.name] if wrong is None else wrong:
                yield pytest.param(name, parameter, value, id=f"{name}-{parameter.name}-{ascii(value)[:24]}")


def _words(name: str, parameter: click.Parameter, value: str) -> list[str]:
    said = name.split()
    if isinstance(parameter, click.Option):
        said += [f"{max(parameter.opts, key=len)}={value}"]
    said += ["--data-only"] if name == "new" else []
    for one in COMMANDS[name].params:
        if isinstance(one, click.Option) and one.name in RIGHT and one.required and one is not parameter:
            said += [f"{one.opts[0]}={RIGHT[one.name]}"]
    said += ["--"]
    for one in COMMANDS[name].params:
        if isinstance(one, click.Argument) and (one.required or one is parameter):
            said += [value if one is parameter else RIGHT[one.name]]
        elif one.name == "first" or (parameter.name == "last" and one.name == "first"):
            said += [RIGHT[one.name]]
    return said


@pytest.mark.parametrize(("name", "parameter", "value"), list(_calls()))
def test_every_command_refuses_wrong_arguments_and_says_what_is_allowed(home, name, parameter, value):
    done = CliRunner().invoke(main, _words(name, parameter, value), input="a name to search for\n")

    assert done.exit_code != 0, done.output
    assert isinstance(done.exception, SystemExit), repr(done.exception)
    said = " ".join(done.output.split())
    assert any(
        word in said
        for word in (
            "Allowed:",
            "is not in the range",
            "not a valid integer",
            "not exist",
            "is a",
            "is not one of",
        )
    ), said
    assert "\x1b" not in said
    assert "Traceback" not in said


def test_every_command_has_its_wrong_arguments_tried():
    tried = {each.values[0] for each in _calls()}
    without = {
        "demo",
        "up",
        "down",
        "check",
        "supply-chain",
        "airflow",
        "home adopt",
        "home status",
        "migrate",
    }
    assert tried | without == set(COMMANDS)


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (["land", "flights", "arrivals", "2013-02-30", __file__], "a day that exists, as YYYY-MM-DD"),
        (["trace", "flights", "arrivals", "2013-13-40"], "a day that exists, as YYYY-MM-DD"),
        (["trace", "flights", "arivals", "2013-04-02"], "schedule, arrivals, weather"),
        (["land", "flights", "features", "2013-04-02", __file__], "schedule, arrivals, weather"),
        (["held", "flihgts"], "Did you mean 'flights'? Allowed: flights"),
        (
            ["ledger", "--kind", "hold"],
            "Did you mean 'held'? Allowed: approval_requested, approval_shown, approved",
        ),
        (["ledger", "--pipeline", "flight"], "Allowed: flights"),
        (["ledger", "--partition", "2013-13-40"], "or first..last"),
    ],
)
def test_wrong_name_is_answered_with_those_that_there_are(home, words, allowed):
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert allowed in " ".join(done.output.split())


def test_ledger_finds_a_day_within_a_range_and_says_where_there_is_nothing(home):
    ledger.append(
        records.Staged(batch_id="b"),
        pipeline="flights",
        subject="arrivals",
        partition="2013-04-01..2013-04-05",
    )

    found = CliRunner().invoke(main, ["ledger", "--partition", "2013-04-03"])
    assert "flights.arrivals 2013-04-01..2013-04-05" in found.output
    empty = CliRunner().invoke(main, ["ledger", "--kind", "held"])
    assert (empty.exit_code, empty.output) == (0, "No entry of the ledger is about that.\n")


def test_ledger_shows_what_an_earlier_version_or_pipeline_recorded(home):
    class OnceWas(Record, kind="once_was"):
        pass

    ledger.append(OnceWas(), pipeline="retired", subject="x")

    for words in (["--kind", "once_was"], ["--pipeline", "retired"]):
        assert "retired.x" in CliRunner().invoke(main, ["ledger", *words]).output


def test_help_names_every_command_under_what_it_is_for_with_its_whole_summary(home):
    said = CliRunner().invoke(main, ["--help"]).output

    assert [line for line in said.splitlines() if line.endswith(":")] == [
        "Options:",
        *(f"{title}:" for title in GROUPS),
    ]
    assert sorted(command.name for commands in GROUPS.values() for command in commands) == sorted(
        main.commands
    )
    groups = {name: command for name, command in main.commands.items() if isinstance(command, click.Group)}
    assert {"model", "suite", "home"} <= groups.keys()
    for shown, commands in [(said, main.commands)] + [
        (CliRunner().invoke(main, [name, "--help"]).output, group.commands) for name, group in groups.items()
    ]:
        for command in commands.values():
            assert " ".join(command.help.split("\n\n")[0].split()).rstrip(".") in " ".join(shown.split())


def test_suite_is_shown_as_a_table_of_its_rules(home):
    done = CliRunner().invoke(main, ["suite", "show", "flights", "arrivals"])
    assert done.exit_code == 0, done.output
    head, *rules = done.output.splitlines()
    assert head.split() == ["rule", "severity", "owner", "type", "arguments"]
    found = json.loads(CliRunner().invoke(main, ["suite", "show", "flights", "arrivals", "--json"]).output)
    assert [line.split()[0] for line in rules] == [rule["rule"] for rule in found["rules"]]
    (line,) = (line for line in rules if line.startswith("known_origin "))
    assert line.split("  ")[-1] == "column: origin; value: upper(trim(origin)); value_set: EWR, JFK, LGA"
    (several,) = (line for line in rules if line.startswith("gaps_agree "))
    assert "condition: ((dep_time is null) = (dep_delay is null)) and (" in several
    assert " and (dep_time is not null or arr_time is null) and " in several, (
        "as the rule that runs brackets them"
    )
    (rule,) = (rule for rule in found["rules"] if rule["rule"] == "known_origin")
    assert rule["arguments"]["value_set"] == ["EWR", "JFK", "LGA"]
    assert {"severity", "limit", "owner", "why", "type"} < rule.keys()


def test_what_is_shown_is_printed_as_json_too(home):
    flights = spec.load("flights")
    feed.deliver(flights, "2013-04-02", sources=["arrivals"], corrupt="seconds")
    batch = crossing.stage(flights, "arrivals", ["2013-04-02"], Run(run_id="test"))
    crossing.audit(flights, "arrivals", batch.batch_id, Run(run_id="test"))

    def shown(*words: str, code: int = 0):
        done = CliRunner().invoke(main, [*words, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    (hold,) = shown("held")["pipelines"]["flights"]["held"]
    assert (hold["table"], hold["partition"], hold["rows"]) == ("arrivals", "2013-04-01", batch.rows)
    assert shown("held", "flights")["undelivered_mails"] == []
    items = shown("status", "flights", code=1)["items"]
    assert {"table": "arrivals", "state": "held"}.items() <= next(
        item for item in items if item["table"] == "arrivals"
    ).items()
    (traced,) = shown("trace", "flights", "arrivals", "2013-04-01")["batches"]
    assert traced["manifest"]["batch_id"] == batch.batch_id
    assert [entry["kind"] for entry in shown("ledger")] == ["held", "staged"]
    assert shown("ledger", "--verify") == {"verified": 2}
    assert shown("watch", "flights", code=1)["findings"]
    catalogue = shown("catalogue", "flights")
    assert {source["name"] for source in catalogue["sources"]} == set(flights.sources)
    assert shown("catalogue", "flights", "--impact", "arrivals.tailnum")
    about = shown("home", "status")
    assert about["home"] == about["made_at"] == str(home.resolve())
    assert shown("model", "show", "flights") == {
        "model": "flights_late_arrival",
        "roles": {"champion": None, "previous": None, "challenger": None, "since": 0},
        "in_shadow": [],
        "versions": [],
        "other_aliases": {},
    }


def test_maintain_dry_run_says_what_would_go_and_touches_nothing(home):
    scratch = home / "work" / "flights-features-old"
    scratch.mkdir(parents=True)
    os.utime(scratch, (0, 0))

    planned = CliRunner().invoke(main, ["maintain", "flights", "--dry-run"])

    assert planned.exit_code == 0, planned.output
    assert "would go: scratch: 1" in planned.output
    as_json = CliRunner().invoke(main, ["maintain", "flights", "--dry-run", "--json"])
    found = json.loads(as_json.output)["pipelines"]["flights"]
    assert found == {
        "verified": 0,
        "dry_run": True,
        "removed": [{"kind": "scratch", "what": str(scratch), "size": 0, "table": ""}],
    }
    assert scratch.is_dir()
    assert ledger.entries() == []

    done = CliRunner().invoke(main, ["maintain", "flights"])

    assert done.exit_code == 0, done.output
    assert "  scratch: 1" in done.output
    assert not scratch.exists()
    assert {entry.subject for entry in ledger.entries(kind="maintained")} == {"ledger", "tables", "evidence"}


def test_kinds_of_entries_are_named_where_help_is_asked_for():
    told = " ".join(CliRunner().invoke(main, ["ledger", "--help"]).output.split())
    assert "Only entries of this kind: " in told
    assert "held, " in told
