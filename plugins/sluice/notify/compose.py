"""An event as a mail: a subject that says it all, text, and HTML that mail clients can show.

A kind of event is one file in `templates/`, with three macros: `subject`, `headline` and `meaning`, the sentences that
follow the event's own about what readers see. The two layouts do the rest. The HTML uses tables and inline styles,
because that is what mail clients keep; its only `<style>` block adds a dark scheme and narrow screens for those that
read it. The text is folded at 78 columns; only commands and addresses, which must stay whole, may be longer.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, select_autoescape

from sluice.core.markup import template_environment
from sluice.notify.events import Event, FailingRow

TEMPLATES = Path(__file__).parent / "templates"
# Longer subjects are cut by mail clients, and a pathological name must not fill the header.
SUBJECT_CHARS = 160
VALUE_CHARS = 60
TEXT_COLUMNS = 78

_SUBJECTS = {
    "failed_task": "Task",
    "failed_run": "DAG",
    "stuck_day": "DAG",
    "refused_model": "Model",
    "damaged_model": "Model",
    "stuck_model": "Model",
    "approval_requested": "Model",
    "rollback_requested": "Model",
    "rolled_back": "Model",
    "digest": "About",
    "fitness": "About",
    "resolved": "About",
    "broken_declaration": "About",
    "unexpected_file": "About",
}


def compose(
    event: Event, *, sender: str, to: Sequence[str], key: str = "", answers: str = ""
) -> EmailMessage:
    """The mail about `event`, ready to send: plain text with an HTML alternative.

    The Message-ID is made from a key, so that a mail that had to be sent again is recognised as the same.

    Args:
        key: identity of the mail; the event's own, if empty.
        answers: key of the mail that this one is a reply to.
    """
    said = sentences(event)
    subject = said["subject"]
    context = {
        "event": event,
        **said,
        "facts": _facts(event),
        "name": " ".join(filter(None, (event.pipeline, event.subject, event.partition))),
        "rows": [_cells(event, row) for row in event.sample],
    }
    message = EmailMessage()
    message["Subject"] = subject if len(subject) <= SUBJECT_CHARS else subject[: SUBJECT_CHARS - 1] + "…"
    message["From"] = sender
    message["To"] = ", ".join(to)
    message["Date"] = format_datetime(event.occurred_at)
    message["Message-ID"] = f"<{key or event.key}@sluice>"
    if answers:
        message["In-Reply-To"] = message["References"] = f"<{answers}@sluice>"
    # So that out-of-office replies and other robots leave it alone (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_environment().get_template("layout.txt.j2").render(context))
    message.add_alternative(_environment().get_template("layout.html.j2").render(context), subtype="html")
    return message


def sentences(event: Event) -> dict[str, str]:
    """What a mail and a message say first: subject, headline, what readers see, and what happened."""
    kind: Any = _environment().get_template(f"{event.kind}.j2").module
    said = {"subject": kind.subject, "headline": kind.headline, "meaning": kind.meaning}
    return {"effect": _one_line(event.effect), **{name: _one_line(of(event)) for name, of in said.items()}}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # The kinds' sentences are plain text, escaped where the HTML layout prints them.
    only_html = select_autoescape(["html.j2"], default_for_string=False, default=False)
    environment = template_environment("sluice.notify", autoescape=only_html)
    environment.filters["fold"] = _fold
    return environment


def _fold(text: object, lead: str = "") -> str:
    """Text in lines that fit, the first after `lead`, the others indented as far."""
    lines = str(text).splitlines() or [""]
    indent = " " * len(lead)
    return "\n".join(
        textwrap.fill(
            line,
            TEXT_COLUMNS,
            initial_indent=indent if at else lead,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for at, line in enumerate(lines)
    )


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _facts(event: Event) -> dict[str, str]:
    """What the mail is about, as label to value, without what does not apply."""
    facts = {
        "Pipeline": event.pipeline,
        _SUBJECTS.get(event.kind, "Table"): event.subject,
        "Task": event.task or (event.subject if event.kind == "failed_task" else None),
        "Partition": event.partition,
        "Run": event.run_day,
        "Rows": None if event.rows is None else f"{event.rows:,}",
        **event.facts,
        "Owner": event.owner,
        "When": event.occurred_at.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }
    return {label: value for label, value in facts.items() if value}


def _cells(event: Event, failing: FailingRow) -> dict[str, Any]:
    """A failing row's cells, those that the rule is about first."""
    about = {name for rule in event.rules if rule.rule in failing.rules for name in rule.columns}
    names = sorted(failing.row, key=lambda name: name not in about)
    cells = [(f"{name}={_value(failing.row[name])}", name in about) for name in names]
    return {"rules": ", ".join(failing.rules), "cells": cells, "text": ", ".join(cell for cell, _ in cells)}


def _value(value: Any) -> str:
    """Shortened, but a number as it was delivered can still be searched for: only what was computed has more digits."""
    text = "null" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
