"""The dbt project, as one pipeline sees it: parsed once, then handed to every attempt.

Parsing costs more than building a day, and dbt's own cache does not help here: it is thrown away whenever the path of
the database changes, which it does in every attempt. The parsed project depends on the files and on dbt's version
alone, and its rows on DuckDB's too, so it is kept under the hash of these: attempts running at once read or write the same bytes.
To be rid of it, remove the folder `dbt` under `work`.

dbt parses a project as a whole, and one file that it cannot parse stops it. So what is parsed for a pipeline is a copy
without the folders of the others (`models/<pipeline>`, and folders of that name under `tests`, `macros` and so on). What
is not in such a folder, macros above all, is everybody's.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import chdir
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SpecInvalidError, TransformFailedError
from sluice.core.settings import settings
from sluice.declare.spec import Pipeline, pipeline_names
from sluice.lake import evidence
from sluice.transform import database, spark

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

# What dbt itself writes into the project when a person runs it by hand.
OUTPUT = {"target", "logs", "dbt_packages", ".user.yml"}

# Where dbt writes all that it says, in the folder of an attempt.
LOG = Path("logs") / "dbt.log"

# dbt keeps its connection, flags and working directory in globals of the process.
_ONE_AT_A_TIME = threading.Lock()


def manifest(spec: Pipeline, engine: str = "duckdb") -> Manifest:
    """The parsed project without the other pipelines' folders, as an engine sees it, fresh for the caller to change.

    Raises:
        TransformFailedError: dbt cannot parse the project.
    """
    from dbt.contracts.graph.manifest import Manifest

    name = fingerprint(spec) + ("-spark" if engine == "spark" else "")
    kept = settings().work.resolve() / "dbt" / name / "partial_parse.msgpack"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="parse-", dir=kept.parent))
        try:
            invoke(spec, ["parse"], workdir=scratch, engine=engine)
            os.replace(scratch / "target" / kept.name, kept)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Manifest.from_msgpack(kept.read_bytes())


def invoke(
    spec: Pipeline,
    args: Sequence[str],
    *,
    workdir: Path,
    parsed: Manifest | None = None,
    engine: str = "duckdb",
) -> Any:
    """Run one dbt command on the database in `workdir`, or in the open Spark session; return what dbt returns for it.

    dbt writes only below `workdir` (project, target, logs), and its connections are closed at the end: an open one
    would lock the file.

    What it says of a pipeline with personal data is only in the attempt's folder, which its owner alone can read: a
    database's message can quote values. Parsing reads no data.

    Raises:
        TransformFailedError: dbt could not run the command at all. Failed models and tests are in the result.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    folder = workdir.resolve()
    _write_profile(folder, engine)
    options = {
        "--project-dir": settings().dbt_project.resolve() if parsed else _copy(spec, folder / "project"),
        "--profiles-dir": folder,
        "--target-path": folder / "target",
        "--log-path": folder / "logs",
    }
    may_quote = args[0] == "parse" or spec.may_quote(None)
    flags = ["--quiet", "--no-use-colors", "--no-send-anonymous-usage-stats", "--no-version-check"]
    # What dbt prints becomes the task's log.
    flags += [] if may_quote else ["--log-level", "none", "--log-level-file", "debug"]
    given = [str(part) for option in options.items() for part in option]
    with _ONE_AT_A_TIME, chdir(Path.cwd()):
        try:
            answer = dbtRunner(manifest=parsed).invoke([*flags, *args, *given])
        finally:
            DuckDBConnectionManager.close_all_connections()
    if answer.exception:
        raise TransformFailedError(
            f"dbt {args[0]} failed: "
            + (str(answer.exception) if may_quote else f"{type(answer.exception).__name__}."),
            where=str(settings().dbt_project),
            todo=f"correct the project; all that dbt said is in {folder / LOG}",
        ) from (answer.exception if may_quote else None)
    return answer.result


