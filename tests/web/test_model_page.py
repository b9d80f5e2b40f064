"""The page of a model and its JSON: of a version that was promoted, one that was refused, and a roll-back, with hostile words."""

from __future__ import annotations

import json
import re

import pytest
from fastapi import FastAPI

from sluice import ledger
from sluice.core.runs import Run
from sluice.core.settings import ROOT, settings
from sluice.declare import spec
from sluice.ledger import model_records, records
from sluice.models import approval, challenger, history, roles, training
from sluice.web.reports import create_app
from sluice_ml.checks import Finding
from tests.models.conftest import DAY, RUN, candidate, flights, trained
from tests.web.serving import reader, serving
from tests.web.test_held import ATTACK, unmarked
from tests.web.test_partition import words

__all__ = ["candidate", "flights", "trained"]

pytestmark = pytest.mark.slow

PAGE = "/air/evidence/_/model/flights"


@pytest.fixture
def decided(flights, trained):
    training.audit_candidate(flights, trained(), DAY, RUN)
    training.promote_candidate(flights, 1, DAY, RUN)
    leak = Finding("replay", "FAIL", f"What came later changes {ATTACK}.")
    again = Run(dag_id="flights_train", run_id="manual 1/2")
    training.audit_candidate(flights, trained(), DAY, again, replayed=leak)


@pytest.fixture
def get(flights):
    outer = FastAPI(root_path="/air")
    outer.mount("/evidence", create_app(reader=reader))
    with serving(outer) as get:
        yield get


def test_page_shows_the_champion_the_refused_candidate_and_the_evidence_of_each_check(flights, decided, get):
    status, _, page = get(PAGE)
    read = words(unmarked(page))

    assert status == 200
    assert "Version 1 is champion since" in read
    assert "stood in" not in read
    assert "Moved by the gate, in place of the baseline." in read
    assert "refused Version 2 was refused; version 1 was champion." in read
    refused, promoted = history.read(flights).decisions
    assert "Version 1 may become champion; there was no champion." in read
    for check in (*refused.checks, *promoted.checks):
        assert check.name.replace("_", " ") in read
    assert "passes learned gap" in read
    assert "insufficient data against the champion" in read
    assert "not applicable flips" in read
    assert "not checked replay" in read
    assert "Limits then: auc 0.2. Declared under model.gate.learned_gap ." in read
    assert f'id="entry-{promoted.entry}"' in page
    assert page.count(f'href="#entry-{promoted.entry}"') == 2, "of the champion, and in the history"
    assert 'href="/air/dags/flights_train/runs/manual%201%2F2"' in page
    assert ATTACK not in page
    assert "&lt;img src=x" in page


def test_page_says_that_another_stood_in_for_the_champion_and_decides_on_the_newest_candidate(
    flights, decided, get
):
    about = {"pipeline": "flights", "subject": flights.model.name}
    stood_in = model_records.StoodIn(
        version=None, champion=1, problems=(), reasons=[f"The file is damaged {ATTACK}."]
    )
    ledger.append(stood_in, **about, partition="2013-04-05")
    ledger.append(model_records.Audited(version=1, outcome="promote"), **about, partition=DAY)
    page = get(PAGE)[2]
    read = words(unmarked(page))
    assert "Another stood in for it, last on 2013-04-05: The file is damaged" in read
    assert ATTACK not in page
    assert "refused Version 2 was refused; version 1 was champion." in read.split("Realised performance")[0]


def test_page_after_a_roll_back_says_who_and_why_and_until_when_each_was_champion(flights, decided, get):
    roles.roll_back(flights, "baseline", by=f"ada {ATTACK}", why="It is late.", run=Run(run_id="by hand"))
    page = get(PAGE)[2]
    read = words(unmarked(page))
    assert "The baseline scores since" in read
    assert "It is late." in read
    assert "champion Version 1 from" in read
    assert ATTACK not in page
    roles.roll_back(flights, "1", by="ada", why="It is back.", run=Run(run_id="again"))
    promoted = history.read(flights).decisions[-1]
    assert f'<a href="#entry-{promoted.entry}">Evidence of its promotion</a>' in get(PAGE)[2]
    assert 'href="/air/dags/flights_rollback/runs/by%20hand"' in page


