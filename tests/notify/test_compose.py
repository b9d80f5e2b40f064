from __future__ import annotations

import re
from email import message_from_bytes
from email.policy import default

import pytest

from sluice.core.settings import ROOT
from sluice.notify.compose import TEMPLATES, compose
from sluice.notify.events import Event


def read(event: Event) -> tuple[str, str, str]:
    """Subject, text and HTML as the recipient's client reads them: after the bytes have travelled."""
    sent = compose(event, sender="sluice@localhost", to=["oncall@example.com"])
    message = message_from_bytes(sent.as_bytes(), policy=default)
    parts = {part.get_content_subtype(): part.get_content() for part in message.iter_parts()}
    return message["Subject"], parts["plain"], parts["html"]


def changed(event: Event, **fields) -> Event:
    return Event(**{**event.model_dump(), **fields})


def test_compose_held_batch_says_everything_in_both_forms(held):
    subject, text, html = read(held)

    assert subject == "[sluice][HOLD] flights arrivals 2013-02-08: 2 of 14 rules failed, 930 rows held"
    told = [
        "air_time_in_minutes",
        "No flight out of New York is in the air",
        "airport-operations",
        "air_time=10980",
        "flights.features",
        "Ask airport-operations for a corrected file",
        "http://127.0.0.1:8080/dags/flights_ingest/runs/r1/tasks/audit_arrivals",
        "2013-02-09 09:15:04 UTC",
    ]
    for form in (text, html):
        assert [fact for fact in told if fact not in form] == []


def test_compose_held_batch_counts_the_rules_that_hold_and_shows_those_that_warn(held):
    holding, warning = (rule.model_dump() for rule in held.rules)
    warned = changed(held, rules=[holding, {**warning, "severity": "warn", "holds": False}])
    subject, text, _ = read(warned)
    assert subject == "[sluice][HOLD] flights arrivals 2013-02-08: 1 of 14 rules failed, 930 rows held"
    assert "delay_in_minutes" in text
    subject, text, _ = read(changed(held, rules=[{**warning, "severity": "warn", "holds": False}], rows=0))
    assert subject == "[sluice][HOLD] flights arrivals 2013-02-08: no rows, 0 rows held"
    assert "because there are no rows." in text


def test_compose_held_batch_leads_with_its_probable_cause(held):
    sentence = (
        "air_time is about 60 times as large as expected in 100% of the rows: seconds instead of minutes?"
    )
    subject, text, html = read(changed(held, probable_kind="another unit", probable_cause=sentence))
    assert subject == (
        "[sluice][HOLD] flights arrivals 2013-02-08: another unit? 2 of 14 rules failed, 930 rows held"
    )
    cause = " ".join(text.split("\n\n")[2].split())
    assert cause == f"Probable cause: {sentence}"
    assert sentence in html


def test_compose_opens_with_what_readers_see_then_what_broke_and_what_to_do(held):
    _, text, html = read(held)

    headline, effect, meaning = text.split("\n\n")[:3]

    assert headline == "HELD: FLIGHTS ARRIVALS 2013-02-08"
    assert " ".join(effect.split()) == held.effect
    assert meaning.startswith("930 rows were not published, because 2 of 14 rules failed.")
    order = [held.effect, "Rules that failed", "Failing rows", ">airport-operations</td>", "What to do next"]
    assert sorted(order, key=html.index) == order


def test_compose_text_fits_78_columns_but_for_what_must_stay_whole(held):
    long = "a sentence of words that goes on " * 9
    _, text, _ = read(changed(held, summary=long, next_steps=[long], not_published=[long], effect=long))

    wide = [line for line in text.splitlines() if len(line) > 78]

    assert all(line.startswith("sluice ") or "http://" in line for line in wide), wide


def test_compose_code_is_shown_as_code(held):
    step = "Run `sluice check`, then <b>`x < y`</b> on 2013-02-08."
    _, text, html = read(changed(held, next_steps=[step], summary=step, effect=step))

    assert step in " ".join(text.split())
    shown = 'Run <code>sluice check</code>, then &lt;b&gt;<code>x &lt; y</code>&lt;/b&gt; on <span style="white-space:nowrap;">2013-02-08</span>.'
    assert html.count(shown) == 3, "the effect, the summary and the step"
    assert "`" not in html


