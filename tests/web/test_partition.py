"""The page of a partition, of real rows that crossed: one day passes, of one rows are set aside, one is held."""

from __future__ import annotations

import re
import shutil

import pytest
from fastapi import FastAPI

from sluice import crossing, holds
from sluice.core.errors import ContractBrokenError
from sluice.core.settings import settings
from sluice.lake import tables
from sluice.web import partition
from sluice.web.reports import create_app
from sluice_lab import feed
from tests.holds.test_holds import RUN, Suite, cross, flights
from tests.web.serving import Links, reader, serving
from tests.web.test_held import ATTACK, unmarked

__all__ = ["flights"]

PASSED, ASIDE, HELD = "2013-04-01", "2013-04-02", "2013-04-03"


@pytest.fixture
def get(flights):
    suite = Suite()
    for run_day, severity in (
        ("2013-04-02", {}),
        ("2013-04-03", {"severity": "quarantine", "limit": 0.9}),
        ("2013-04-04", {}),
    ):
        feed.deliver(flights, run_day, sources=["arrivals"])
        if run_day == "2013-04-02":
            suite.is_corrected()
        else:
            suite.is_mistaken(**severity, why=f"A test. {ATTACK}")
        cross(flights, run_day=run_day)
    outer = FastAPI()
    outer.mount("/evidence", create_app(reader=reader))
    with serving(outer) as get:
        yield get


def at(day: str) -> str:
    return f"/evidence/_/partition/flights/arrivals/{day}"


def histories(flights, day: str) -> list[partition.RuleHistory]:
    return list(
        partition.histories(flights, holds.trace(flights, "arrivals", day).batches[-1].judgements[-1])
    )


def words(page: str) -> str:
    """What a reader of a page reads."""
    return " ".join(
        re.sub(r"<[^>]*>", " ", re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)).split()
    )


def test_partition_shows_how_its_rows_crossed_and_that_none_is_lost(flights, get):
    received = {day: tables.published("flights", "arrivals", day, day) for day in (PASSED, ASIDE, HELD)}
    assert received[HELD] == {}
    for day in (PASSED, ASIDE, HELD):
        status, _, page = get(at(day))
        (batch,) = holds.trace(flights, "arrivals", day).batches
        total, kept, _, aside = batch.conservation
        assert status == 200
        out = "published" if day != HELD else "held"
        said = f"{total:,} received = {kept:,} {out} + {sum(aside.values()):,} set aside + 0 dropped."
        assert said in words(page), day
        assert ("Replay …" in page) == (day != PASSED)
    assert "<strong>nothing</strong>held" in page
    assert "Probable cause: Not clear: no earlier day was read that it could be compared with." in words(page)
    assert "Release …" in page
    assert "Release …" not in get(at(ASIDE))[2], "single rows cannot be released"


def test_partition_shows_what_each_rule_said_of_the_days_before(flights, get):
    (rule,) = histories(flights, HELD)
    assert [(mark.partition, mark.outcome) for mark in rule.marks] == [
        (PASSED, "PASS"),
        (ASIDE, "WARN"),
        (HELD, "HOLD"),
    ]
    passed, aside, _ = rule.marks
    assert passed.height < aside.height

    _, _, page = get(at(HELD))
    assert len(re.findall("<rect ", page)) == 3
    assert ATTACK not in page
    assert "&lt;img src=x" in page
    (rule,) = histories(flights, ASIDE)
    assert rule.limit is not None
    assert "<line " in get(at(ASIDE))[2]


def test_partition_names_its_files_decisions_and_evidence_and_every_link_leads_somewhere(get):
    _, _, page = get(at(HELD))
    assert "arrivals_2013-04-03" in words(page).split("Made from, and made from it")[1]
    assert "entries of the ledger: verdicts, decisions, mails" in page
    links = Links(page).found
    assert any("/gates/arrivals/2013-04-03/" in link for link in links)
    for link in links:
        assert get(link)[0] == 200, link
    frame = next(link for link in links if "/gates/" in link)
    assert at(HELD) in Links(get(frame)[2]).found, "and back"
    assert at(HELD) in Links(get("/evidence/_/held")[2]).found


def test_partition_of_several_batches_says_which_one_readers_see(flights, get):
    feed.deliver(flights, "2013-04-02", sources=["arrivals"], number=2, corrupt="seconds")
    Suite().is_corrected()
    newer = cross(flights, run_day="2013-04-02").batch_id

    said = words(get(at(PASSED))[2])

    assert f"The crossing of batch {newer}" in said
    assert "2 batches" in said
    assert said.count("published, replaced since") == 1
    assert re.search(r"published \d+ rows changed, 0 added, 0 removed", said), "no values of rows"


