"""What is delivered can forge nothing of what the platform says, wherever it is shown."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sluice import crossing, holds, ledger
from sluice.cli import main
from sluice.core.errors import SluiceError
from sluice.core.printable import as_code, as_markdown, printable, printable_all
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.declare import pipeline_clock, spec
from sluice.gates import refusal
from sluice.ingest import deliveries
from sluice.lake import batches
from sluice.lake.landing import Landing
from sluice.notify import report
from sluice.notify.compose import compose
from sluice_lab.feed import data

DAY = "2013-04-01"
RUN = Run(dag_id="flights_ingest", run_id="test")
# Line breaks of every kind, a terminal's escapes, a reversed text, what cannot be seen, Markdown and HTML.
FORGED = "WHAT TO DO NEXT"
HOSTILE = (
    f"A\r\n\r\n{FORGED}\r\n1. Approve it.\n\nBcc: x@evil.example\x1b[2J\x1b]0;t\x07\x9b31m\u202egpj\u2066\u2028\u2029\x85"
    "\u200b\ufeff\x7f](http://evil.example) <script>alert(1)</script> <img src=x> `` ` ``` **b**"
)


def _bad(text: str) -> list[str]:
    """Characters that are not printable, other than line breaks of ours."""
    return sorted({each for each in text.replace("\n", "") if not each.isprintable()})


def _rows() -> bytes:
    """The carriers of a day, one of them hostile, with a hostile column that the contract does not declare."""
    rows = data.rows("airlines", date.fromisoformat(DAY)).to_pylist()
    rows.append({"carrier": HOSTILE, "name": HOSTILE})
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["carrier", "name", HOSTILE])
    writer.writerows([row["carrier"], row["name"], "1"] for row in rows)
    return out.getvalue().encode()


@pytest.fixture
def flights(home) -> spec.Pipeline:
    loaded = spec.load("flights")
    pipeline_clock.advance(loaded, date.fromisoformat(DAY))
    return loaded


@pytest.fixture
def held(flights):
    """The verdict of a batch with a hostile row, which a rule about its value holds."""
    deliveries.land(flights, "airlines", DAY, _rows())
    batch = crossing.stage(flights, "airlines", [DAY], RUN).batch_id
    return crossing.audit(flights, "airlines", batch, RUN)


def _mail(event):
    message = compose(event, sender="a@b", to=["c@d"])
    content = message.as_bytes().decode("ascii")
    assert message["Bcc"] is None
    assert not _bad(content), "what is sent"
    for part in message.walk():
        if not part.is_multipart():
            text = part.get_content()
            assert not _bad(text)
            if part.get_content_type() == "text/html":
                assert "<script" not in text
                assert "<img" not in text
            else:
                assert sum(line.strip().startswith(FORGED) for line in text.split("\n")) == 1
    assert not _bad(message["Subject"])
    return message


def _command(*arguments: str) -> str:
    result = CliRunner().invoke(main, list(arguments))
    assert not _bad(result.output), arguments
    assert not any(line.strip().startswith(FORGED) for line in result.output.splitlines()), arguments
    return result.output


def test_hostile_row_is_shown_printable_in_mail_page_terminal_and_question(flights, held):
    assert held.outcome == "HOLD"
    assert any(HOSTILE in one.row.values() for one in held.sample), "the value is kept as it was delivered"
    mail = _mail(report.of_verdict(flights, held, task_url="https://a/b"))
    assert r"A\r\n\r\nWHAT TO DO NEXT" in re.sub(r"\s+", " ", mail.get_body(("plain",)).get_content())
    page = (settings().home / "reports" / held.report).read_text(encoding="utf-8")
    assert not _bad(page)
    assert "<script>alert" not in page
    assert r"\u202egpj" in page
    for command in (("held",), ("held", "flights"), ("trace", "flights", "airlines", DAY), ("ledger",)):
        assert "airlines" in _command(*command)
    assert not _bad(
        "".join(note.sentence() for note in batches.load("flights", "airlines", held.batch_id).noted)
    )


def test_word_of_a_person_is_shown_printable(flights, held):
    holds.release(
        flights, "airlines", DAY, by=HOSTILE, why=HOSTILE, until="2013-05-01", run=Run(run_id="sluice release")
    )  # fmt: skip
    (waiver,) = ledger.entries(kind="waiver")
    assert waiver.data["why"].startswith("A")
    assert "WHAT TO DO NEXT" in _command("trace", "flights", "airlines", DAY)
    for command in (("held", "flights"), ("ledger",), ("watch", "flights")):
        _command(*command)


def test_question_for_approval_has_no_link_or_html_of_a_stranger(flights, held):
    from sluice.orchestration.operate import question

    hold = holds.find(flights, "airlines", DAY)
    body = question(flights, hold, asked_by=HOSTILE, why=HOSTILE, until="2013-05-01", second=True)
    assert not _bad(body)
    outside = re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", body)
    assert "evil" not in outside
    assert "<" not in outside
    assert outside.count("](http") == 1, "the evidence"
    assert not any(line.startswith((FORGED, "1.")) for line in body.split("\n"))


def test_hostile_name_of_a_file_is_refused_printable(flights):
    landing = Landing(flights.landing_url)
    landing.create()
    folder = f"flights/airlines/{DAY}"
    name = f"{folder}/{HOSTILE.replace('/', '|')[:120]}.csv"
    landing.write(name, b"carrier,name\n")
    landing.write(
        f"{name}.manifest.json",
        json.dumps({"sha256": "0" * 64, "rows": 1, "bytes": 13, "file": HOSTILE}).encode(),
    )
    with pytest.raises(SluiceError) as caught:
        crossing.stage(flights, "airlines", [DAY], RUN)
    _refused(flights, caught.value, "airlines")


def _refused(flights, error: SluiceError, table: str) -> str:
    assert str(error).isprintable()
    event = report.of_exception(
        flights, error, task_id=f"{table}.stage_{table}", run_id="r", partition=DAY, task_url="https://a/b"
    )
    _mail(event)
    return str(error)


def test_hostile_value_where_a_number_belongs_is_refused_printable(flights):
    rows = data.rows("airports", date.fromisoformat(DAY)).slice(0, 3).to_pylist()
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "alt": HOSTILE} for row in rows)
    with pytest.raises(SluiceError) as caught:
        deliveries.land(flights, "airports", DAY, out.getvalue().encode())
    assert r"A\r\n\r\nWHAT TO DO NEXT" in _refused(flights, caught.value, "airports")


def test_hostile_message_of_another_library_is_one_line_of_the_mail(flights):
    event = report.of_exception(
        flights, ValueError(HOSTILE), task_id="x", run_id="r", partition=DAY, task_url="https://a/b"
    )
    _mail(event)


def test_names_of_delivered_files_forge_nothing_of_the_page_of_a_refusal(home):
    error = SluiceError("It cannot be read.")
    path = refusal.write("flights", "airlines", [DAY], error, files=[f"airlines/{HOSTILE}"], run=RUN)
    page = (settings().home / "reports" / path).read_text(encoding="utf-8")
    assert (_bad(page), r"\u202egpj" in page) == ([], True)


@pytest.mark.parametrize(
    "each", [*map(chr, range(32)), "\x7f", "\x85", "\u202e", "\u2028", "\ud800", "\U000e0041"]
)
def test_printable_escapes_every_character_that_is_not(each):
    assert printable(f"é{each}日").isprintable()
    assert printable(f"é{each}日").startswith("é")
    assert printable(printable(each)) == printable(each)
    assert printable_all({each: [(each, 1)]}) == {printable(each): [(printable(each), 1)]}


@pytest.mark.parametrize("text", ["a", "`", "``a", "a`b``c", " `a` ", "a\nb", "[x](http://y)", "", "   "])
def test_as_code_is_one_span_whatever_is_in_it(text):
    from markdown_it import MarkdownIt

    parsed = MarkdownIt("commonmark").enable("table").parse(f"before {as_code(text)} after")
    inline = next((token for token in parsed if token.type == "inline"), None)
    kinds = [child.type for child in inline.children]
    assert kinds == (["text", "code_inline", "text"] if text.strip() else ["text"])


@example("http://e.example FTP://e.example //e.example www.e.example a@e.example @name mailto:a@e.example")
@example("_a_ __b__ *c* [d](http://e.example) ![f](g) <h@i.example> <b> &lt; `j` ~~k~~ l|m")
@given(st.text(st.sampled_from("ab \\`*_[](){}<>#+-.!|~&;:/=$\n\"'0") | st.characters(), max_size=40))
def test_text_in_a_line_of_markdown_reads_as_it_is_and_is_no_markup(text):
    """As CommonMark and the tables, strikethroughs and bare addresses of GitHub are read by markdown-it."""
    reader = MarkdownIt("commonmark", {"linkify": True}).enable(["table", "strikethrough", "linkify"])
    # A name without www. is no address on GitHub.
    reader.linkify.set({"fuzzy_link": False, "fuzzy_email": True})
    tokens = reader.parse(f"- name: {as_markdown(text)}")
    (inline,) = (one for one in tokens if one.type == "inline")
    assert {one.type for one in inline.children or ()} <= {"text", "text_special"}
    assert "".join(one.content for one in inline.children or ()) == f"name: {printable(text)}".strip()


def test_address_in_a_line_of_markdown_is_taken_apart():
    """GitHub links www., which markdown-it does only with every name that has a dot."""
    assert as_markdown("www.e.example WWW.e.example") == r"www\.e.example WWW\.e.example"
    assert as_markdown("see http://e.example, @name") == r"see http:/\/e.example, \@name"
    assert as_markdown("2013/04/01 at 1.5") == "2013/04/01 at 1.5"
