"""A document of sections, each of named facts and tables: plain text, that a page and Markdown render in their own ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.core.printable import as_markdown


@dataclass(frozen=True)
class Fact:
    """A name and what is said of it; `is_missing` where only a person could say it, and nobody has."""

    name: str
    said: str
    is_missing: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of as many texts as there are columns; the first text of a row names it."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    title: str
    facts: Sequence[Fact]
    tables: Sequence[Table] = ()


@dataclass(frozen=True)
class Document:
    """`lead` says in sentences what matters first."""

    title: str
    version: int
    lead: Sequence[str]
    sections: Sequence[Section]


def markdown(document: Document) -> Iterator[str]:
    """As lines of Markdown. Each text follows a mark of ours on its line, so that none can begin a block."""
    yield f"# {as_markdown(document.title)}"
    yield ""
    yield from (f"> {as_markdown(sentence)}" for sentence in document.lead)
    for section in document.sections:
        yield ""
        yield f"## {as_markdown(section.title)}"
        yield ""
        for fact in section.facts:
            said = as_markdown(fact.said)
            yield f"- **{as_markdown(fact.name)}:** {f'*{said}*' if fact.is_missing else said}"
        for table in section.tables:
            yield ""
            yield f"**{as_markdown(table.caption)}**"
            yield ""
            yield _row(table.columns)
            yield "|---" * len(table.columns) + "|"
            yield from map(_row, table.rows)


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(as_markdown, texts))} |"


def estimate(found: Mapping[str, float] | None, shown: str = ".3f") -> str:
    """A measured value with its interval."""
    if not found:
        return "not recorded"
    return f"{found['value']:{shown}} ({found['low']:{shown}} to {found['high']:{shown}})"


def days(split: Mapping[str, Any]) -> str:
    """A part of the training set, as `ModelMeta.splits` describes it."""
    if not split:
        return "not recorded"
    return (
        f"{split['first']} to {split['last']}: {split['days']} days, {split['rows']:,} rows, {split['label_rate']:.1%} of which "
        "came true"
    )


def listed(texts: Sequence[str], none: str) -> str:
    return ", ".join(texts) or none
