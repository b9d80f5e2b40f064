"""The glossary has the terms that a reader of a mail or a page meets first."""

from __future__ import annotations

import re
from typing import get_args

from sluice.core.settings import ROOT
from sluice.gates.verdict import Outcome, Severity


def _page() -> str:
    return (ROOT / "docs" / "glossary.md").read_text()


def test_every_kind_of_mail_is_a_term():
    """The word in brackets that a subject begins with."""
    kinds = {
        kind
        for template in (ROOT / "plugins").rglob("*.j2")
        for kind in re.findall(r"\[sluice\]\[([A-Z]+)\]", template.read_text())
    }
    assert len(kinds) > 8
    cells = re.findall(r"^\| ([^|]+) \|", _page(), re.MULTILINE)
    terms = {term for cell in cells for term in cell.split(", ")}
    assert kinds <= terms, f"write it into docs/glossary.md: {sorted(kinds - terms)}"


def test_every_verdict_and_severity_is_explained():
    (verdict,) = re.findall(r"^\| verdict \|(.*)$", _page(), re.MULTILINE)
    (severity,) = re.findall(r"^\| severity \|(.*)$", _page(), re.MULTILINE)
    assert set(get_args(Outcome)) <= set(re.findall(r"\w+", verdict))
    assert {f"`{name}`" for name in get_args(Severity)} <= set(re.findall(r"`\w+`", severity))
