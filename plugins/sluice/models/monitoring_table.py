"""What monitoring has measured of each day, as a published table `monitoring`: for whoever asks in SQL.

The rule kept here: the ledger is what counts, and the table repeats it. Each time, the days are published of which it shows another
entry than the ledger's newest, so that a run that was killed, a day that was measured again and a home without the table come to
the same end. No gate judges it, because nothing in it is new; `entry` names what each row repeats.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchSupersededError, ContractBrokenError, SluiceError
from sluice.core.partitions import Partition, date_of, days_later
from sluice.core.runs import Run
from sluice.declare.spec import MONITORING
from sluice.lake import batches, tables
from sluice.ledger import Entry, model_records

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.monitoring import Monitoring
    from sluice.declare.spec import Pipeline
    from sluice_ml.monitored_day import DayNumbers

log = logging.getLogger(__name__)

# Whether a value is inside its limit; of one that is not known yet, and of one that no limit is declared for.
WITHIN, BEYOND, UNKNOWN, WITHOUT = "within", "beyond", "unknown", "no limit"
# Of the reference, on a day that it scored itself: there is no other to compare it with.
ITSELF = "no comparison"
# The same of custom checks, whose names begin so.
_STATES = {"PASS": WITHIN, "FAIL": BEYOND, "INSUFFICIENT": UNKNOWN, "ERROR": "error"}
_CUSTOM = "custom."
# Days that a run looks back on: as many as a decision may (`sluice.models.monitoring`).
_DAYS = 200


def publish_or_warn(spec: Pipeline, last: str, run: Run) -> None:
    """As `publish`; what the catalog or the warehouse refuses is logged: no decision waits for a table that repeats the ledger."""
    try:
        publish(spec, last, run)
    except SluiceError as error:
        log.warning(
            "The table %s.%s does not show what was measured; the next run makes up for it. %s",
            spec.pipeline,
            MONITORING,
            error,
        )


def publish(spec: Pipeline, last: str, run: Run) -> list[str]:
    """Publish the days to `last` (YYYY-MM-DD) of which the table does not show the newest measurement; return them.

    Raises:
        ContractBrokenError: there is a table `monitoring` that is another one.
    """
    _check_ours(spec)
    days = Partition(days_later(last, -_DAYS), last)
    newest: dict[str, Entry[model_records.Monitored]] = {}
    for entry in ledger.entries(
        model_records.Monitored, pipeline=spec.pipeline, subject=spec.model.name, days=days
    ):
        newest.setdefault(entry.record.ds, entry)
    shown = _shown(spec, days)
    due = [newest[ds] for ds in sorted(newest) if shown.get(ds) != newest[ds].seq]
    for entry in due:
        _publish(spec, entry, run)
    return [entry.record.ds for entry in due]


def rows(spec: Pipeline, entry: Entry[model_records.Monitored]) -> pa.Table:
    """What an entry says, a row a metric."""
    import pyarrow as pa

    from sluice_ml.findings import says_something
    from sluice_ml.monitored_day import DayNumbers

    numbers = DayNumbers.from_dict(entry.record.stored())
    same = {
        "ds": date_of(numbers.ds),
        "model": spec.model.name,
        "model_version": numbers.model_version,
        "counts": says_something(numbers),
        "maturity_days": numbers.maturity_days,
        "entry": entry.seq,
    }
    return pa.Table.from_pylist(
        [{**same, **metric} for metric in _metrics(numbers, spec.monitoring)], schema=_schema()
    )


def _schema() -> pa.Schema:
    import pyarrow as pa

    number, whole, text = pa.float64(), pa.int64(), pa.string()
    return pa.schema(
        {
            "ds": pa.date32(),
            "model": text,
            "model_version": text,
            "metric": text,
            "value": number,
            "low": number,
            "high": number,
            # The value must not be below `limit_low`, nor above `limit_high`; a shift must stay below it.
            "limit_low": number,
            "limit_high": number,
            # Rows that it was measured on.
            "n": whole,
            "state": text,
            # Whether the day may be held against, or for, the model: nothing of it is released, stale, late or broken.
            "counts": pa.bool_(),
            "maturity_days": whole,
            "entry": whole,
        }
    )


def _metrics(numbers: DayNumbers, limits: Monitoring) -> Iterator[dict[str, Any]]:
    """Each metric of a day with the limit that one day alone is held to; what is cumulated over days is decided elsewhere."""
    from sluice_ml.cumulated import calibration_gap, lead, over_reference
    from sluice_ml.custom_checks import MOST_ROWS

    known, all_rows, off = numbers.labelled, numbers.rows, limits.calibration.day
    yield _metric("auc", numbers.auc, known, interval=(numbers.auc_low, numbers.auc_high))
    yield _metric("baseline_auc", numbers.baseline_auc, known)
    yield _metric("lead", lead(numbers), known)
    beside = {
        "reference_auc": numbers.reference_auc,
        "reference_lead": over_reference(numbers),
        "reference_brier": numbers.reference_brier,
    }
    for name, value in beside.items():
        if numbers.reference_version == numbers.model_version:
            yield {**_metric(name, None, known), "state": ITSELF}
        else:
            yield _metric(name, value, known)
    yield _metric("log_loss", numbers.log_loss, known)
    yield _metric("brier", numbers.brier, known)
    yield _metric("label_rate", numbers.label_rate, known)
    yield _metric("expected_rate", numbers.expected_rate, known)
    yield _metric("calibration_gap", calibration_gap(numbers), known, limit_low=-off, limit_high=off)
    # No outcome is missing before they are published.
    coverage = numbers.coverage if numbers.has_outcomes else None
    yield _metric("coverage", coverage, all_rows, limit_low=limits.min_coverage)
    yield _metric("score_mean", numbers.score_mean, all_rows)
    yield _metric("estimated_auc", numbers.estimated_auc, all_rows)
    yield _metric("estimated_brier", numbers.estimated_brier, all_rows)
    yield _metric("shift", numbers.shift, numbers.sampled_rows, limit_high=limits.shift_warn, below=True)
    foreign = numbers.outlier_share
    yield _metric("outlier_share", foreign, all_rows, limit_high=limits.outliers.day, below=True)
    yield _metric("broken_features", float(sum(map(len, numbers.broken.values()))), all_rows, limit_high=0.0)
    yield _metric("input_age_days", float(numbers.input_age_days), all_rows)
    for check in numbers.custom_checks:
        # Entries of before n was bounded may have more than the column can hold.
        n = None if check.n is None or not 0 <= check.n <= MOST_ROWS else check.n
        row = _metric(_CUSTOM + check.name, check.value, n, limit_low=check.low, limit_high=check.high)
        yield {**row, "state": _STATES[check.state]}


def _metric(
    name: str,
    value: float | None,
    n: int | None,
    *,
    interval: tuple[float | None, float | None] = (None, None),
    limit_low: float | None = None,
    limit_high: float | None = None,
    below: bool = False,
) -> dict[str, Any]:
    """A row; with `below`, a value at `limit_high` is beyond it."""
    return {
        "metric": name,
        "value": value,
        "low": interval[0],
        "high": interval[1],
        "limit_low": limit_low,
        "limit_high": limit_high,
        "n": n,
        "state": _state(value, limit_low, limit_high, below=below),
    }


def _state(value: float | None, low: float | None, high: float | None, *, below: bool) -> str:
    if value is None:
        return UNKNOWN
    if low is None and high is None:
        return WITHOUT
    too_low = low is not None and value < low
    too_high = high is not None and (value >= high if below else value > high)
    return BEYOND if too_low or too_high else WITHIN


def _check_ours(spec: Pipeline) -> None:
    there = tables.columns(spec.pipeline, MONITORING)
    missing = [name for name in _schema().names if name not in there]
    if there and missing:
        raise ContractBrokenError(
            f"The table lacks columns of what monitoring measured: {', '.join(missing)}.",
            where=f"{spec.pipeline}.{MONITORING} in the catalog",
            allowed="the table that monitoring makes itself, with all of its columns",
            todo="rename the table that is there, or drop it where nobody needs it: its place is monitoring's",
        )


def _shown(spec: Pipeline, days: Partition) -> dict[str, int]:
    """Day -> the entry that the table's rows repeat; empty where there is no table."""
    if not tables.published(spec.pipeline, MONITORING, days.first, days.last):
        return {}
    found = tables.scan(spec.pipeline, MONITORING, days.first, days.last, columns=["ds", "entry"])
    return {str(row["ds"]): row["entry"] for row in found.to_pylist()}


def _publish(spec: Pipeline, entry: Entry[model_records.Monitored], run: Run) -> None:
    ds, found = entry.record.ds, rows(spec, entry)
    manifest = batches.stage(
        spec.pipeline,
        MONITORING,
        found,
        partitions=[ds],
        received=found.num_rows,
        dropped={},
        inputs=[],
        run=run,
        sort_by=["metric"],
    )
    try:
        tables.publish(manifest, verdict_id=f"entry {entry.seq} of the ledger", retention=spec.retention)
    except BatchSupersededError:
        # Another run has published the day meanwhile; where that was an older measurement, the next run finds it.
        return
