"""From a real hold to its end: the mails tell what readers see, and which way it ended."""

from __future__ import annotations

import json

import pytest

from sluice import crossing, feed, ledger, notices, waivers
from sluice.notices import report

DAY, DATA_DAY = "2013-04-04", "2013-04-03"
RUN = {"dag_id": "flights_ingest", "run_id": "test"}


def held(flights, smtp, **delivery):
    """Deliver arrivals that are held, and mail it as the failed audit task does."""
    feed.deliver(flights, DAY, sources=["arrivals"], **delivery)
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    assert verdict.outcome == "HOLD"
    event = report.of_verdict(flights, verdict, task_url="http://127.0.0.1:8080/dags/flights_ingest")
    notices.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)
    return manifest, verdict


def cross(flights, smtp):
    """What the tasks of the next run do."""
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    crossing.require_publishable(verdict)
    crossing.publish(flights, "arrivals", verdict.publish_batch_id, RUN)
    return notices.resolved(flights, "arrivals", DATA_DAY, smtp)


def body(mail) -> str:
    return " ".join(mail.get_body(("plain",)).get_content().split())


def test_corrected_delivery_ends_the_fault_and_is_named(flights, sink, mails):
    smtp, folder, _ = sink
    ledger.append(
        "published", pipeline="flights", subject="predictions", partition=DATA_DAY, data={"batch_id": "x"}
    )
    held(flights, smtp, corrupt="seconds")
    feed.deliver(flights, DAY, number=2, sources=["arrivals"])

    cross(flights, smtp)

    first, last = mails(folder)
    assert body(first).startswith(
        f"HELD: FLIGHTS ARRIVALS {DATA_DAY} The predictions of {DAY} are not made; "
        f"readers still see those of {DATA_DAY}."
    )
    for command in (
        "held flights",
        f"replay flights arrivals {DATA_DAY}",
        f"release flights arrivals {DATA_DAY}",
    ):
        assert f"sluice {command}" in body(first)
    assert "A corrected delivery passed: arrivals_2013-04-03_2.csv.gz." in body(last)
    assert f"Readers now see the arrivals of {DATA_DAY}." in body(last)
    assert last["In-Reply-To"] == first["Message-ID"]


def test_corrected_rule_ends_the_fault_and_is_said(flights, sink, mails, tmp_path, monkeypatch):
    import shutil

    from sluice.settings import settings

    smtp, folder, _ = sink
    shutil.copytree(settings().expectations, tmp_path / "suites")
    monkeypatch.setenv("SLUICE_EXPECTATIONS", str(tmp_path / "suites"))
    settings.cache_clear()
    suite = tmp_path / "suites" / "flights" / "arrivals.json"
    right = suite.read_text()
    wrong = json.loads(right)
    wrong["expectations"].append(
        {
            "type": "expect_column_values_to_be_in_set",
            "kwargs": {"column": "origin", "value_set": ["EWR"]},
            "meta": {"rule": "one_origin", "severity": "hold", "owner": "x", "why": "A mistake."},
        }
    )
    suite.write_text(json.dumps(wrong))
    held(flights, smtp)
    suite.write_text(right)

    cross(flights, smtp)

    assert "The rule or its gate was corrected: the same batch" in body(mails(folder)[-1])


def test_release_ends_the_fault_and_the_mail_says_who_why_and_until_when(flights, sink, mails):
    smtp, folder, _ = sink
    manifest, verdict = held(flights, smtp, corrupt="seconds")
    waivers.grant(
        flights,
        "arrivals",
        DATA_DAY,
        content_hash=manifest.content_hash,
        batch_id=manifest.batch_id,
        verdict_id=verdict.verdict_id,
        rules=[rule.rule for rule in verdict.failed],
        by="operator@example.com",
        why="The minutes are not used today.",
        until="2013-04-10",
    )

    cross(flights, smtp)

    last = mails(folder)[-1]
    assert last["Subject"] == (
        "[sluice][RESOLVED] flights arrivals 2013-04-03: released by operator@example.com until 2013-04-10, "
        "it did not pass its rules"
    )
    assert "Reason given: The minutes are not used today." in body(last)


