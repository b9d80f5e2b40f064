"""What a batch was made of, and the rules that no suite has to write because they follow from it.

The rule kept here: from the published rows to the predictions that readers see nothing is lost or added. For each row that the
manifest names as input there is one row, but for those that a model leaves out for a reason and counts: of derived tables that
declare it (`key_from`), and of predictions always. Values that a derived table declares (`values_from`) are those that the same rows
give again, and a score is what the recorded model, or the baseline, gives again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sluice.core.errors import GateBrokenError
from sluice.core.settings import settings
from sluice.core.sql import quoted
from sluice.declare.spec import PREDICTIONS
from sluice.gates import engine, history
from sluice.lake import batches, inputs, tables
from sluice_ml.errors import ModelDamagedError, ModelUnknownError

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.origin_expectations import InWords
    from sluice.gates.suites import Rule
    from sluice.lake.batches import Manifest

_ONE_FOR_EACH, _VALUES, _SCORES = "one_row_for_each_of_", "values_are_those_of_", "scores_are_reproduced"
# Scores that are computed again, at most: of a fault in 0.2% of the rows one is among them in 99.99% of cases (1 - 0.998 ** 5000).
SAMPLE_ROWS = 5_000
# What draws them; the same batch is always judged by the same rows.
_SEED = "sluice"
_READ = "read_parquet($paths, hive_partitioning = false, can_have_nan = true)"


@dataclass(frozen=True)
class Origin:
    """Rules to add to a suite, and the views that they read: local files, and DuckDB types of columns, by view."""

    rules: tuple[Rule, ...] = ()
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@contextmanager
def of(spec: Pipeline, manifest: Manifest) -> Iterator[Origin]:
    """What a batch of a derived table or of predictions was made of; nothing where that is not declared, or there are no rows.

    Raises:
        GateBrokenError: the manifest does not say what the batch was made of, or the model that scored is not what was registered.
        ConnectionError: the registry, or the warehouse, does not answer.
    """
    keys = _keys(spec, manifest.table)
    if keys is None or not manifest.rows:
        yield Origin()
        return
    from sluice.gates import origin_expectations as made
    from sluice.gates import suites

    table = str(spec.rows_from(manifest.table))
    with TemporaryDirectory(prefix="sluice-origin-") as name:
        files = _files(manifest, table, Path(name))
        by_key = {
            "table": table,
            "key": [quoted(key) for key in spec.key_of(manifest.table)],
            "input_key": keys,
            "types": (types := _types(spec, manifest.table)),
        }
        one_for_each = _rule(
            spec,
            manifest,
            f"{_ONE_FOR_EACH}{table}",
            made.ExpectOneRowForEachInput,
            f"Each row of {table} is awaited as one row: what is missing or there twice is not noticed later, and is acted on.",
            **by_key,
            segments=_segments(spec, manifest.table, table),
            left_out=sum(manifest.dropped.values()),
            rows_by_model=manifest.rows_by_model,
        )
        rules, shown = [one_for_each], {made.INPUT: files}
        if values := _values(spec, manifest.table):
            declared = suites.columns_of(spec, manifest.table)
            rules.append(
                _rule(
                    spec,
                    manifest,
                    f"{_VALUES}{table}",
                    made.ExpectValuesToBeReproduced,
                    f"What is learned and measured rests on these values: they are computed again from {table}, by other SQL.",
                    **by_key,
                    values=values,
                    value_types=[declared[name] for name in values],
                )
            )
        if manifest.table == PREDICTIONS:
            scores, model = _scores(spec, manifest, files, Path(name))
            shown[made.SCORES] = [scores]
            rules.append(
                _rule(
                    spec,
                    manifest,
                    _SCORES,
                    made.ExpectScoresToBeReproduced,
                    f"A score that its model does not give again was altered on the way; up to {SAMPLE_ROWS:,} are computed again.",
                    key=spec.model.key,
                    type=types[0],
                    model=model,
                )
            )
        scores_columns = {"ds": "DATE", "key": types[0], "expected": "DOUBLE"}
        columns = {made.INPUT: suites.columns_of(spec, table), made.SCORES: scores_columns}
        yield Origin(rules=tuple(rules), files=shown, columns=columns)


def is_reserved(rule: str) -> bool:
    """Whether a rule has a name that only a rule made here may have: two results of one name could not be told apart."""
    return rule == _SCORES or rule.startswith((_ONE_FOR_EACH, _VALUES))


def problems(spec: Pipeline, table: str) -> list[str]:
    """Why `key_from` or `values_from` of a table cannot be: a sentence for each."""
    import duckdb

    from sluice.gates import suites

    keys, origin = _keys(spec, table), spec.rows_from(table) if table not in spec.sources else None
    if keys is None or origin is None:
        return []
    found, declared = [], suites.columns_of(spec, table)
    # With a column of each row beside it, what is no expression over one row is refused too.
    asked = {"key_from": ", ".join(keys)}
    for name, value in _values(spec, table).items():
        if name in declared:
            asked[f"values_from.{name}"] = f"cast(({value}) as {declared[name]})"
        else:
            allowed = ", ".join(declared)
            found.append(
                f"{_where(spec, table)}.values_from: {table} has no column {name!r} (it has {allowed})"
            )
    with duckdb.connect() as con:
        history.show_table(con, origin, suites.columns_of(spec, origin), [])
        for key, sql in asked.items():
            try:
                con.sql(f"select ds, {sql} from {quoted(origin)}")  # noqa: S608 - declared
            except duckdb.Error as error:
                found.append(f"{_where(spec, table)}.{key}: {str(error).splitlines()[0]}")
    return found


def _where(spec: Pipeline, table: str) -> str:
    return f"dags/pipelines/{spec.pipeline}.yml, derived.{table}"


def _keys(spec: Pipeline, table: str) -> list[str] | None:
    """SQL over a row of the table that a table's rows come from: the key that it has there; None where it is not declared."""
    if table == PREDICTIONS:
        return [quoted(spec.model.key)]
    declared = spec.derived.get(table)
    return list(declared.key_from) if declared and declared.key_from and declared.rows_from else None