def test_partition_of_a_refused_delivery_says_why(flights, get):
    feed.deliver(flights, "2013-04-05", sources=["arrivals"], corrupt="missing_column")
    with pytest.raises(ContractBrokenError):
        crossing.stage(flights, "arrivals", ["2013-04-05"], RUN)

    status, _, page = get(at("2013-04-04"))

    assert (status, "air_time" in page, "Readers see nothing of it" in page) == (200, True, False)


def test_partition_shows_the_rules_of_the_judgement_that_it_shows(flights):
    """A backfill is held; then one of its days alone is corrected, and passes."""
    suite, days = Suite(), ["2013-04-02", "2013-04-03", "2013-04-04"]
    for run_day in days:
        feed.deliver(flights, run_day, sources=["arrivals"])
    suite.is_corrected()
    cross(flights, run_day=days[0])
    suite.is_mistaken()
    backfill = crossing.stage(flights, "arrivals", days, RUN)
    assert crossing.audit(flights, "arrivals", backfill.batch_id, RUN).outcome == "HOLD"
    suite.is_corrected()
    feed.deliver(flights, days[1], sources=["arrivals"], number=2, corrupt="seconds")
    assert cross(flights, run_day=days[1]).outcome == "PASS"

    with serving(create_app(reader=reader)) as get:
        page = get(f"/_/partition/flights/arrivals/{ASIDE}")[2]
        said = words(page)
        of_backfill = words(get(f"/_/partition/flights/arrivals/{HELD}")[2])

    assert "PASS 0 of 1 rules failed" in said
    assert "1 that pass" in said
    assert "fails known_origin" not in said
    (rule,) = histories(flights, ASIDE)
    assert [(mark.partition, mark.outcome) for mark in rule.marks] == [(PASSED, "PASS"), (ASIDE, "PASS")]
    assert "HOLD 1 of 1 rules failed" in of_backfill
    assert "fails known_origin" in of_backfill
    (rule,) = histories(flights, HELD)
    assert [mark.partition for mark in rule.marks] == [f"{PASSED}..{HELD}"]


def test_partition_that_cannot_be_read_says_why_and_not_that_there_is_none(get, caplog):
    for path in settings().home.rglob("*quarantine*/**/*.parquet"):
        path.unlink()
    status, _, page = get(at(ASIDE))
    assert (status, "cannot be read: FileNotFoundError" in page) == (503, True)
    assert "Traceback" in caplog.text
    assert str(settings().home) not in page

    status, _, page = get("/evidence/_/held")
    assert (status, "flights: It cannot be read: FileNotFoundError" in page) == (200, True)
    assert "Nothing is held." not in page


def test_partition_of_a_pipeline_whose_yaml_is_wrong_says_what_is_wrong(get, monkeypatch, tmp_path):
    shutil.copytree(settings().pipelines, tmp_path / "pipelines")
    monkeypatch.setenv("SLUICE_PIPELINES", str(tmp_path / "pipelines"))
    settings.cache_clear()
    path = settings().pipelines / "flights.yml"
    path.write_text(path.read_text().replace("history_days", "histroy_days"))
    status, _, page = get(at(ASIDE))
    assert (status, "did you mean &#39;history_days&#39;?" in page) == (503, True)


@pytest.mark.slow
def test_partition_leads_to_what_it_was_made_from_and_to_what_was_made_from_it(flights):
    run_day = "2013-04-02"
    feed.deliver(flights, run_day)
    for table in (*flights.sources, "features"):
        tables.publish(crossing.stage(flights, table, [run_day], RUN), verdict_id="unjudged")
    with serving(create_app(reader=reader)) as get:
        features = "/_/partition/flights/features/2013-04-02"
        links = Links(get(features)[2]).found
        assert {
            f"/_/partition/flights/{table}/2013-04-0{day}"
            for table, day in (("schedule", 2), ("arrivals", 1))
        } <= {*links}
        assert [link for link in links if "/partition/" in link and get(link)[0] != 200] == []
        assert features in Links(get("/_/partition/flights/schedule/2013-04-02")[2]).found


def test_partition_is_not_there_for_who_may_not_read_it_or_where_nothing_is_recorded(get):
    assert get(at(HELD), cookie="_token=forged")[0] == 401
    for path, cookie in (
        (at(HELD), "_token=only-trains"),
        (at("2013-01-01"), "_token=valid"),
        (at("yesterday"), "_token=valid"),
        (at(HELD).replace("arrivals", "arivals"), "_token=valid"),
        (at(HELD).replace("flights", "boats"), "_token=valid"),
    ):
        status, _, page = get(path, cookie=cookie)
        assert (status, "arrivals 2013-04-03" in unmarked(page)) == (404, False), path
