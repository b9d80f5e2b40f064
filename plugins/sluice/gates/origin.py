"""What a batch was made of, and the rules that no suite has to write because they follow from it.

The rule kept here: from the published rows to the predictions that readers see nothing is lost or added. For each row that the
manifest names as input there is one row, but for those that a model leaves out for a reason and counts: of derived tables that
declare it (`key_from`), and of predictions always. Values that a derived table declares (`values_from`) are those that the same rows
give again, and a score is what the recorded model, or the baseline, gives again (`sluice.gates.rescoring`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sluice.core.errors import GateBrokenError
from sluice.core.sql import quoted
from sluice.declare.spec import PREDICTIONS
from sluice.gates import code_change, history, rescoring
from sluice.lake import batches, inputs, tables

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.origin_expectations import InWords
    from sluice.gates.suites import Rule
    from sluice.lake.batches import Manifest

_ONE_FOR_EACH, _VALUES = "one_row_for_each_of_", "values_are_those_of_"
_SCORES, _RANKS = "scores_are_reproduced", "scores_rank_like_others"


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
        scores_columns = {"ds": "DATE", "key": types[0], "expected": "DOUBLE"}
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
            again = rescoring.rescore(spec, manifest, files, Path(name))
            shown[made.SCORES] = [again.path]
            scores_columns |= dict.fromkeys(again.peers, "DOUBLE")
            by_score = {"key": spec.model.key, "type": types[0]}
            rules.append(
                _rule(
                    spec,
                    manifest,
                    _SCORES,
                    made.ExpectScoresToBeReproduced,
                    f"A score that its model does not give again was altered on the way; up to {rescoring.SAMPLE_ROWS:,} are computed again.",
                    **by_score,
                    model=again.model,
                )
            )
            if again.peers:
                rules.append(
                    _rule(
                        spec,
                        manifest,
                        _RANKS,
                        made.ExpectScoresToRankLikePeers,
                        "A model that is wrong itself gives its wrong scores again: others that predict the same know better.",
                        **by_score,
                        peers=dict(again.peers),
                        must_be_alike=rescoring.PREVIOUS,
                    )
                )
        columns = {made.INPUT: suites.columns_of(spec, table), made.SCORES: scores_columns}
        yield Origin(rules=tuple(rules), files=shown, columns=columns)


def is_reserved(rule: str) -> bool:
    """Whether a rule has a name that only a rule made here may have: two results of one name could not be told apart."""
    return rule in (_SCORES, _RANKS, code_change.RULE) or rule.startswith((_ONE_FOR_EACH, _VALUES))


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