def sources(parsed: Manifest, spec: Pipeline, model: str) -> list[str]:
    """Tables of the pipeline that a model reads, directly or through others, sorted.

    Raises:
        SpecInvalidError: there is no such model, or it reads a table that the pipeline does not declare.
    """
    models = {node.name: key for key, node in parsed.nodes.items() if node.resource_type == "model"}
    if model not in models:
        raise SpecInvalidError(
            f"There is no dbt model {model!r}.",
            where=f"derived in dags/pipelines/{spec.pipeline}.yml",
            allowed=", ".join(sorted(models)) or "the project has no models",
            todo="correct the name, or add the model under dbt_project/models",
        )
    waiting, seen = [models[model]], set()
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += parsed.nodes[key].depends_on_nodes if key in parsed.nodes else []
    read = [parsed.sources[key] for key in seen if key in parsed.sources]
    tables = sorted(source.name for source in read if source.source_name == spec.pipeline)
    unknown = [table for table in tables if table not in spec.tables]
    if unknown:
        raise SpecInvalidError(
            f"The dbt model {model!r} reads {', '.join(unknown)}, which the pipeline does not declare.",
            where=f"dbt_project/models/{spec.pipeline}/sources.yml",
            allowed=", ".join(spec.tables),
            todo="correct the name of the source",
        )
    return tables


def _sql(parsed: Manifest, models: Sequence[str]) -> dict[str, str]:
    """SQL of models with their Jinja, and of all that they are made of."""
    waiting = [
        key for key, node in parsed.nodes.items() if node.resource_type == "model" and node.name in models
    ]
    found: dict[str, str] = {}
    while waiting:
        node = parsed.nodes.get(waiting.pop())
        if node and node.name not in found:
            found[node.name] = node.raw_code
            waiting += node.depends_on_nodes
    return found


def required(parsed: Manifest, model: str) -> list[str]:
    """Columns that the contract of a model says hold no null."""
    (node,) = (one for one in parsed.nodes.values() if (one.resource_type, one.name) == ("model", model))
    return [
        column.name
        for column in node.columns.values()
        if any(each.type == "not_null" for each in column.constraints)
    ]


def meta(parsed: Manifest, model: str) -> dict[str, Any]:
    """What a model's yml says under `config.meta`."""
    return next(
        (
            node.config.meta
            for node in parsed.nodes.values()
            if (node.resource_type, node.name) == ("model", model)
        ),
        {},
    )


def check(spec: Pipeline) -> None:
    """Check that the project parses, has the model of every derived table, and reads nothing that the pipeline does not declare.

    Raises:
        TransformFailedError: dbt cannot parse the project.
        SpecInvalidError: a model is missing, or reads a table that the pipeline does not declare, or an hour that it does not have.
    """
    parsed = manifest(spec)
    by_hour = sorted(
        node.name
        for node in parsed.nodes.values()
        if node.resource_type == "model" and "prediction_hour" in node.raw_code
    )
    if by_hour and spec.prediction_hour is None:
        raise SpecInvalidError(
            f"{', '.join(by_hour)} reads prediction_hour, but the schedule {spec.schedule!r} fires at no single hour.",
            where=f"schedule in dags/pipelines/{spec.pipeline}.yml",
            allowed="a schedule with one hour, such as '0 4 * * *'",
            todo="give the schedule one hour, or take the hour out of the model",
        )
    on_spark = [one.model for name, one in spec.derived.items() if spec.engine_of(name) == "spark"]
    if on_spark:
        spark.check_sql(spec, _sql(parsed, on_spark))
        spark.require(spec)
    for name, derived in spec.derived.items():
        read = sources(parsed, spec, derived.model)
        if derived.rows_from not in (None, *read):
            raise SpecInvalidError(
                f"The dbt model {derived.model!r} reads no {derived.rows_from}, which the rows of {name!r} come from.",
                where=f"derived.{name}.rows_from in dags/pipelines/{spec.pipeline}.yml",
                allowed=", ".join(read),
                todo="name the table whose rows become the model's, or leave `rows_from` out",
            )