def test_page_draws_realised_performance_where_enough_days_count_and_says_so_where_not(
    flights, measured_day, get
):
    about = {"pipeline": "flights", "subject": flights.model.name}
    assert "Nothing was monitored yet." in words(get(PAGE)[2])
    for number in range(1, 11):
        numbers = measured_day(
            f"2013-04-{number:02}", labelled=890, auc=0.7 + number / 500, baseline_auc=0.6, model_version="3"
        )
        ledger.append(model_records.Monitored(**numbers.as_dict()), **about, partition=numbers.ds)
        if number == 9:
            page = get(PAGE)[2]
            assert "insufficient data 9 of the 90 days to 2013-04-09 count; 10 are needed" in words(page)
            assert "<svg" not in page
    asked = model_records.RetrainRequested(causes=(ATTACK,))
    ledger.append(asked, **about, partition="2013-04-05")
    folder = settings().home / "reports" / "flights" / "monitor" / "2013-04-05"
    folder.mkdir(parents=True)
    for name in ("index.html", "drift.snapshot.json.xz"):
        (folder / name).touch()

    page = get(PAGE)[2]

    of_monitoring = re.findall(r'href="/air/evidence/flights/monitor/([^"]*)"', page)
    assert of_monitoring == ["2013-04-05/index.html", "2013-04-05/drift.html"]

    assert "is 0.711 on average (0.707 to 0.715), +0.111 (+0.107 to +0.115) beside the baseline's" in words(
        page
    ).replace("&#39;", "'")
    assert page.count('<rect class="PASS"') == 10
    assert page.count("<line ") == 1
    assert "2013-04-05: AUC 0.710 of version 3, 0.600 of the baseline" in words(unmarked(page))
    assert ATTACK not in page
    told = json.loads(get(f"{PAGE}.json")[2])["realised"]
    assert (told["counted"], len(told["days"])) == (10, 90)


def test_json_is_what_the_command_prints_and_is_read_by_whom_the_page_is(flights, decided, get):
    status, headers, text = get(f"{PAGE}.json")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    told = json.loads(text)
    assert [one["version"] for one in told["changes"]] == [1]
    sentences = {one["name"]: one["sentence"] for one in told["decisions"][0]["checks"]}
    assert sentences["replay"] == f"What came later changes {ATTACK}."


@pytest.mark.parametrize("address", [PAGE, f"{PAGE}.json"])
def test_model_of_another_pipeline_is_not_there(flights, get, address):
    assert get(address)[0] == 200
    assert get(address, cookie="_token=forged")[0] == 401
    status, _, page = get(address, cookie="_token=only-trains")
    assert (status, "late_arrival" in page) == (404, False)
    assert get(address.replace("flights", "trains"))[0] == 404


def test_model_that_was_never_trained_says_so(flights, get):
    read = words(get(PAGE)[2])
    assert "The baseline scores: no version has ever been champion." in read
    assert "Nothing was ever trained." in read


def test_pipeline_without_a_model_says_so_and_one_that_cannot_be_read_says_why(
    flights, tmp_path, monkeypatch, get
):
    folder = tmp_path / "pipelines"
    folder.mkdir()
    text = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()
    (folder / "flights.yml").write_text(text.split("\nmodel:\n")[0] + "\n")
    (folder / "trains.yml").write_text(
        text.replace("pipeline: flights", "pipeline: trains").replace("  seed:", "  sead:")
    )
    monkeypatch.setenv("SLUICE_PIPELINES", str(folder))
    settings.cache_clear()

    status, _, page = get(PAGE)
    assert (status, "This pipeline declares no model." in page) == (200, True)
    assert get(f"{PAGE}.json")[0] == 404
    status, _, page = get(PAGE.replace("flights", "trains"))
    assert (status, "did you mean" in page) == (503, True)
    assert get(f"{PAGE.replace('flights', 'trains')}.json")[0] == 503


