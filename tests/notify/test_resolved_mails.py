"""From a real hold to its end: the mails tell what readers see, and which way it ended."""

from __future__ import annotations

import html
import json

from sluice import crossing, holds, ledger, notify, waivers
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.holds import show
from sluice.ledger import records
from sluice.ledger.records import EndsWith
from sluice.notify import report, resolution
from sluice.web import index
from sluice_lab import feed
from tests.notify.reading import DATA_DAY, body, publication, refused, tell
from tests.notify.reading import RUN_DAY as DAY

RUN = Run(dag_id="flights_ingest", run_id="test")


def hold(flights, smtp, **delivery):
    """Deliver arrivals that are held, and mail it as the failed audit task does."""
    feed.deliver(flights, DAY, sources=["arrivals"], **delivery)
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    assert verdict.outcome == "HOLD"
    event = report.of_verdict(flights, verdict, task_url="http://127.0.0.1:8080/dags/flights_ingest")
    notify.deliver(event, smtp, sender="sluice@localhost", to=flights.mail_to)
    return manifest, verdict


def cross(flights, smtp):
    """What the tasks of the next run do."""
    manifest = crossing.stage(flights, "arrivals", [DAY], RUN)
    verdict = crossing.audit(flights, "arrivals", manifest.batch_id, RUN)
    crossing.require_publishable(verdict)
    crossing.publish(flights, "arrivals", verdict.publish_batch_id, RUN)
    return notify.close_published(flights, "arrivals", DATA_DAY, smtp)


def test_corrected_delivery_ends_the_fault_and_is_named(flights, sink, mails):
    smtp, folder, _ = sink
    ledger.append(
        records.Published(batch_id="x"), pipeline="flights", subject="predictions", partition=DATA_DAY
    )
    hold(flights, smtp, corrupt="seconds")
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
    (published,) = ledger.entries(kind="published", subject="arrivals")
    since = f"{published.at:%Y-%m-%d %H:%M} UTC"
    assert f"Readers now see the arrivals of {DATA_DAY}, since {since}." in body(last)
    assert last["In-Reply-To"] == first["Message-ID"]


def test_corrected_rule_ends_the_fault_and_is_said(flights, sink, mails, tmp_path, monkeypatch):
    import shutil

    from sluice.core.settings import settings

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
    hold(flights, smtp)
    suite.write_text(right)

    cross(flights, smtp)

    assert "The rule or its gate was corrected: the same batch" in body(mails(folder)[-1])


def test_release_ends_the_fault_and_the_mail_says_who_why_and_until_when(flights, sink, mails):
    smtp, folder, _ = sink
    manifest, verdict = hold(flights, smtp, corrupt="seconds")
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
    _, verdict = hold(flights, smtp, corrupt="seconds")
    shown = {one.row["tailnum"] for one in verdict.sample if one.row["tailnum"]}
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


WORD = {"by": "admin", "why": "The minutes are not used today.", "until": "2013-04-10"}


def test_batch_that_was_replaced_by_a_released_one_was_not_released_itself(flights, sink):
    smtp, _, _ = sink
    hold(flights, smtp, corrupt="seconds")
    first = ledger.entries(kind="mail", pipeline="flights")[0]
    about = {"batch_id": "20300101T000000000000-aaaaaa", "verdict_id": "v", "outcome": "HOLD"}
    ledger.append(records.Held(**about), pipeline="flights", subject="arrivals", partition=DATA_DAY)
    waiver = ledger.append(
        records.Waiver(**WORD, content_hash="c", batch_id=about["batch_id"], rules=[]),
        pipeline="flights",
        subject="arrivals",
        partition=DATA_DAY,
    )
    data = {"batch_id": about["batch_id"], "waiver": waiver.seq}
    ledger.append(records.Published(**data), pipeline="flights", subject="arrivals", partition=DATA_DAY)

    ending = resolution.find(flights, first)

    assert (ending.kind, ending.by) == ("replaced", "admin")
    assert ending.sentence().startswith("Replaced by its inputs, which was released by admin")


def test_first_publication_after_an_incident_ended_it_not_a_later_release(flights, sink):
    smtp, _, _ = sink
    hold(flights, smtp, corrupt="seconds")
    seen = ledger.entries(kind="mail", pipeline="flights")[0]
    about = {"pipeline": "flights", "subject": "arrivals", "partition": DATA_DAY}
    first = ledger.append(records.Published(batch_id="20300101T000000000000-aaaaaa"), **about)
    word = {**WORD, "content_hash": "c", "batch_id": "20300102T000000000000-bbbbbb", "rules": []}
    waiver = ledger.append(records.Waiver(**word), **about)
    ledger.append(records.Published(batch_id=word["batch_id"], waiver=waiver.seq), **about)

    ending = resolution.find(flights, seen)

    assert (ending.kind, ending.entry, ending.at) == ("corrected_delivery", first.seq, first.at)


