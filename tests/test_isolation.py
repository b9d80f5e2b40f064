"""One pipeline's fault is its own: whatever is broken of `trains`, `flights` is read, shown and worked on as before."""

from __future__ import annotations

import json
import shutil
from datetime import date

import pytest
import yaml
from click.testing import CliRunner

from sluice import ledger, waivers
from sluice.cli import main
from sluice.core import clock
from sluice.core.errors import SpecInvalidError
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import pipeline_clock, spec
from sluice.ingest import completion, unexpected
from sluice.ingest.unexpected import LandingScan
from sluice.lake.landing import Landing
from sluice.ledger import records
from sluice.status import check
from sluice.watch.maintenance import evidence

FLIGHTS = ROOT / "dags" / "pipelines" / "flights.yml"
RUN = Run(run_id="r")

# What a person, an editor or a merge leaves in a YAML file.
BROKEN = {
    "unknown key": "pipeline: trains\nhistroy_days: 28\n",
    "no YAML": "pipeline: [trains\n",
    "merge conflict": "<<<<<<< HEAD\npipeline: trains\n=======\n",
    "empty": "",
    "a list": "- trains\n",
    "no day": "pipeline: trains\nstarts: 2013-02-30\n",
    "a list as a key": "? [a, b]\n: trains\n",
    "not UTF-8": b"pipeline: tr\xe4ins\n",
    "a tab": "pipeline:\n\ttrains\n",
}


@pytest.fixture
def pipelines(home, tmp_path, monkeypatch):
    """A folder of declarations that holds `flights`."""
    folder = tmp_path / "pipelines"
    folder.mkdir()
    shutil.copy(FLIGHTS, folder)
    monkeypatch.setenv("SLUICE_PIPELINES", str(folder))
    settings.cache_clear()
    return folder


@pytest.fixture
def broken(pipelines):
    """`trains` beside it, with a key that there is not."""
    (pipelines / "trains.yml").write_text(
        FLIGHTS.read_text()
        .replace("pipeline: flights", "pipeline: trains")
        .replace("flights-oncall@example.com", "trains-oncall@example.com")
        .replace("history_days:", "histroy_days:")
    )


