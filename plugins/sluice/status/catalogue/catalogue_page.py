"""The catalogue for people: one self-contained page under the reports, where the evidence index lists it; or text."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from jinja2 import Template

from sluice.core import clock
from sluice.core.markup import page_environment
from sluice.lake import evidence
from sluice.status.catalogue.entries import Catalogue, SourceEntry


def write(catalogue: Catalogue) -> str:
    """Write the page in one atomic step; return its name as evidence."""
    page = f"{catalogue.spec.pipeline}/catalogue/index.html"
    evidence.write(page, render(catalogue).encode())
    return page


def render(catalogue: Catalogue) -> str:
    """The page, as HTML."""
    return _template().render(
        catalogue=catalogue, spec=catalogue.spec, made_at=clock.utc_now(), purpose=purpose
    )


def lines(catalogue: Catalogue) -> Iterator[str]:
    """The catalogue as text."""
    spec = catalogue.spec
    yield f"{spec.pipeline}: {spec.title}. Owner {spec.owner}, today {catalogue.today or 'not known yet'}"
    for entry in catalogue.sources:
        source = entry.declared
        yield ""
        yield f"{entry.readiness.band or '-'}  {entry.name}: {source.description}"
        yield f"   {source.grain}; key {', '.join(source.key)}; {source.cadence} {source.format}, due {source.deadline}"
        yield f"   owner {source.owner}; licence {source.licence}; personal data: {source.pii}"
        yield f"   purpose: {source.purpose}, {purpose(entry)}"
        newest = entry.standing.newest or "nothing published"
        yield f"   newest {newest}; newest verdict {entry.standing.outcome or 'none'}"
        for said in entry.readiness.missing:
            yield f"   not {'A' if entry.readiness.band == 'B' else 'more'}: {said}"
        yield f"   contract version {', '.join(map(str, source.contract.versions))}:"
        for name, column in source.contract.columns.items():
            words = [
                column.type,
                column.unit,
                "personal" if column.pii else "",
                "may be null" if column.nullable else "",
            ]
            yield f"     {name:<18} {', '.join(filter(None, words))}"
        yield f"   used by: {', '.join((*_uses(entry), *entry.users.models)) or 'nobody'}"
    yield ""
    for table in catalogue.tables:
        read_by = ", ".join(table.read_by) or "nobody"
        newest = table.newest or "nothing published"
        yield f"{table.name}: owner {table.owner}; newest {newest}, {table.outcome or 'no verdict'}; used by: {read_by}"


def purpose(entry: SourceEntry) -> str:
    """How long the purpose of a source holds, in words."""
    expires = entry.declared.purpose_expires
    return f"until {expires}" if expires else "without an end"


def _uses(entry: SourceEntry) -> Iterator[str]:
    yield from (f"table {name}" for name in entry.users.derived)
    if entry.users.features:
        yield "features and predictions of the model"
    if entry.users.outcomes:
        yield "labels of the model"
    yield from entry.users.exposures


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = page_environment("sluice.status.catalogue")
    environment.globals["uses"] = _uses
    return environment.get_template("catalogue.html.j2")