def fingerprint(spec: Pipeline) -> str:
    """Hash of what decides what the models make of the same rows: the versions of dbt and DuckDB, the names and contents of the
    project's files that the pipeline sees, and what `sluice.params` tells them of its YAML."""
    looks_back = {name: spec.history_of(name) for name in spec.derived}
    told = (looks_back, spec.prediction_hour, spec.timezone)
    digest = hashlib.sha256(f"{version('dbt-core')} {version('duckdb')} {told}".encode())
    on_spark = [name for name in spec.derived if spec.engine_of(name) == "spark"]
    digest.update(f"spark {on_spark}".encode() if on_spark else b"")
    for name, path in _files(spec):
        digest.update(f"\0{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def require_unit_tests(spec: Pipeline) -> None:
    """Refuse a version of the project in which a unit test of a model that a table is made of does not pass; each version is tried
    once, on empty tables.

    Raises:
        TransformFailedError: names the tests that failed, and what dbt says of them.
    """
    passed = settings().work.resolve() / "dbt" / fingerprint(spec) / "unit_tests_passed"
    if passed.is_file():
        return
    settings().work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unit-tests-", dir=settings().work) as name:
        folder, parsed = Path(name), manifest(spec)
        empty: dict[str, list[str]] = {table: [] for table in (*spec.sources, *spec.derived)}
        database.create(spec, "1970-01-01", "1970-01-01", empty, folder / database.FILE)
        made = [one.model for one in spec.derived.values()]
        beside = (meta(parsed, model).get(name) for model in made for name in ("left_out", "unmatched"))
        wanted = ["--select", *(f"+{name}" for name in (*made, *beside) if name)]
        args = ["build", *wanted, "--exclude-resource-type", "test"]
        results = invoke(spec, args, workdir=folder, parsed=parsed).results
    failed = [
        f"{one.node.name}: {' '.join(str(one.message).split())}"
        for one in results
        if one.status not in ("success", "pass", "skipped")
    ]
    if failed:
        raise TransformFailedError(
            f"{len(failed)} of dbt's unit tests failed. {'; '.join(failed)}",
            where=f"the models of {spec.pipeline} in {settings().dbt_project}",
            allowed="a project whose unit tests pass",
            todo="correct the model or its test, and run `sluice check`",
        )
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.touch()


def docs(spec: Pipeline) -> str:
    """Write dbt's documentation, one self-contained page with lineage and columns; return its name as evidence.

    The models are built on empty tables, so that the page knows the type of every column and needs no data.

    Raises:
        TransformFailedError: dbt cannot build the models or the page.
    """
    page = f"{spec.pipeline}/dbt/index.html"
    settings().work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="docs-", dir=settings().work) as name:
        folder = Path(name)
        database.create(
            spec, "1970-01-01", "1970-01-01", {table: [] for table in spec.sources}, folder / database.FILE
        )
        invoke(spec, ["run"], workdir=folder)
        invoke(spec, ["docs", "generate", "--static"], workdir=folder)
        evidence.write(page, (folder / "target" / "static_index.html").read_bytes())
    return page


def _copy(spec: Pipeline, folder: Path) -> Path:
    """Copy the files that the pipeline sees; dbt follows no links to folders."""
    for name, path in _files(spec):
        copy = folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return folder


def _files(spec: Pipeline) -> Iterator[tuple[Path, Path]]:
    """Files of the project without the folders of other pipelines: name in the project, and path."""
    root = settings().dbt_project
    pipelines = {*pipeline_names(), *(each.name for each in (root / "models").iterdir() if each.is_dir())}
    others = pipelines - {spec.pipeline}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root)
        is_other = len(name.parts) > 2 and name.parts[1] in others
        if path.is_file() and name.parts[0] not in OUTPUT and not is_other:
            yield name, path


def _write_profile(folder: Path, engine: str) -> None:
    import yaml

    output: dict[str, Any] = {
        "type": "duckdb",
        "path": str(folder / database.FILE),
        "threads": settings().threads,
        "settings": {"TimeZone": "UTC", "threads": settings().threads},
    }
    if engine == "spark":
        output = {"type": "spark", "method": "session", "host": "NA", "schema": spark.SCHEMA}
        output["threads"] = settings().threads
    profile = {"sluice": {"target": "attempt", "outputs": {"attempt": output}}}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile), encoding="utf-8")