def test_ending_that_an_earlier_version_kept_as_a_sentence_is_read():
    ending = resolution.read("Released by operator until 2013-04-10, although it did not pass its rules.")
    assert (ending.kind, ending.at, ending.on_waiver) == ("stated", None, False)
    assert ending.sentence() == "Released by operator until 2013-04-10, although it did not pass its rules."
    assert resolution.read(ending.model_dump(mode="json")) == ending


def test_refused_delivery_has_a_page_in_the_index_a_link_in_its_mail_and_its_mails_in_the_trace(
    flights, sink, mails
):
    smtp, folder, _ = sink
    refused(flights, smtp)

    (entry,) = ledger.entries(kind="refused")
    page = html.unescape((settings().home / "reports" / entry.data["report"]).read_text())
    for said in (
        entry.data["what"],
        entry.data["todo"],
        "arrivals_2013-04-03.csv.gz",
        "ContractBrokenError",
    ):
        assert said in page
    evidence = index.read("flights", days=7)
    (chip,) = dict(evidence.rows)[DATA_DAY][evidence.columns.index("arrivals")]
    assert (chip.path, chip.outcome) == (entry.data["report"], "REFUSED")
    (failed,) = mails(folder)
    assert f"Evidence: http://127.0.0.1:8080/plugin/evidence/evidence/{entry.data['report']}" in body(failed)
    assert holds.find(flights, "arrivals", DATA_DAY).report == entry.data["report"]

    feed.deliver(flights, DAY, number=2, sources=["arrivals"])
    cross(flights, smtp)

    text = "\n".join(show.traced(holds.trace(flights, "arrivals", DATA_DAY)))
    for mail in mails(folder):
        assert mail["Subject"] in text
    assert f"Evidence: {entry.data['report']}" in text
    assert len(mails(folder)) == 2


def test_trace_has_the_mails_of_its_own_table_and_day_only(flights):
    def told(subject, partition, **data):
        about = {"mail_subject": f"{subject} {partition}", "status": "sent", **data}
        ledger.append(records.Mail(**about), pipeline="flights", subject=subject, partition=partition)

    ledger.append(records.DeadlineMissed(), pipeline="flights", subject="arrivals", partition=DATA_DAY)
    told("stage_arrivals", DATA_DAY)
    told("landing", DATA_DAY, table="arrivals")
    told("publish_arrivals", DAY)  # an earlier version: by the day of the run
    told("stage_weather", DATA_DAY)
    told("weather", DATA_DAY)
    told("arrivals", DAY)
    told("predictions", DATA_DAY)

    trace = holds.trace(flights, "arrivals", DATA_DAY)

    found = [entry.data["mail_subject"] for entry in trace.entries if entry.kind == "mail"]
    assert found == [f"stage_arrivals {DATA_DAY}", f"landing {DATA_DAY}", f"publish_arrivals {DAY}"]


def test_trace_of_each_day_has_the_end_of_an_incident_of_several(flights, held, sink):
    smtp, _, _ = sink
    days = ["2013-04-02", "2013-04-03"]
    for day in days:
        tell(held.model_copy(update={"partition": day}), smtp)
    for day in days:
        publication(day)
        (over,) = notify.close_published(flights, "arrivals", day, smtp)
    assert (over.data["status"], over.partition) == ("resolved", None)
    for day in days:
        assert over.seq in [entry.seq for entry in holds.trace(flights, "arrivals", day).entries]


def test_fault_of_a_range_stays_open_until_each_of_its_days_is_published(flights, held, sink):
    smtp, _, _ = sink
    tell(held.model_copy(update={"partition": "2013-04-02..2013-04-03"}), smtp)
    publication("2013-04-03")
    assert notify.close_published(flights, "arrivals", "2013-04-03", smtp) == []
    publication("2013-04-02")
    (entry,) = notify.close_published(flights, "arrivals", "2013-04-02", smtp)
    assert entry.data["status"] == "resolved"


def test_fault_of_several_days_is_over_when_all_of_them_are_complete(flights, held, sink):
    smtp, _, _ = sink
    days = ["2013-04-02", "2013-04-03"]
    tell(held.model_copy(update={"partition": "..".join(days), "ends_with": EndsWith.of("completed")}), smtp)
    about = {"pipeline": "flights", "subject": "raw"}
    ledger.append(records.DayCompleted(first_day=days[1]), **about, partition=days[1])
    assert notify.close_completed(flights, days[1:], smtp) == []
    ledger.append(records.DayCompleted(first_day=days[0]), **about, partition=days[1])
    (entry,) = notify.close_completed(flights, days, smtp)
    (ending,) = entry.data["ended"].values()
    assert (ending["kind"], "2013-04-03 is complete" in ending["text"]) == ("stated", True)