@pytest.mark.parametrize("kind", BROKEN)
def test_load_all_with_a_broken_pipeline_gives_the_others_and_names_it(pipelines, kind):
    content = BROKEN[kind]
    (pipelines / "trains.yml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert [each.pipeline for each in spec.load_all()] == ["flights"]
    (found,) = spec.broken_pipelines()
    assert (found.pipeline, found.mail_to, found.owner) == ("trains", (), "sluice")
    assert "trains.yml" in str(found.error)


def test_broken_pipeline_keeps_the_owner_and_addresses_that_can_be_read(broken):
    (found,) = spec.broken_pipelines()
    assert found.owner == "flights-data"
    assert found.mail_to == ("trains-oncall@example.com",)


def _places(node, at=()):
    """Every mapping key and list index in a YAML document."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from _places(value, (*at, key))


def test_any_value_at_any_place_is_read_or_refused_in_words(pipelines):
    """Nothing that stands in a YAML file may end in another exception: it would take all pipelines away."""
    whole = yaml.safe_load(FLIGHTS.read_text())
    # YAML keeps what is one declaration for several columns (`&origins`) as one list; each place is changed on its own.
    whole, refused = json.loads(json.dumps(whole, default=str)), 0
    for place in list(_places(whole)):
        node = whole
        for key in place[:-1]:
            node = node[key]
        before = node[place[-1]]
        for value in (None, [], {"surprise": 1}, "text", -1):
            node[place[-1]] = value
            try:
                spec.Pipeline.model_validate(whole)
            except ValueError:
                refused += 1
                with pytest.raises(SpecInvalidError, match="problem"):
                    spec.validate(whole, FLIGHTS)
        node[place[-1]] = before
    assert spec.validate(whole, FLIGHTS) == spec.load("flights")
    assert refused > 300


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("timezone: America/New_York", "timezone: America/New_Yrok", "no time zone 'America/New_Yrok'"),
        ("timezone: America/New_York", "timezone: ../UTC", "no time zone '../UTC'"),
        ('schedule: "0 4 * * *"', 'schedule: "0 25 * * *"', "'0 25 * * *' is no cron schedule"),
        ('schedule: "0 4 * * *"', 'schedule: "@daily"', "no cron schedule of five fields"),
        ('schedule: "0 4 * * *"', 'schedule: "0 0 31 2 *"', "never comes"),
        ("landing: landing\n", 'landing: landing\nwatch_schedule: "often"\n', "watch_schedule"),
        ("landing: landing\n", 'landing: landing\nmaintain_schedule: "* * *"\n', "maintain_schedule"),
        ("mail_to: [flights-oncall@example.com]", "mail_to: [flights-oncall]", "mail_to.0"),
        ("  schedule:\n    owner", "  find_deliveries:\n    owner", "is the name of a task"),
        ("  schedule:\n    owner", "  the schedule:\n    owner", "sources.the schedule"),
    ],
)
def test_declaration_of_what_does_not_exist_is_refused(pipelines, old, new, said):
    text = FLIGHTS.read_text()
    assert old in text
    (pipelines / "flights.yml").write_text(text.replace(old, new, 1))
    with pytest.raises(SpecInvalidError) as caught:
        spec.load("flights")
    assert said in str(caught.value)
    assert "Value error" not in str(caught.value), "that is pydantic's word"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "    max_depth: 3\n",
            "    max_dept: 3\n",
            "model.params.max_dept: XGBoost has no parameter max_dept (allowed: alpha, ",
        ),
        (
            "    max_depth: 3\n",
            "    max_depth: -5\n",
            "model.params.max_depth: value -5 for Parameter max_depth should be greater equal to 0",
        ),
        ("    subsample: 0.8\n", "    subsample: 8\n", "exceed bound"),
        (
            "      - distance_miles\n",
            "      - distances_miles\n",
            "model.features.numeric: 'distances_miles' is no column of features (allowed: ",
        ),
        (
            "  label: is_late\n",
            "  label: is_lte\n",
            "model.label: 'is_lte' is no column of outcomes (allowed: ",
        ),
        (
            "    flips: {share: 0.4}\n",
            "    fairness: {column: orgin, opportunity: 0.1}\n",
            "model.gate.fairness.column: 'orgin' is no column of features (allowed: ",
        ),
        ("landing: landing\n", "landing: ftp://host/x\n", "The landing zone 'ftp://host/x' cannot be used"),
    ],
)
def test_check_finds_what_does_not_exist(pipelines, home, make_home, old, new, said):
    make_home(home)
    text = FLIGHTS.read_text()
    assert old in text
    (pipelines / "flights.yml").write_text(text.replace(old, new, 1))
    with pytest.raises(SpecInvalidError) as caught:
        check.require_sound("flights")
    assert said in str(caught.value)


def test_delivery_of_no_source_is_not_named_while_it_may_be_the_broken_pipelines(broken, tmp_path):
    flights = spec.load("flights")
    landing = Landing(flights.landing_url)
    landing.create()
    landing.write("mystery/2013-02-01/mystery_2013-02-01.csv", b"x")
    assert unexpected.scan(flights) == LandingScan((), complete=False)
    assert completion.due_sources(flights, ["2013-02-01"])
    (settings().pipelines / "trains.yml").unlink()
    assert [entry.name for entry in unexpected.scan(flights).entries] == ["mystery/"]


def test_maintenance_keeps_what_a_broken_pipeline_may_want_kept(broken):
    flights = spec.load("flights")
    mail = settings().mail / "old.eml"
    mail.parent.mkdir(parents=True)
    mail.write_text("x")
    later = clock.utc_now().replace(year=2100)
    assert evidence.clear_evidence(flights, RUN, now=later) == []
    (settings().pipelines / "trains.yml").unlink()
    assert [each.name for each in evidence.clear_evidence(flights, RUN, now=later)] == [str(mail)]


@pytest.mark.parametrize("command", [["held"], ["maintain", "--dry-run"], ["ledger"], ["ledger", "--verify"]])
def test_command_over_all_pipelines_leaves_the_broken_one_out_and_says_so(broken, command):
    result = CliRunner().invoke(main, command)
    assert result.exit_code == (0 if command[0] == "ledger" else 1), result.output
    if command[0] != "ledger":
        assert "flights:" in result.stdout
        assert "trains is left out" in result.stderr
        assert "did you mean 'history_days'" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["held", "flights"],
        ["feed", "flights", "2013-02-04", "--source", "schedule"],
        ["watch", "flights"],
        ["maintain", "flights", "--dry-run"],
        ["catalogue", "flights"],
    ],
)
def test_command_of_one_pipeline_works_beside_a_broken_one(pipelines, command):
    before = CliRunner().invoke(main, command)
    (pipelines / "trains.yml").write_text(BROKEN["no YAML"])
    after = CliRunner().invoke(main, command)
    assert after.output == before.output
    assert (after.exit_code, before.exit_code) == (0, 0)


def test_waiver_of_a_broken_pipeline_is_no_other_pipelines_affair(broken):
    """Of what is read of the ledger, nothing needs the declaration of another pipeline."""
    flights = spec.load("flights")
    pipeline_clock.advance(flights, date(2013, 2, 4))
    word = {"by": "Ada", "why": "Yes.", "until": "2013-03-01", "batch_id": "b", "content_hash": "c"}
    ledger.append(records.Waiver(**word), pipeline="trains", subject="arrivals", partition="2013-02-04")
    assert waivers.of_partitions(flights, "arrivals", ["2013-02-04"]) == {}


def test_held_of_a_pipeline_without_a_clock_does_not_hide_the_others(pipelines):
    """A waiver has no end by a feed's clock that nobody has moved yet."""
    text = FLIGHTS.read_text()
    # Before flights in the order of names.
    (pipelines / "boats.yml").write_text(text.replace("pipeline: flights", "pipeline: boats"))
    about = {"pipeline": "boats", "subject": "arrivals", "partition": "2013-02-03"}
    word = {"by": "Ada", "why": "Yes.", "until": "2013-03-01", "batch_id": "b", "content_hash": "c"}
    ledger.append(records.Held(batch_id="b", verdict_id="v", outcome="HOLD"), **about)
    ledger.append(records.Waiver(**word, verdict_id="v", rules=[]), **about)
    ledger.append(records.Published(batch_id="b"), **about)
    result = CliRunner().invoke(main, ["held"])
    assert result.exit_code == 1
    assert "flights:" in result.stdout
    assert "boats is left out" in result.stderr
    assert "has not delivered a day yet" in result.stderr
