"""What depends on a column: what would have to be looked at before it is changed or taken away.

As exact as the parsed dbt project is. A model that reads the table is listed only if its SQL names the column (or takes
all columns); from there on dbt knows models and not columns, so everything that is built from such a model is listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare.contracts import PLATFORM_COLUMNS
from sluice.declare.spec import PREDICTIONS, Pipeline
from sluice.status.catalogue.entries import Users, users
from sluice.transform import lineage


@dataclass(frozen=True)
class Impact:
    """What depends on `table.column`."""

    table: str
    column: str
    # What the column is declared to be.
    declared: str
    # Rules of the table's suite that name it.
    rules: tuple[str, ...]
    # Mappings of the contract that name it, by version.
    mappings: tuple[int, ...]
    # Models that read the table and name the column; models that read the table and do not.
    direct: tuple[str, ...]
    untouched: tuple[str, ...]
    users: Users
    # Features of the model that may change.
    features: tuple[str, ...]
    # The answer is known by column, not only by model.
    exact: bool


def impact(spec: Pipeline, name: str) -> Impact:
    """What depends on a column, given as `table.column`.

    Raises:
        SpecInvalidError: there is no such table or column; lists those that there are.
        TransformFailedError: dbt cannot parse the project.
    """
    table, _, column = name.partition(".")
    declared = _declared(spec, table, column)
    graph = lineage.models(spec)
    reading = lineage.readers(graph, table)
    direct = [each for each in reading if graph[each].names(column)]
    found = users(spec, graph, lineage.built_from(graph, direct))
    declared_features = spec.model.features if spec.has_model else None
    features = (*declared_features.categorical, *declared_features.numeric) if declared_features else ()
    own = table == spec.features_table
    contract = spec.sources[table].contract if table in spec.sources else None
    if own:
        touched = tuple(each for each in features if each == column)
    else:
        touched = features if found.features else ()
    return Impact(
        table=table,
        column=column,
        declared=declared,
        rules=tuple(_rules(spec, table, column)),
        mappings=tuple(
            version
            for version, each in (contract.mappings.items() if contract else ())
            if column in {*each.rename.values(), *each.values, *each.scale, *each.fill}
        ),
        direct=tuple(direct),
        untouched=tuple(each for each in reading if each not in direct),
        users=found,
        features=touched,
        exact=not direct,
    )


def _declared(spec: Pipeline, table: str, column: str) -> str:
    """What a column is, in words."""
    if table not in spec.tables:
        raise SpecInvalidError(
            f"Pipeline {spec.pipeline!r} has no table {table!r}.",
            where=f"dags/pipelines/{spec.pipeline}.yml",
            allowed=", ".join(spec.tables),
            todo="give a column as TABLE.COLUMN, for example arrivals.arr_delay",
        )
    columns = _columns(spec, table)
    if column not in columns:
        raise SpecInvalidError(
            f"Table {table!r} has no column {column!r}.",
            where=f"{spec.pipeline}.{table}",
            allowed=", ".join(columns),
            todo="correct the name of the column",
        )
    return columns[column]


def _columns(spec: Pipeline, table: str) -> dict[str, str]:
    from sluice.gates.suites import columns_of

    if table not in spec.sources:
        return {name: kind.lower() for name, kind in columns_of(spec, table).items()}
    source = spec.sources[table]
    words = {}
    for name, column in source.contract.columns.items():
        parts = [column.type, column.unit, "personal data" if column.pii else ""]
        parts.append("part of the key" if name in source.key else "")
        words[name] = ", ".join(filter(None, parts))
    return {**words, **dict.fromkeys(PLATFORM_COLUMNS, "added by Sluice")}


def _rules(spec: Pipeline, table: str, column: str) -> Iterator[str]:
    """Names of the rules of a suite whose arguments name a column."""
    path = settings().expectations / spec.pipeline / f"{table}.json"
    if not path.is_file():
        return
    for rule in json.loads(path.read_text(encoding="utf-8"))["expectations"]:
        arguments = {key: value for key, value in rule["kwargs"].items() if key != "value_set"}
        if re.search(rf"\b{re.escape(column)}\b", json.dumps(arguments)):
            yield rule["meta"]["rule"]


def impact_lines(found: Impact, spec: Pipeline) -> Iterator[str]:
    """An impact as text."""

    def listed(title: str, names: tuple, note: str = "") -> str:
        return f"  {title:<22} {', '.join(map(str, names)) or '-'}{note}"

    yield f"{spec.pipeline}.{found.table}.{found.column}: {found.declared}"
    yield listed("rules that name it", found.rules)
    yield listed("mappings", found.mappings)
    yield listed("models that read it", found.direct)
    yield listed("models that do not", found.untouched)
    yield listed("built from them", tuple(each for each in found.users.models if each not in found.direct))
    yield listed("derived tables", found.users.derived)
    if model := spec.declared_model:
        yield listed("model features", found.features, f" ({len(found.features)})" if found.features else "")
        label = found.users.outcomes or (found.table, found.column) == (model.outcomes_table, model.label)
        yield listed("labels of the model", (model.label,) if label else ())
        yield listed("predictions", (model.name,) if found.features or found.table == PREDICTIONS else ())
    yield listed("declared consumers", found.users.exposures)
    if not found.exact:
        yield (
            "  Model-level: of the models that read the table, those are listed whose SQL names the column or takes "
            "all columns;"
        )
        yield "  beyond them dbt's manifest knows models, not columns, so all that is built from them is listed."