def test_compose_failing_row_with_several_rules_names_them_all(held):
    rules = [rule.rule for rule in held.rules]
    _, text, html = read(changed(held, sample=[{"rules": rules, "row": held.sample[0].row}]))

    for form in (text, html):
        assert "air_time_in_minutes, delay_in_minutes" in form
    assert all(
        text.index(about) < text.index("flight_date=") for about in ("air_time=", "dep_delay=", "arr_delay=")
    )


def test_compose_failing_row_shows_the_columns_that_the_rule_is_about_first(held):
    _, text, html = read(held)

    assert "dep_delay=-120, arr_delay=-780, flight_date=2013-02-08" in text
    assert ">dep_delay=-120</b>" in html
    assert "tailnum=null" in text


def test_compose_number_is_short_where_it_was_computed_and_whole_where_it_was_delivered(held):
    row = {"share": 1 / 6, "mean": 0.1 + 0.2, "lat": 40.639751, "flight": 12345678901234}
    event = changed(held, sample=[{"rules": ["delay_in_minutes"], "row": row}])

    _, text, _ = read(event)

    for told in ("share=0.1666666667", "mean=0.3", "lat=40.639751", "flight=12345678901234"):
        assert told in " ".join(text.split()) + ",", text


def test_compose_broken_gate_does_not_call_the_data_bad(held):
    event = changed(held, kind="broken_gate", rules=(), sample=(), summary="The suite is missing.")

    subject, text, _ = read(event)

    assert subject == "[sluice][ERROR] flights arrivals 2013-02-08: the gate broke, 930 rows not published"
    assert "Whether the data is good is not known." in " ".join(text.split())
    assert "FAILING ROWS" not in text


def test_compose_failed_task_without_partition_or_batch_reads_whole(held):
    event = changed(
        held,
        kind="failed_task",
        subject="train_candidate",
        partition=None,
        rows=None,
        rules=(),
        sample=(),
        summary="The bucket s3://landing did not answer.\nWhere: landing.",
    )

    subject, text, html = read(event)

    assert subject == "[sluice][FAILED] flights train_candidate: The bucket s3://landing did not answer."
    assert "None" not in text + html
    assert "Task:        train_candidate" in text


@pytest.mark.parametrize(
    ("rows", "told"), [(1, "1 row held"), (0, "0 rows held"), (12345, "12,345 rows held")]
)
def test_compose_counts_rows_in_words(held, rows, told):
    assert read(changed(held, rows=rows))[0].endswith(told)


def test_compose_data_with_markup_is_shown_and_not_obeyed(held):
    attack = '<img src=x onerror="alert(1)">'
    event = changed(
        held,
        subject=attack,
        summary=attack,
        next_steps=[attack],
        not_published=[attack],
        sample=[{"rules": [attack], "row": {attack: attack}}],
    )

    _, text, html = read(event)

    assert "<img" not in html
    assert "&lt;img src=x" in html
    assert attack in text


def test_compose_subject_with_line_breaks_stays_one_header(held):
    event = changed(held, subject="arrivals\r\nBcc: everybody@example.com")

    message = compose(event, sender="sluice@localhost", to=["oncall@example.com"])

    assert message["Bcc"] is None
    assert r"arrivals\r\nBcc:" in message["Subject"]


def test_compose_endless_subject_is_cut(held):
    subject, _, _ = read(changed(held, subject="x" * 5000))

    assert len(subject) == 160


def test_compose_twice_for_the_same_event_has_the_same_message_id(held):
    ids = {compose(held, sender="a@example.com", to=["b@example.com"])["Message-ID"] for _ in range(2)}

    assert ids == {f"<{held.key}@sluice>"}


def test_compose_long_unicode_values_survive_the_journey(held):
    event = changed(held, sample=[{"rules": ["names"], "row": {"name": "Zürich, 東京 " * 200}}])

    _, text, _ = read(event)

    assert "name=Zürich, 東京" in text
    assert max(map(len, text.splitlines())) < 998


def test_operations_page_lists_every_kind_of_mail_by_its_subject():
    templates = "".join(path.read_text() for path in TEMPLATES.glob("*.j2"))
    kinds = set(re.findall(r"\[sluice\](\[[A-Z]+\])", templates))
    page = (ROOT / "docs" / "operations.md").read_text()

    assert len(kinds) > 9
    assert [kind for kind in sorted(kinds) if f"| `{kind}` |" not in page] == []