def test_personal_data_is_in_no_part_of_a_mail(flights, sink, mails):
    """The tail number stands for a name: once it is declared so, neither rows nor sentences show one."""
    smtp, _, _ = sink
    spec = flights.model_dump()
    spec["sources"]["arrivals"]["pii"] = "pseudonymised"
    spec["sources"]["arrivals"]["contract"]["columns"]["tailnum"]["pii"] = True
    personal = type(flights).model_validate(spec)
    _, verdict = held(flights, smtp, corrupt="seconds")
    shown = {item["row"]["tailnum"] for item in verdict.sample if item["row"]["tailnum"]}
    assert shown, "the verdict has tail numbers to leak"
    leaky = verdict.model_copy(
        update={
            "rules": tuple(
                rule.model_copy(update={"observed": f"1 finding: tailnum {min(shown)}", "columns": ()})
                if not rule.passed
                else rule
                for rule in verdict.rules
            ),
            "reasons": (f"Something about {min(shown)}.",),
        }
    )

    event = report.of_verdict(personal, leaky, task_url="http://127.0.0.1/")

    assert event.sample, "the other columns are shown"
    assert "tailnum" not in event.model_dump_json()
    assert not [name for name in shown if name in event.model_dump_json()]


def test_digest_groups_warnings_once_a_day_and_is_silent_on_a_clean_one(flights, sink, mails):
    smtp, folder, _ = sink
    assert notices.digest(flights, smtp) is None, "before the feed has begun there is no day"
    feed.deliver(flights, "2013-04-01", sources=["schedule"])
    feed.deliver(flights, DAY, sources=["schedule"])
    assert notices.digest(flights, smtp) is None
    warned = {"rule": "few_cancelled", "severity": "warn", "passed": False, "owner": "airport-operations"}
    warned |= {"why": "Storms do that.", "observed": "12 of 900 rows fail", "columns": [], "failing_rows": 12}
    for day in ("2013-04-01", "2013-04-02", "2013-04-03"):
        ledger.append(
            "verdict",
            pipeline="flights",
            subject="arrivals",
            partition=day,
            data={"outcome": "WARN", "rules": [warned], "quarantined": {"known_carrier": 2}},
        )

    entry = notices.digest(flights, smtp)

    assert entry.data["status"] == "digest"
    late = {"outcome": "WARN", "rules": [warned | {"rule": "late_rule"}]}
    ledger.append("verdict", pipeline="flights", subject="arrivals", partition="2013-04-03", data=late)
    assert notices.digest(flights, smtp) is None, "at most one a pipeline day"
    (mail,) = mails(folder)
    assert mail["Subject"] == "[sluice][DIGEST] flights 2013-04-04: 2 things are worth a look."
    assert "arrivals, few_cancelled: 12 of 900 rows fail. On 2013-04-01, 2013-04-02, 2013-04-03." in body(
        mail
    )
    assert "arrivals, known_carrier: 6 rows are in quarantine" in body(mail)
    feed.deliver(flights, "2013-04-05", sources=["schedule"])
    notices.digest(flights, smtp)
    told = body(mails(folder)[-1])
    assert "late_rule" in told, "what came later is told the next day"
    assert "few_cancelled" not in told, "what was told is not told again"


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
        waiver = ledger.append(
            "waiver", pipeline="flights", subject="arrivals", partition=DATA_DAY, data=word
        )
        event = report.of_waiver_expired(flights, waiver, task_url="http://127.0.0.1/")
        said = "Readers still see arrivals of 2013-04-03, which did not pass its rules"
    for _ in range(2):
        notices.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)

    (mail,) = mails(folder)
    assert said in body(mail)
    kinds = ("history_rewritten",) if kind == "rewritten" else ()
    if kind == "rewritten":
        assert notices.resolved(flights, "arrivals", DATA_DAY, smtp) == [], "a publish alone does not end it"
    notices.resolved(flights, "arrivals", DATA_DAY, smtp, kinds=kinds, ended="It matches again.")
    assert "It matches again." in body(mails(folder)[-1])
