"""What the catalogue says of each table, gathered from where it is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sluice import holds, ledger
from sluice.core.errors import DeliveryMissingError
from sluice.declare import pipeline_clock
from sluice.declare.spec import PREDICTIONS, Derived, Pipeline, Source
from sluice.holds import Hold
from sluice.lake import tables
from sluice.ledger import Entry
from sluice.status.catalogue.readiness import Readiness, Standing, readiness
from sluice.transform import lineage
from sluice.transform.lineage import Model


@dataclass(frozen=True)
class Users:
    """Who depends on a table."""

    models: tuple[str, ...]
    derived: tuple[str, ...]
    # Whether the model's features, and so its predictions, are made from it.
    features: bool
    outcomes: bool
    exposures: tuple[str, ...]


@dataclass(frozen=True)
class SourceEntry:
    name: str
    declared: Source
    standing: Standing
    readiness: Readiness
    users: Users


@dataclass(frozen=True)
class TableEntry:
    """A table that the pipeline makes: derived, or the predictions."""

    name: str
    declared: Derived | None
    owner: str
    newest: str | None
    outcome: str
    read_by: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    spec: Pipeline
    # The pipeline's day; None where its feed has not delivered yet.
    today: date | None
    sources: tuple[SourceEntry, ...]
    tables: tuple[TableEntry, ...]


def read(spec: Pipeline) -> Catalogue:
    """Gather the catalogue of a pipeline.

    Raises:
        TransformFailedError: dbt cannot parse the project.
    """
    now = _now(spec)
    graph = lineage.models(spec)
    held = holds.open_holds(spec) if now else []
    waived = holds.active_waivers(spec) if now else {}
    return Catalogue(
        spec=spec,
        today=now.date() if now else None,
        sources=tuple(_source(spec, name, graph, held, waived, now) for name in spec.sources),
        tables=tuple(_table(spec, name) for name in spec.tables if name not in spec.sources),
    )


def users(spec: Pipeline, graph: Mapping[str, Model], models: list[str]) -> Users:
    """Who depends on what is built by some models."""
    derived = tuple(name for name, each in spec.derived.items() if each.model in models)
    return Users(
        models=tuple(models),
        derived=derived,
        features=spec.features_table in derived,
        outcomes=spec.outcomes_table in derived,
        exposures=tuple(f"{name} ({owner})" for name, owner in lineage.exposures(spec, models).items()),
    )


def _now(spec: Pipeline) -> datetime | None:
    try:
        return pipeline_clock.now(spec)
    except DeliveryMissingError:
        return None


def _source(
    spec: Pipeline,
    name: str,
    graph: Mapping[str, Model],
    held: list[Hold],
    waived: Mapping[tuple[str, str], Entry],
    now: datetime | None,
) -> SourceEntry:
    declared = spec.sources[name]
    outcome, judged = _newest_verdict(spec, name)
    standing = Standing(
        newest=_newest_day(spec, name),
        outcome=outcome,
        judged=judged,
        # Single rows that were set aside are what a quarantine is for: the rest is as good as any.
        held=tuple(hold.partition for hold in held if hold.table == name and hold.kind != "quarantined"),
        waived=tuple(day for table, day in waived if table == name),
    )
    models = lineage.built_from(graph, lineage.readers(graph, name))
    return SourceEntry(
        name, declared, standing, readiness(spec, name, standing, now), users(spec, graph, models)
    )


def _table(spec: Pipeline, name: str) -> TableEntry:
    read_by = []
    if name in (spec.features_table, spec.outcomes_table):
        read_by.append(f"model {spec.model.name}")
    if name == spec.features_table:
        read_by.append(PREDICTIONS)
    if name in (PREDICTIONS, spec.outcomes_table):
        read_by.append("monitoring")
    return TableEntry(
        name=name,
        declared=spec.derived.get(name),
        owner=spec.owner_of(name),
        newest=_newest_day(spec, name),
        outcome=_newest_verdict(spec, name)[0],
        read_by=tuple(read_by),
    )


def _newest_day(spec: Pipeline, name: str) -> str | None:
    return max(tables.published(spec.pipeline, name), default=None)


def _newest_verdict(spec: Pipeline, name: str) -> tuple[str, str]:
    """Outcome of the newest verdict about a table, and its days."""
    newest = [
        entry
        for kind in ("verdict", "held")
        for entry in ledger.entries(kind=kind, pipeline=spec.pipeline, subject=name, limit=1)
    ]
    entry = max(newest, key=lambda each: each.seq, default=None)
    return (entry.record.outcome, entry.partition or "") if entry else ("", "")
