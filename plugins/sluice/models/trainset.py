"""The rows of one training: what is read from the tables, what found no partner, and what may not be among them.

A training that is refused here has touched no model: the reason is in the ledger, and raised to the task that asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sluice import ledger
from sluice.core.errors import TableMissingError
from sluice.core.partitions import date_of, days_later
from sluice.core.runs import Run
from sluice.ledger import model_records

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice_ml.config import ModelConfig


@dataclass(frozen=True)
class TrainingSet:
    """Rows to train on: key, ds, label and all features; and how many rows of either table found no partner.

    `left_out` counts rows with a number that a model cannot hold, by `<day> <column>`: their day was published before its
    gate looked for them, and one row must not stop every training that reads it.
    """

    rows: pa.Table
    unmatched: dict[str, int]
    left_out: dict[str, int] = field(default_factory=dict)


def read(spec: Pipeline, run_day: str, snapshots: dict[str, int], *, also: Sequence[str] = ()) -> TrainingSet:
    """Features as they were published for each day, with the outcomes that were known on the morning of `run_day`.

    Args:
        also: further columns of the features, where the table has them.

    Returns: the rows of `training_days` days; the label is null where it will never be known.
    Raises:
        TableMissingError: no features have an outcome.
    """
    last = spec.data_day(spec.model.outcomes_table, run_day)
    first = days_later(last, 1 - spec.model.training_days)
    return read_days(spec, first, last, snapshots, also=also)


def read_days(
    spec: Pipeline, first: str, last: str, snapshots: dict[str, int], *, also: Sequence[str] = ()
) -> TrainingSet:
    """As `read`, of the days from `first` to `last`, whenever their outcomes were known."""
    from sluice.lake import tables
    from sluice_ml.numbers import keep_representable

    declared = spec.model

    def scan(table: str, columns: list[str]) -> pa.Table:
        return tables.scan(spec.pipeline, table, first, last, columns=columns, snapshot_id=snapshots[table])

    sensitive = [declared.gate.fairness.column] if declared.gate.fairness else []
    instants = [name for name in (declared.known_at, declared.happens_at) if name]
    columns = dict.fromkeys(
        [
            declared.key,
            "ds",
            *declared.features.numeric,
            *declared.features.categorical,
            declared.baseline,
            *instants,
        ]
    )
    also = [*also, *sensitive]
    there = tables.columns(spec.pipeline, declared.features_table) if also else []
    columns |= dict.fromkeys(name for name in also if name in there)
    features = scan(declared.features_table, list(columns))
    outcomes = scan(declared.outcomes_table, [declared.key, declared.label])
    rows = features.join(outcomes, keys=declared.key, join_type="inner")
    if not rows.num_rows:
        raise TableMissingError(
            f"No features of {first} to {last} have an outcome.",
            where=f"{spec.pipeline}.{declared.features_table} and {declared.outcomes_table}",
            todo=f"load history with {spec.pipeline}_backfill",
        )
    unmatched = {
        f"{declared.features_table} without an outcome": features.num_rows - rows.num_rows,
        f"{declared.outcomes_table} without features": outcomes.num_rows - rows.num_rows,
    }
    rows, left_out = keep_representable(rows, [*declared.features.numeric, declared.baseline])
    return TrainingSet(rows, {name: count for name, count in unmatched.items() if count}, left_out)


def require_sound(
    spec: Pipeline, rows: pa.Table, run_day: str, run: Run, config: ModelConfig
) -> list[dict[str, Any]]:
    """Refuse rows that leak the future or columns that no model should learn from; returns the lesser findings.

    Raises:
        RowsLeakError, FeaturesUnsoundError: with everything named; the refusal is in the ledger.
    """
    from sluice_ml.errors import MlError

    try:
        return check(spec, rows, run_day, config)
    except MlError as error:
        ledger.append(
            model_records.TrainingRefused(
                error=type(error).__name__, what=error.what, where=error.where, todo=error.todo
            ),
            pipeline=spec.pipeline,
            subject=spec.model.name,
            partition=run_day,
            run=run.run_id,
        )
        raise


def check(spec: Pipeline, rows: pa.Table, run_day: str, config: ModelConfig) -> list[dict[str, Any]]:
    """As `require_sound`, of what is no training: nothing is recorded, which would count as a refused one."""
    from sluice_ml import leakage, linting
    from sluice_ml.splits import labelled

    leakage.require_before(rows, _cutoff(spec, run_day), config)
    return [one.as_dict() for one in linting.require_sound(labelled(rows, config)[0], config)]


def skip_reason(spec: Pipeline, run_day: str, run: Run) -> str | None:
    """Why nothing may be learned now, recorded in the ledger; None where learning is active."""
    if spec.model.learning == "active":
        return None
    reason = f"Learning is paused: `model.learning` in dags/pipelines/{spec.pipeline}.yml says so."
    ledger.append(
        model_records.TrainingSkipped(reason=reason),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run.run_id,
    )
    return reason


def _cutoff(spec: Pipeline, run_day: str) -> datetime:
    """The end of the last day whose outcomes are known on the morning of `run_day`, on the pipeline's clock."""
    last = date_of(spec.data_day(spec.model.outcomes_table, run_day))
    return datetime.combine(last + timedelta(days=1), datetime.min.time(), ZoneInfo(spec.timezone))