def _values(spec: Pipeline, table: str) -> dict[str, str]:
    """SQL over a row of the table that a table's rows come from, by the column that has its value."""
    return dict(spec.derived[table].values_from) if table in spec.derived else {}


def _types(spec: Pipeline, table: str) -> list[str]:
    """DuckDB types that keys are compared as: the table's; of predictions, which hold every key as text, the features'."""
    from sluice.gates import suites

    columns = suites.columns_of(spec, spec.model.features_table if table == PREDICTIONS else table)
    return [columns.get(key, "VARCHAR") for key in spec.key_of(table)]


def _segments(spec: Pipeline, table: str, origin: str) -> list[str]:
    """Columns of the input by which missing rows are told: those of `model.coverage`, and those of a source with declared values."""
    if table == PREDICTIONS:
        return list(spec.model.coverage.segments)
    declared = spec.sources[origin].contract.columns if origin in spec.sources else {}
    return [name for name, column in declared.items() if column.values]


def _rule(
    spec: Pipeline, manifest: Manifest, name: str, kind: type[InWords], why: str, **arguments: object
) -> Rule:
    from sluice.gates import suites

    owner = spec.owner_of(manifest.table)
    return suites.derived_rule(name, kind.expectation_type, arguments, severity="hold", owner=owner, why=why)


def _files(manifest: Manifest, table: str, scratch: Path) -> list[str]:
    """Local files of the rows of another table that a batch was made of: those of its own days, as they were then.

    They are read from the batches that the manifest names, so that it does not matter whether the snapshot was expired since;
    where it names none (an earlier version, another writer's rows), from the snapshot.
    """
    read = next((one for one in inputs.of(manifest, inputs.Snapshot) if one.table == table), None)
    if read is None:
        raise GateBrokenError(
            f"Batch {manifest.batch_id} does not say which {table} it was made of.",
            where=f"{manifest.pipeline}.{manifest.table}, inputs of its manifest",
            todo="stage it again",
        )
    named = None if read.batches is None else {day: read.batches.get(day) for day in manifest.partitions}
    if named is None or "" in named.values():
        days = manifest.partitions[0], manifest.partitions[-1]
        found = tables.published(manifest.pipeline, table, *days, snapshot_id=read.snapshot_id)
        shown = {day: one for day, one in found.items() if day in manifest.partitions}
    else:
        loaded = {day: batches.load(manifest.pipeline, table, one) for day, one in named.items() if one}
        shown = {
            day: tables.Published(one.batch_id, one.files[day], one.rows_by_partition[day])
            for day, one in loaded.items()
        }
    return tables.local_files(shown, into=scratch)


def _scores(spec: Pipeline, manifest: Manifest, files: Sequence[str], scratch: Path) -> tuple[str, str]:
    """A file with scores that were computed again, and what computed them, in words."""
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sluice_ml.recomputation import recompute, recompute_baseline
    from sluice_ml.registry import Registry

    made_by = next(iter(inputs.of(manifest, inputs.Model)), None)
    if made_by is None:
        raise GateBrokenError(
            f"Batch {manifest.batch_id} does not say what scored it.",
            where=f"{manifest.pipeline}.{manifest.table}, inputs of its manifest",
            todo="stage it again",
        )
    declared = spec.model
    if made_by.version is None:
        names, known = [declared.baseline], None
    else:
        try:
            known = Registry(settings().mlflow_url).content(made_by.name, made_by.version)
        except (ModelDamagedError, ModelUnknownError) as error:
            raise GateBrokenError(error.what, where=error.where, todo=error.todo) from error
        names = [*known[0].numeric, *known[0].categorical]
    listed = ", ".join(quoted(name) for name in dict.fromkeys(["ds", declared.key, *names]))
    query = (
        f"select {listed} from {_READ}"  # noqa: S608 - quoted names
        f" order by hash('{_SEED}' || {quoted(declared.key)}), {quoted(declared.key)} limit {SAMPLE_ROWS}"
    )
    limits: dict[str, Any] = {
        "threads": settings().threads,
        "memory_limit": engine.MEMORY,
        "temp_directory": str(scratch),
    }
    with duckdb.connect(config=limits) as con:
        rows = con.sql(query, params={"paths": list(files)}).to_arrow_table()
    found = (
        recompute(rows, *known)
        if known
        else recompute_baseline(rows, declared.baseline, declared.baseline_default)
    )
    path = scratch / "scores.parquet"
    expected = pa.array(found, pa.float64())
    pq.write_table(pa.table({"ds": rows["ds"], "key": rows[declared.key], "expected": expected}), path)
    return str(path), f"version {made_by.version}" if known else f"the baseline, {declared.baseline},"
