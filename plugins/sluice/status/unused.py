"""What is declared and does nothing: keys that are mistyped, or left over from something that is gone.

The rule kept here: a declaration that nobody reads is an error, because whoever wrote it believes that it works. Unknown
keys of the pipeline's YAML are refused when it is read, and unknown `SLUICE_` variables by `sluice check`; this is the
rest: suites, dbt models and vars, features, and lists of values that do not say the same twice.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline, pipeline_names
from sluice.lake.columns import PLATFORM

if TYPE_CHECKING:
    from sluice.transform.lineage import Model

# What Great Expectations writes into a suite, and into an expectation.
_SUITE_KEYS = {"name", "expectations", "meta", "id", "notes", "suite_parameters", "data_context_id"}
_RULE_KEYS = {"type", "kwargs", "meta", "id", "description", "notes", "rendered_content", "severity"}
_IN_SET = "expect_column_values_to_be_in_set"


def check(spec: Pipeline) -> None:
    """Look for declarations of a pipeline that nobody reads.

    Raises:
        SpecInvalidError: lists all of them.
        TransformFailedError: dbt cannot parse the project.
    """
    from sluice.transform import lineage

    graph = lineage.models(spec)
    found = [*_suites(spec), *_values(spec), *_features(spec), *_models(spec, graph), *_dbt_project(spec)]
    if found:
        raise SpecInvalidError(
            "; ".join(found),
            where=f"declarations of {spec.pipeline}",
            todo="correct the name, or remove what is not needed any more",
        )


def _suites(spec: Pipeline) -> Iterator[str]:
    """Suites of tables that are not declared, and keys in suites that mean nothing."""
    for folder in sorted(path.name for path in settings().expectations.iterdir() if path.is_dir()):
        if folder not in pipeline_names():
            yield f"expectations/{folder} is of no pipeline{_near(folder, pipeline_names())}"
    for path in sorted((settings().expectations / spec.pipeline).glob("*.json")):
        if path.stem not in spec.tables:
            yield f"{path.name} is the suite of no declared table{_near(path.stem, spec.tables)}"
            continue
        suite = _json(path)
        for key in sorted(set(suite) - _SUITE_KEYS):
            yield f"{path.name}: key {key!r} means nothing{_near(key, _SUITE_KEYS)}"
        named = suite.get("name", f"{spec.pipeline}.{path.stem}")
        if named != f"{spec.pipeline}.{path.stem}":
            yield f"{path.name} calls itself {named!r}"
        for at, rule in enumerate(suite.get("expectations", ()), 1):
            for key in sorted(set(rule) - _RULE_KEYS):
                yield f"{path.name}, expectation {at}: key {key!r} means nothing{_near(key, _RULE_KEYS)}"


def _values(spec: Pipeline) -> Iterator[str]:
    """Lists of values in a contract that differ from what the suite allows: one of the two is out of date."""
    for name, source in spec.sources.items():
        path = settings().expectations / spec.pipeline / f"{name}.json"
        for rule in _json(path).get("expectations", ()) if path.is_file() else ():
            arguments = rule.get("kwargs", {})
            if rule.get("type") != _IN_SET or "values_of" in arguments:
                continue
            column = source.contract.columns.get(str(arguments.get("column")))
            allowed = {str(value) for value in arguments.get("value_set", ())}
            if column and column.values and (different := sorted(allowed ^ set(column.values))):
                yield (
                    f"{path.name} and the contract of {name} differ about the values of {arguments['column']!r}: "
                    f"{', '.join(different)} (`expect_column_values_to_be_declared` takes them from the contract)"
                )


def _features(spec: Pipeline) -> Iterator[str]:
    """Features that are listed twice, and columns of the feature table that nobody uses."""
    from sluice.gates.suites import columns_of
    from sluice.models import custom_checks

    if not spec.has_model:
        return
    table, model = spec.model.features_table, spec.model
    columns = list(columns_of(spec, table))
    features = [*model.features.categorical, *model.features.numeric]
    for twice in sorted({name for name in features if features.count(name) > 1}):
        yield f"feature {twice!r} is listed twice"
    # A column is also of use where a setting of the model, a rule or a custom check names it, or where it says what a row is about.
    said = json.dumps(model.model_dump(mode="json", exclude={"card"}))
    path = settings().expectations / spec.pipeline / f"{table}.json"
    rules = json.dumps([rule.get("kwargs") for rule in _json(path)["expectations"]]) if path.is_file() else ""
    queries = " ".join(each.sql for each in custom_checks.declared(spec))
    used = {*re.findall(r"\w+", said + rules + queries), "ds", *PLATFORM}
    used.update(name for source in spec.sources.values() for name in source.key)
    for name in columns:
        if name not in used:
            yield f"column {name!r} of {table!r} is no feature, and nothing else uses it"


def _models(spec: Pipeline, graph: dict[str, Model]) -> Iterator[str]:
    """dbt models that no table is made of, and sources that no model reads."""
    from sluice.transform import lineage

    used = lineage.used(graph, spec)
    declared = [derived.model for derived in spec.derived.values()]
    for name in sorted(set(graph) - used):
        if not lineage.exposures(spec, [name]):
            yield f"nothing is made of the dbt model {name!r} (tables are made of {', '.join(declared)})"
    read = {table for name in used for table in graph[name].tables}
    # Where nothing is derived, the published sources are what is wanted.
    for name in spec.sources if spec.derived else ():
        if name not in read:
            yield f"no table is made of source {name!r}"
    for name in lineage.declared_sources(spec):
        if name not in spec.tables:
            yield f"sources.yml of dbt declares {name!r}, which the pipeline does not{_near(name, spec.tables)}"


def _dbt_project(spec: Pipeline) -> Iterator[str]:
    """Vars that no SQL reads, and settings for folders that are not there."""
    root = settings().dbt_project
    project = yaml.safe_load((root / "dbt_project.yml").read_text(encoding="utf-8"))
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("models", "macros", "tests")
        for path in sorted((root / folder).rglob("*.*"))
        if path.suffix in (".sql", ".yml")
    )
    read = set(re.findall(r"""\bvar\(\s*['"](\w+)['"]""", code))
    for name in project.get("vars") or {}:
        if name not in read:
            yield f"no model reads var {name!r} of dbt_project.yml{_near(name, read)}"
    for folder in (root / "models").iterdir():
        if folder.is_dir() and folder.name not in pipeline_names():
            yield f"dbt_project/models/{folder.name} is of no pipeline"
    configured = (project.get("models") or {}).get(project["name"]) or {}
    yield from _folders(configured, root / "models", "models")


def _folders(configured: dict[str, Any], folder: Path, where: str) -> Iterator[str]:
    for name, below in configured.items():
        if name.startswith("+"):
            continue
        if not (folder / name).is_dir() and not (folder / f"{name}.sql").is_file():
            there = [path.name for path in folder.iterdir() if path.is_dir()]
            yield f"dbt_project.yml configures {where}/{name}, which is not there{_near(name, there)}"
        elif isinstance(below, dict):
            yield from _folders(below, folder / name, f"{where}/{name}")


def _json(path: Path) -> dict[str, Any]:
    """A suite; empty where it is none, which the check of suites says."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {"expectations": []}
    return read if isinstance(read, dict) else {"expectations": []}


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
