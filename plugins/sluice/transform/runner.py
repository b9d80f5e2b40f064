"""From published tables to the rows of a derived one.

The rule kept here: the same published snapshots and the same days give the same rows, whether a run builds one day or
a range, and no run reads more days than its own and the pipeline's `history_days` before them. What a model may see of
those days is the models' own affair (`dbt_project/`); tests/transform shows that nothing later leaks in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SpecInvalidError, TableMissingError, TransformFailedError
from sluice.core.partitions import EARLIEST, days_later
from sluice.declare.spec import Derived, Pipeline
from sluice.lake import tables
from sluice.lake.inputs import Snapshot
from sluice.transform import conservation, database, project, spark

if TYPE_CHECKING:
    import pyarrow as pa

_GOOD = {"success", "pass", "warn"}
# Lines of dbt's that begin with the database's kind of error; and the line before, which names the model and its file.
_KIND = re.compile(r"^\s*((?:[A-Z][A-Za-z]+ ){1,3}Error)(?=[: ])", re.MULTILINE)
_IN_MODEL = re.compile(r"[A-Z][a-z]+ Error in (?:model|test|seed|snapshot) \w+ \([\w/.]+\)")
# Failing rows of a test that an error names.
_NAMED_ROWS = 5


@dataclass(frozen=True)
class Node:
    """One model or test that dbt ran."""

    name: str
    type: str  # model, test
    status: str  # success, pass, warn, fail, error, skipped
    seconds: float
    # Where a source of the pipeline has personal data, what kind of error it was, and no more.
    message: str
    failures: int | None  # failing rows of a test
    # The first of them, so that a key that occurs twice is named; empty where a source of the pipeline has personal data.
    sample: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransformResult:
    """Rows of a derived table, and where they come from."""

    # The model's columns, sorted by day and key; instants are timestamp[us, UTC].
    data: pa.Table
    # Rows that the model took in, and those of them that it left out, by reason: received == rows + dropped.
    received: int
    dropped: dict[str, int]
    # Rows that stayed, without the partner that a join looked for, by join.
    unmatched: dict[str, int]
    # Where the table has not one row for each that it is made of: see `sluice.lake.batches.Manifest`.
    rows_by_model: dict[str, int]
    # A table read each, as `sluice.lake.inputs.Snapshot` records it.
    inputs: list[dict[str, Any]]
    nodes: list[Node]
    run_results: Path


def build(spec: Pipeline, table: str, start: str, end: str, *, workdir: Path) -> TransformResult:
    """Build the partitions `start` to `end` (days of `table`, inclusive) of a derived table with dbt.

    Args:
        workdir: folder of this attempt; keeps the database, dbt's logs and compiled SQL.

    Raises:
        SpecInvalidError: `table` is not a derived table of the pipeline.
        TableMissingError: a table that the model reads has nothing published in the days that it needs.
        TransformFailedError: a model or test failed, or dbt could not run.
    """
    model = _derived(spec, table).model
    read = project.sources(project.manifest(spec), spec, model)
    back = spec.history_of(table)
    on_spark = spec.engine_of(table) == "spark"
    into = None if on_spark else workdir / "files"
    files, inputs = published_files(spec, read, start, end, into=into, history_days=back)
    for source, first, last in ((item["table"], item["first"], item["last"]) for item in inputs):
        if not files[source] and not may_be_empty(spec, table, source, last):
            raise TableMissingError(
                f"Table {source!r} has nothing published from {first} to {last}.",
                where=f"{spec.pipeline}.{source}, which the dbt model {model} reads",
                todo=f"publish the days of {source} first",
            )
    if on_spark:
        return _build_on_spark(spec, table, start, end, inputs, workdir)
    return build_from_files(spec, table, start, end, files, inputs=inputs, workdir=workdir)


def published_files(
    spec: Pipeline,
    names: Sequence[str],
    start: str,
    end: str,
    *,
    into: Path | None,
    history_days: int | None = None,
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """Parquet files of the days that a build of `start` to `end` reads, by table, and the inputs to record for them.

    Args:
        into: folder that files of a remote warehouse are copied to; without one, days are listed in the place of files.
        history_days: days before `start` that are read too; the pipeline's, if not given.
    """
    back = spec.history_days if history_days is None else history_days
    first = days_later(start, -back)
    files: dict[str, list[str]] = {}
    inputs: list[dict[str, Any]] = []
    for name in names:
        # The snapshot is fixed first, so that what is recorded is what was read, whoever publishes meanwhile.
        snapshot = tables.snapshot_id(spec.pipeline, name)
        shown = (
            tables.published(spec.pipeline, name, first, end, snapshot_id=snapshot)
            if snapshot is not None
            else {}
        )
        files[name] = tables.local_files(shown, into=into / name) if into else list(shown)
        read = {day: partition.batch_id for day, partition in shown.items()}
        inputs.append(
            Snapshot(table=name, snapshot_id=snapshot, first=first, last=end, batches=read).record()
        )
    return files, inputs


def build_from_files(
    spec: Pipeline,
    table: str,
    start: str,
    end: str,
    files: Mapping[str, Sequence[str]],
    *,
    inputs: Sequence[dict[str, Any]] = (),
    workdir: Path,
) -> TransformResult:
    """As `build`, on the Parquet files given by source table, with DuckDB."""
    derived = _derived(spec, table)
    path = workdir / database.FILE
    database.create(spec, start, end, files, path, history_days=spec.history_of(table))
    parsed = project.manifest(spec)
    meta = project.meta(parsed, derived.model)
    left_out, unmatched = meta.get("left_out"), meta.get("unmatched")
    # Unit tests guard the code, not the data: they run with the repository's tests.
    args = _build_args(derived.model, unmatched)
    may_show = spec.may_quote(None)
    if not may_show:
        workdir.chmod(0o700)
    results = project.invoke(spec, args, workdir=workdir, parsed=parsed).results
    nodes = [_node(result, path if may_show else None, may_show=may_show) for result in results]
    _raise_if_failed(nodes, table, start, end, workdir)
    built = next(result.node for result in results if result.node.name == derived.model)
    order = ", ".join(["ds", *derived.key])
    with database.connect(path) as con:
        # Names in these statements are those of the dbt project and the pipeline's YAML.
        data = con.sql(f"select * from {built.relation_name} order by {order}").to_arrow_table()  # noqa: S608
        counted = f'select reason, count(*) from "{left_out}" group by reason order by reason'  # noqa: S608
        dropped = dict(con.execute(counted).fetchall()) if left_out else {}
        lost = f'select join_name, sum(rows_count)::bigint from "{unmatched}" group by 1 order by 1'  # noqa: S608
        lonely = dict(con.execute(lost).fetchall()) if unmatched else {}
        made = data.num_rows + sum(dropped.values())
        counts = conservation.rows_by_model(
            con, spec, table, start, end, made, [each.node for each in results]
        )
    return TransformResult(
        data=data,
        received=data.num_rows + sum(dropped.values()),
        dropped=dropped,
        unmatched=lonely,
        rows_by_model=counts,
        inputs=list(inputs),
        nodes=nodes,
        run_results=workdir / "target" / "run_results.json",
    )


def _build_args(model: str, unmatched: str | None) -> list[str]:
    models = [f"+{name}" for name in (model, unmatched) if name]
    select = ["--select", *models, "--exclude-resource-type", "unit_test"]
    return ["build", *select, "--indirect-selection", "buildable"]


def _build_on_spark(
    spec: Pipeline, table: str, start: str, end: str, inputs: Sequence[dict[str, Any]], workdir: Path
) -> TransformResult:
    """As `build_from_files`, on the recorded snapshots, by Spark; rows are not counted model by model."""
    derived = _derived(spec, table)
    parsed = project.manifest(spec, "spark")
    required, meta = project.required(parsed, derived.model), project.meta(parsed, derived.model)
    left_out, unmatched = meta.get("left_out"), meta.get("unmatched")
    if not spec.may_quote(None):
        workdir.chmod(0o700)
    with spark.session(spec, table, start, end, inputs, workdir) as made:
        args = _build_args(derived.model, unmatched)
        results = project.invoke(spec, args, workdir=workdir, parsed=parsed, engine="spark").results
        nodes = [_node(result, None, may_show=spec.may_quote(None)) for result in results]
        _raise_if_failed(nodes, table, start, end, workdir)
        built = next(result.node for result in results if result.node.name == derived.model)
        data = made.rows(built.relation_name, ["ds", *derived.key], required)
        dropped = made.counts(left_out, "reason", "count(*)") if left_out else {}
        lonely = made.counts(unmatched, "join_name", "sum(rows_count)") if unmatched else {}
    return TransformResult(
        data=data,
        received=data.num_rows + sum(dropped.values()),
        dropped=dropped,
        unmatched=lonely,
        rows_by_model={},
        inputs=list(inputs),
        nodes=nodes,
        run_results=workdir / "target" / "run_results.json",
    )


def _derived(spec: Pipeline, table: str) -> Derived:
    if table not in spec.derived:
        raise SpecInvalidError(
            f"Pipeline {spec.pipeline!r} derives no table {table!r}.",
            where=f"dags/pipelines/{spec.pipeline}.yml",
            allowed=", ".join(spec.derived),
            todo="declare the table there, or correct the name",
        )
    return spec.derived[table]


def may_be_empty(spec: Pipeline, table: str, source: str, end: str) -> bool:
    """Whether a build goes on with nothing of a table up to a day: on a pipeline's first day, what is learnt only after the day
    cannot be there yet."""
    lags = source in spec.sources and spec.lag_days(source) > spec.lag_days(table)
    return lags and not tables.published(spec.pipeline, source, EARLIEST, end)


def _node(result: Any, path: Path | None, *, may_show: bool) -> Node:
    return Node(
        name=result.node.name,
        type=str(result.node.resource_type),
        status=str(result.status),
        seconds=round(result.execution_time, 3),
        message=(result.message or "") if may_show else _unquoted(result.message or ""),
        failures=result.failures,
        sample=_failing_rows(path, result.node.compiled_code) if path and result.failures else (),
    )


def _failing_rows(path: Path, query: str) -> tuple[str, ...]:
    """The first rows that a test fails on, asked for anew: dbt only counts them."""
    with database.connect(path) as con:
        found = con.sql(query).limit(_NAMED_ROWS)
        return tuple(
            ", ".join(f"{name} {value}" for name, value in zip(found.columns, row, strict=True))
            for row in found.fetchall()
        )


def _raise_if_failed(nodes: Sequence[Node], table: str, start: str, end: str, workdir: Path) -> None:
    # What was skipped was skipped because of another: naming it would hide the cause.
    failed = [node for node in nodes if node.status not in _GOOD and node.status != "skipped"]
    if not failed and nodes:
        return
    causes = [_describe(node) for node in failed] or ["dbt ran nothing."]
    raise TransformFailedError(
        f"{len(failed)} of {len(nodes)} dbt nodes failed. {' '.join(causes)}",
        where=f"{table} {start} to {end}",
        todo=f"read {workdir / project.LOG}, or query {workdir / database.FILE}, with the SQL in {workdir / 'target' / 'compiled'}",
    )


def _describe(node: Node) -> str:
    named = f" ({'; '.join(node.sample)})" if node.sample else ""
    return f"{node.type} {node.name}: {_cause(node.message)}{named}"


def _unquoted(message: str) -> str:
    """What kind of error dbt and the database met, and in which model; none of the values that its message may quote."""
    kinds = _KIND.findall(message)
    # dbt's own first line names the model and its file.
    where = _IN_MODEL.match(message)
    causes = list(dict.fromkeys([*([where[0]] if where else []), *kinds]))
    return (
        f"{'; '.join(causes) or 'failed'} (the message may quote values of people, and is only in dbt's log)"
    )


def _cause(message: str) -> str:
    """dbt's message on one line, without its list of calling macros."""
    return " ".join(message.split("> in macro")[0].split())
