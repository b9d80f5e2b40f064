"""What the parts of a pipeline's YAML must agree on: names of tables, and what the model and its monitoring rest on.

Each check raises ValueError with a sentence, as a validator of pydantic does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sluice.core import strict_yaml

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline

# The table that scoring writes.
PREDICTIONS = "predictions"
# The table that repeats what monitoring has measured; no run crosses into it (`sluice.models.monitoring_table`).
MONITORING = "monitoring"
# How the name of a quarantine table ends; see `sluice.lake.quarantine`.
QUARANTINE = "__quarantine"

# Names of tasks and task groups that stand beside the tables' own in a DAG.
_TASKS = ("complete_day", "confirm_sources", "day", "find_deliveries")


def check(spec: Pipeline) -> None:
    """Check all of it.

    Raises:
        ValueError: names the first thing that does not fit.
    """
    _check_names(spec)
    _check_origins(spec)
    _check_model(spec)


def _check_names(spec: Pipeline) -> None:
    if odd := next((name for name in (*spec.sources, *spec.derived) if QUARANTINE in name), None):
        raise ValueError(f"{odd!r} is named like a quarantine table: no table's name may have {QUARANTINE!r}")
    taken = {*spec.derived, PREDICTIONS} & set(spec.sources)
    if taken or PREDICTIONS in spec.derived:
        name = sorted(taken)[0] if taken else PREDICTIONS
        raise ValueError(f"{name!r} names two tables; {PREDICTIONS!r} is the one that scoring writes")
    if spec.has_model and MONITORING in {*spec.sources, *spec.derived}:
        raise ValueError(
            f"{MONITORING!r} is the table that monitoring writes, and no other may have its name"
        )
    if reserved := sorted({*spec.sources, *spec.derived} & set(_TASKS)):
        raise ValueError(f"{reserved[0]!r} is the name of a task, and no table may have it")


def _check_origins(spec: Pipeline) -> None:
    if spec.derived and "history_days" not in spec.model_fields_set:
        raise ValueError("`derived` is declared without `history_days`: say how far back its tables look")
    for name, derived in spec.derived.items():
        if derived.rows_from not in {None, *spec.sources, *spec.derived} - {name}:
            raise ValueError(f"the rows of {name!r} come from {derived.rows_from!r}, which is no other table")
        if derived.key_from is not None:
            _check_key_from(spec, name)
        elif derived.values_from:
            raise ValueError(
                f"{name!r} declares `values_from` without `key_from`, by which its rows are found"
            )


def _check_key_from(spec: Pipeline, name: str) -> None:
    derived = spec.derived[name]
    origin = derived.rows_from
    if origin is None or (origin in spec.sources and spec.sources[origin].cadence != "daily"):
        raise ValueError(
            f"{name!r} declares `key_from` without a daily table in `rows_from` that has such rows"
        )
    if len(derived.key_from or ()) != len(derived.key):
        raise ValueError(
            f"{name!r} has a key of {len(derived.key)} columns, and `key_from` says {len(derived.key_from or ())} of them"
        )


def _check_model(spec: Pipeline) -> None:
    if (spec.declared_model is None) != (spec.declared_monitoring is None):
        there, lacks = ("model", "monitoring") if spec.has_model else ("monitoring", "model")
        raise ValueError(
            f"`{there}` is declared without `{lacks}`: give both, or neither for a pipeline without a model"
        )
    if not spec.has_model:
        return
    if spec.model.name in {*spec.sources, *spec.derived, PREDICTIONS}:
        raise ValueError(
            f"the model is named {spec.model.name!r} like a table: the ledger could not tell them apart"
        )
    for name in (spec.model.features_table, spec.model.outcomes_table):
        if name not in spec.derived:
            raise ValueError(f"the model uses table {name!r}, which `derived` does not declare")
    known = [*spec.model.features.categorical, *spec.model.features.numeric]
    wrong = [
        ("monitoring.pipes", strict_yaml.no_such(source, "source", spec.sources))
        for source in spec.monitoring.pipes
        if source not in spec.sources
    ] + [
        (f"monitoring.pipes.{source}", strict_yaml.no_such(name, "feature of the model", known))
        for source, columns in spec.monitoring.pipes.items()
        for name in columns
        if name not in known
    ]
    if wrong:
        raise strict_yaml.KeysWrong(wrong)