def test_index_and_decisions_lead_to_the_page(flights, decided, get):
    (settings().home / "reports").joinpath("flights").mkdir(parents=True)
    for address in ("/air/evidence/", "/air/evidence/flights", "/air/evidence/_/ledger/flights"):
        assert f'href="{PAGE}"' in get(address)[2], address
    assert f'href="{PAGE}">{flights.model.name}</a>' in get("/air/evidence/_/ledger/flights")[2]


def test_page_fits_a_telephone_and_its_link_opens_the_evidence_that_is_folded(flights, decided, get, page):
    roles.roll_back(flights, "baseline", by="a" * 100, why="b" * 100, run=Run(run_id="c" * 100))
    roles.roll_back(flights, "1", by="a" * 100, why="b" * 100, run=Run(run_id="d" * 100))
    page.context.add_cookies([{"name": "_token", "value": "valid", "url": f"http://{get.address}"}])
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"http://{get.address}{PAGE}")
    assert page.evaluate("document.documentElement.scrollWidth") == 360

    promoted = history.read(flights).decisions[-1]
    folded = page.locator(f"#entry-{promoted.entry}")
    assert (folded.count(), folded.is_visible()) == (1, False)
    page.get_by_text("Evidence of its promotion").click()
    folded.wait_for(state="visible")


def test_page_says_how_the_candidate_in_shadow_stands(flights, decided, get, monkeypatch):
    shadowed = flights.model_copy(update={"model": flights.model.model_copy(update={"shadow_days": 14})})
    monkeypatch.setattr(spec, "load", lambda _: shadowed)
    assert "In shadow" not in words(unmarked(get(PAGE)[2]))
    about = {"pipeline": "flights", "subject": flights.model.name}
    decision = ledger.append(model_records.Audited(version=2, champion=1, promote=True), **about)
    entered = challenger.begin(shadowed, decision, RUN).seq
    standing = model_records.ShadowStanding(
        version=2, comparison={}, reasons=[f"9 of 14 days are in {ATTACK}."], entered_shadow=entered
    )
    ledger.append(standing, **about)
    page = get(PAGE)[2]
    assert ATTACK not in page
    read = words(unmarked(page))
    assert "In shadow 9 of 14 days are in" in read
    assert "entered shadow" in read
    assert "Version 2 scores in shadow beside version 1, until 14 days that count have outcomes." in read
    ended = {"version": 2, "champion": 1, "outcome": "refuse", "numbers": {"entered_shadow": decision.seq}}
    ledger.append(records.Refused(**ended), **about, partition="2013-05-05")
    read = words(unmarked(get(PAGE)[2]))
    assert "refused Version 2, in shadow, decided by the run of 2013-05-05" in read
    assert "Version 2, in shadow, was refused; version 1 was champion." in read
    assert "In shadow 9 of 14" not in read


def test_page_says_since_when_a_challenger_waits_for_a_person_and_links_to_the_form(
    flights, decided, get, monkeypatch
):
    critical = {"shadow_days": 14, "criticality": "critical"}
    shadowed = flights.model_copy(update={"model": flights.model.model_copy(update=critical)})
    monkeypatch.setattr(spec, "load", lambda _: shadowed)
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": "2013-05-05"}
    decision = ledger.append(model_records.Audited(version=2, champion=1, promote=True), **about)
    entered = challenger.begin(shadowed, decision, RUN).seq
    passed = model_records.Audited(version=2, champion=1, numbers={"entered_shadow": entered})
    asked = approval.ask(shadowed, ledger.append(passed, **about), RUN)
    page = get(PAGE)[2]
    read = words(unmarked(page))
    assert f"Waits for a person Version 2 waits for a person since {asked.at:%Y-%m-%d %H:%M} UTC" in read
    assert "/dags/flights_promote/required_actions" in page
    assert "/dags/flights_rollback" in page
    approval.approve(shadowed, asked, by=f"ada {ATTACK}", why=ATTACK, run=RUN)
    page = get(PAGE)[2]
    assert ATTACK not in page
    assert "Moved by the gate and ada" in words(unmarked(page))
    assert "Waits for a person" not in words(unmarked(page))
