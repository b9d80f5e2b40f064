"""Faults that nobody's run has met: one mail each, which says what readers see."""

from __future__ import annotations

import pytest

from sluice import ledger, notify
from sluice.ledger import records
from sluice.notify import report
from tests.notify.reading import body, publication

DATA_DAY = "2013-04-03"


@pytest.mark.parametrize("kind", ["rewritten", "waiver_expired"])
def test_alarm_is_one_mail_that_says_what_readers_see(flights, sink, mails, kind):
    smtp, folder, _ = sink
    if kind == "rewritten":
        event = report.of_rewritten(
            flights,
            "arrivals",
            DATA_DAY,
            recorded="a" * 64,
            found="b" * 64,
            diff={"changed": 200},
            sample=[{"carrier": "B6", "arr_delay": 0}],
            task_url="http://127.0.0.1/",
        )
        said = "Readers see arrivals of 2013-04-03 with content that no gate has judged."
    else:
        word = {"by": "operator", "why": "Known.", "until": "2013-04-05", "batch_id": "x", "rules": ["r"]}
        word["content_hash"] = "c"
        waiver = ledger.append(
            records.Waiver(**word), pipeline="flights", subject="arrivals", partition=DATA_DAY
        )
        event = report.of_waiver_expired(flights, waiver, task_url="http://127.0.0.1/")
        said = "Readers still see arrivals of 2013-04-03, which did not pass its rules"
    for _ in range(2):
        notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)

    (mail,) = mails(folder)
    assert said in body(mail)
    publication(DATA_DAY)
    ended = notify.close_published(flights, "arrivals", DATA_DAY, smtp)
    if kind == "rewritten":
        assert ended == [], "a publish alone does not end it"
        notify.close_matching(flights, "arrivals", DATA_DAY, smtp)
        assert "Its content matches its recorded hash again." in body(mails(folder)[-1])
    assert len(mails(folder)) == 2
    assert "RESOLVED" in mails(folder)[-1]["Subject"]


def test_damaged_champion_is_one_mail_however_many_days_it_lasts_and_one_more_when_it_is_over(
    flights, sink, mails
):
    smtp, folder, _ = sink

    def score(version, *problems):
        event = report.of_damaged_model(
            flights,
            champion=2,
            version=version,
            problems=problems,
            task_url="http://127.0.0.1:8080/dags/flights_score",
        )
        notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)

    score(1, "model.ubj of version 2 is not the file that was registered.")
    score(1, "model.ubj of version 2 is not the file that was registered.")
    (first,) = mails(folder)
    assert "the champion cannot score" in first["Subject"]
    assert "Predictions are made by version 1 instead of version 2." in body(first)
    assert "sluice model rollback flights --to 1 --by NAME --why REASON" in body(first)
    assert "/plugin/evidence/evidence/_/model/flights" in body(first)

    for _ in range(2):
        notify.close_scored(flights, 2, smtp)

    _, last = mails(folder)
    assert last["In-Reply-To"] == first["Message-ID"]
    assert "Version 2 is what is meant to score, and does." in body(last)


def test_model_that_training_does_not_mend_is_one_mail_for_each_series(flights, sink, mails):
    smtp, folder, _ = sink
    why = "2 new models did not end the drop that began on 2013-04-01: no more are asked for."

    for since in ("2013-04-01", "2013-04-01", "2013-07-01"):
        event = report.of_stuck_model(
            flights, why, since=since, task_url="http://127.0.0.1:8080/dags/flights_monitor"
        )
        notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)

    first, _second = mails(folder)
    assert first["Subject"] == "[sluice][STUCK] flights flights_late_arrival: training does not help"
    assert why in " ".join(body(first).split())
    assert "sluice model rollback flights --to VERSION --by NAME --why REASON" in body(first)


@pytest.mark.parametrize(
    ("numbers", "advised", "not_advised"),
    [
        ({}, "change it under `model.gate`", "model.shadow_days"),
        ({"entered_shadow": 4}, "declare more `model.shadow_days`", "model.gate"),
        ({"entered_shadow": 4, "approval": 7}, "It had passed the gate and its shadow", "model.gate"),
    ],
    ids=["gate", "shadow", "person"],
)
def test_refusal_advises_what_helps_where_it_was_refused(flights, numbers, advised, not_advised):
    decided = records.Refused(version=3, reasons=["It is no better."], numbers=numbers)
    event = report.of_refusal(flights, decided, partition="2013-04-01", task_url="http://x/")
    said = " ".join(event.next_steps)
    assert advised in said
    assert not_advised not in said
