"""Which dbt models are made from which tables: the graph of the parsed project, as plain values.

The graph is dbt's, and it knows models. It does not know columns; `names` adds what can be read off a model's SQL without
understanding it, whether a column's name is in it at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.declare.spec import Pipeline
from sluice.transform import project

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# SQL and Jinja comments.
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/|\{#.*?#\}", re.DOTALL)
# `select * from {{ ref(...) }}` only gives a table another name.
_IMPORT = re.compile(r"select\s+\*\s+from\s+\{\{[^}]*\}\}", re.IGNORECASE)
_STAR = re.compile(r"(\bselect|,|\.)\s*\*", re.IGNORECASE)


@dataclass(frozen=True)
class Model:
    """A dbt model of the pipeline."""

    name: str
    # What it reads directly: tables of the pipeline, and other models.
    tables: tuple[str, ...]
    models: tuple[str, ...]
    # Its SQL with the macros of the project that it uses, without comments.
    sql: str
    # Models that the yml names as its companions: rows left out, rows unmatched.
    companions: tuple[str, ...] = ()

    def names(self, column: str) -> bool:
        """Whether the SQL names a column, or takes all columns of something and may so pass it on."""
        named = re.search(rf"\b{re.escape(column)}\b", self.sql, re.IGNORECASE)
        return bool(named or _STAR.search(_IMPORT.sub("", self.sql)))


def models(spec: Pipeline) -> dict[str, Model]:
    """The models of a pipeline's folder, by name.

    Raises:
        TransformFailedError: dbt cannot parse the project.
    """
    parsed = project.manifest(spec)
    return {
        node.name: _model(parsed, node, spec)
        for node in parsed.nodes.values()
        if node.resource_type == "model" and node.path.split("/")[0] == spec.pipeline
    }


def exposures(spec: Pipeline, among: Collection[str]) -> dict[str, str]:
    """Consumers outside the project that are declared to read one of these models: name -> owner."""
    parsed = project.manifest(spec)
    wanted = {key for key, node in parsed.nodes.items() if node.name in among}
    return {
        each.name: str(each.owner.name or each.owner.email or "no owner")
        for each in parsed.exposures.values()
        if wanted & set(each.depends_on_nodes)
    }


def declared_sources(spec: Pipeline) -> list[str]:
    """Tables of the pipeline that the project's sources.yml names, sorted."""
    found = project.manifest(spec).sources.values()
    return sorted(each.name for each in found if each.source_name == spec.pipeline)


def readers(graph: Mapping[str, Model], table: str) -> list[str]:
    """Models that read a table directly, sorted."""
    return sorted(name for name, model in graph.items() if table in model.tables)


def built_from(graph: Mapping[str, Model], names: Collection[str]) -> list[str]:
    """These models and all that are built from them, sorted."""
    found, waiting = set(names), list(names)
    while waiting:
        name = waiting.pop()
        new = [each for each, model in graph.items() if name in model.models and each not in found]
        found.update(new)
        waiting += new
    return sorted(found)


def used(graph: Mapping[str, Model], spec: Pipeline) -> set[str]:
    """Models that some derived table is made of, directly or through others, with their companions."""
    waiting, found = [derived.model for derived in spec.derived.values()], set()
    while waiting:
        name = waiting.pop()
        if name in graph and name not in found:
            found.add(name)
            waiting += [*graph[name].models, *graph[name].companions]
    return found


def _model(parsed: Manifest, node, spec: Pipeline) -> Model:
    above = node.depends_on_nodes
    read = [parsed.sources[key] for key in above if key in parsed.sources]
    macros = [parsed.macros[key] for key in node.depends_on.macros if key in parsed.macros]
    own = [macro.macro_sql for macro in macros if macro.package_name == node.package_name]
    meta = node.config.meta
    return Model(
        name=node.name,
        tables=tuple(sorted(each.name for each in read if each.source_name == spec.pipeline)),
        models=tuple(sorted(parsed.nodes[key].name for key in above if key in parsed.nodes)),
        sql=_COMMENT.sub(" ", "\n".join([node.raw_code, *own])),
        companions=tuple(str(meta[key]) for key in ("left_out", "unmatched") if meta.get(key)),
    )
