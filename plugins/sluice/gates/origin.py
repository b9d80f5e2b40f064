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
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sluice.core.sql import quoted
from sluice.declare.spec import PREDICTIONS
from sluice.gates import code_change, history, rescoring
from sluice.lake import batches, inputs, tables
from sluice.lake.columns import HAS_WAIVED_INPUT, MISSING_HISTORY_DAYS

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.origin_expectations import InWords
    from sluice.gates.suites import Rule
    from sluice.lake.batches import Manifest

_ONE_FOR_EACH, _VALUES = "one_row_for_each_of_", "values_are_those_of_"
_SCORES, _RANKS = "scores_are_reproduced", "scores_rank_like_others"
_MAKING, _TRAINING = "rows_say_what_made_them", "rows_say_what_training_knew"

# What predictions say of their model's training, with DuckDB's types.
_OF_TRAINING = {"is_supported": "BOOLEAN", "unseen_categories": "VARCHAR"}


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
        BatchUnknownError, TableMissingError: what the batch was made of is gone, or its manifest does not say what that was.
        GateBrokenError: it does not say what scored, or the model that scored is not what was registered.
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
        input_rows = tables.published_to(manifest, table, manifest.partitions)
        files = tables.local_files(input_rows, into=Path(name))
        shown, columns = {made.INPUT: files}, {made.INPUT: suites.columns_of(spec, table)}
        rules = _by_key(spec, manifest, table, keys)
        if manifest.table == PREDICTIONS:
            again = rescoring.rescore(spec, manifest, files, Path(name))
            shown[made.SCORES] = [again.path]
            key_type = _types(spec, manifest.table)[0]
            scores = dict.fromkeys(("expected", *again.peers), "DOUBLE")
            columns[made.SCORES] = {"ds": "DATE", "key": key_type, **scores, **_OF_TRAINING}
            rules += [
                *_of_scores(spec, manifest, again, key_type),
                _of_making(spec, manifest, table, input_rows),
            ]
        yield Origin(rules=tuple(rules), files=shown, columns=columns)


def _by_key(spec: Pipeline, manifest: Manifest, table: str, keys: Sequence[str]) -> list[Rule]:
    """Rows, and declared values, against the rows of the table that they come from."""
    from sluice.gates import origin_expectations as made
    from sluice.gates import suites

    rule = partial(
        _rule,
        spec,
        manifest,
        table=table,
        key=[quoted(key) for key in spec.key_of(manifest.table)],
        input_key=list(keys),
        types=_types(spec, manifest.table),
    )
    rules = [
        rule(
            f"{_ONE_FOR_EACH}{table}",
            made.ExpectOneRowForEachInput,
            f"Each row of {table} is awaited as one row: what is missing or there twice is not noticed later, and is acted on.",
            segments=_segments(spec, manifest.table, table),
            left_out=(left_out := sum(manifest.dropped.values())),
            max_left_out=_may_be_left_out(spec, manifest, left_out),
            rows_by_model=manifest.rows_by_model,
        )
    ]
    if values := _values(spec, manifest.table):
        declared = suites.columns_of(spec, manifest.table)
        rules.append(
            rule(
                f"{_VALUES}{table}",
                made.ExpectValuesToBeReproduced,
                f"What is learned and measured rests on these values: they are computed again from {table}, by other SQL.",
                values=values,
                value_types=[declared[name] for name in values],
            )
        )
    return rules


def _may_be_left_out(spec: Pipeline, manifest: Manifest, left_out: int) -> int:
    """Rows of a batch that its models may leave out for a reason: a share of those that are awaited, and one always."""
    declared = spec.derived.get(manifest.table)
    return max(1, int(declared.max_left_out * (manifest.rows + left_out))) if declared else 0


def _of_scores(
    spec: Pipeline, manifest: Manifest, again: rescoring.Rescored, key_type: str
) -> Iterator[Rule]:
    """Scores against those that were computed again."""
    from sluice.gates import origin_expectations as made

    rule = partial(_rule, spec, manifest, key=spec.model.key, type=key_type)
    yield rule(
        _SCORES,
        made.ExpectScoresToBeReproduced,
        f"A score that its model does not give again was altered on the way; up to {rescoring.SAMPLE_ROWS:,} are computed again.",
        model=again.model,
    )
    yield _rule(
        spec,
        manifest,
        _TRAINING,
        made.ExpectValuesToBeReproduced,
        "Who acts on a prediction is told by these where its model had met too little of its like.",
        table=again.model,
        view=made.SCORES,
        key=[quoted(spec.model.key)],
        input_key=["key"],
        types=[key_type],
        values={name: name for name in _OF_TRAINING},
        value_types=list(_OF_TRAINING.values()),
    )
    if again.peers:
        yield rule(
            _RANKS,
            made.ExpectScoresToRankLikePeers,
            "A model that is wrong itself gives its wrong scores again: others that predict the same know better.",
            peers=dict(again.peers),
            must_be_alike=rescoring.PREVIOUS,
        )


def _of_making(
    spec: Pipeline, manifest: Manifest, table: str, input_rows: Mapping[str, tables.Published]
) -> Rule:
    """What predictions say of their own making, against what their manifest recorded of it."""
    from sluice.gates import origin_expectations as made
    from sluice_ml.scoring import made_by

    scored_by, read = inputs.of(manifest, inputs.Model)[0], inputs.snapshot_of(manifest, table)
    ages = [
        inputs.age_days(batches.load(manifest.pipeline, table, one.batch_id)) for one in input_rows.values()
    ]
    # They are of one day.
    lacking = sum(len(days) for one in manifest.missing_history for days in one.days.values())
    told = made_by(
        name=scored_by.name,
        version=scored_by.version,
        scored_as=scored_by.scored_as or None,
        feature_snapshot_id=read.snapshot_id if read else None,
        run_id=manifest.run.run_id,
        input_age_days=max(ages, default=0),
        made_late=next((one.made_late for one in inputs.of(manifest, inputs.Clock)), None),
    ) | {HAS_WAIVED_INPUT: bool(manifest.waived_inputs), MISSING_HISTORY_DAYS: lacking}
    return _rule(
        spec,
        manifest,
        _MAKING,
        made.ExpectRowsToSayWhatMadeThem,
        "Who acts on a prediction, and who measures its model, believes what it says of its making.",
        # A batch of an earlier version lacks some, which then say nothing that is true.
        values={name: _as_text(value) for name, value in told.items() if value or name in manifest.columns},
    )


def is_reserved(rule: str) -> bool:
    """Whether a rule has a name that only a rule made here may have: two results of one name could not be told apart."""
    return rule in (_SCORES, _RANKS, _MAKING, _TRAINING, code_change.RULE) or rule.startswith(
        (_ONE_FOR_EACH, _VALUES)
    )


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


def _as_text(value: str | int | bool | None) -> str | None:
    """A value as SQL casts it to text."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _rule(
    spec: Pipeline, manifest: Manifest, name: str, kind: type[InWords], why: str, **arguments: object
) -> Rule:
    from sluice.gates import suites

    owner = spec.owner_of(manifest.table)
    return suites.derived_rule(name, kind.expectation_type, arguments, severity="hold", owner=owner, why=why)
