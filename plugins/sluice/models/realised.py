"""How good the predictions of the last days turned out to be, from what monitoring has recorded of each day, and what happened then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.partitions import Partition, days_later
from sluice.ledger import model_records, records
from sluice.models import monitoring

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice_ml.metrics import Estimate
    from sluice_ml.monitored_day import DayNumbers

# Days that are looked back on: about as many as a model learns from, and one season.
DAYS = 90
# What is measured of a day and has a limit: the mean score against the realised rate (log-odds), the shift of the inputs, and the loss
# against the baseline, and of calibration, that have added up to the day, as a share of what is an alarm.
CALIBRATION, DRIFT, LOSS, OFF = "calibration_gap", "shift", "loss", "calibration_loss"


@dataclass(frozen=True, order=True)
class Mark:
    """What happened on a day: held, retrain_requested, promoted, rolled_back, or the outcome of a decision; and what it was about."""

    kind: str
    about: str


@dataclass(frozen=True)
class Day:
    """A calendar day of the predictions; what is None was not measured, or cannot be known yet."""

    ds: str
    # Who scored, "baseline" where no model did; "" of a day that was not monitored.
    version: str
    labelled: int
    rows: int
    auc: float | None
    baseline_auc: float | None
    # Whether the day may be held against, or for, the model that scored it.
    counts: bool
    marks: Sequence[Mark]
    # Why one of the AUCs is None.
    unknown: str = ""
    # What the scores expect of themselves: an estimate, also before outcomes come.
    estimated_auc: float | None = None
    # Of the frozen reference on the same rows, where it is another version; "" and None where there is none to compare with.
    reference: str = ""
    reference_auc: float | None = None
    reference_lead: float | None = None
    # The Brier score less that of the reference: below zero is better.
    reference_brier: float | None = None
    # By name: of CALIBRATION, DRIFT, LOSS and OFF what is known, and may be held against the model.
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def baseline_lead(self) -> float | None:
        """How much the AUC is above the baseline's; None where one of them is not known."""
        return None if self.auc is None or self.baseline_auc is None else self.auc - self.baseline_auc


@dataclass(frozen=True)
class Realised:
    """The last DAYS days to the newest that was monitored, oldest first; none where nothing was monitored."""

    days: Sequence[Day]
    # Of the days that count: the mean AUC of a day, and the mean of how far it was above the baseline's on the same rows, each with
    # Student's interval over the days; None where they are too few.
    auc: Estimate | None
    lead: Estimate | None
    counted: int
    # Days that count without which nothing is said: as many as a comparison of two models needs (`promotion.comparison_days`).
    needed: int
    # The same of the mean of Day's `reference_lead` and `reference_brier`, over the `compared` days that count and have them.
    reference_lead: Estimate | None = None
    reference_brier: Estimate | None = None
    compared: int = 0
    # The lowest and the highest value of CALIBRATION, DRIFT, LOSS and OFF that is no alarm; None where there is no such limit.
    limits: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)


def read(spec: Pipeline, happened: Iterable[tuple[str, Mark]]) -> Realised:
    """Read what became of the predictions; `happened` is what is known already of what happened to the model, by day."""
    name, model = spec.pipeline, spec.model.name
    newest = max(
        (
            entry.record.ds
            for entry in ledger.entries(model_records.Monitored, pipeline=name, subject=model, limit=DAYS)
        ),
        default="",
    )
    needed = spec.model.promotion.comparison_days
    if not newest:
        return Realised((), None, None, 0, needed)
    span = Partition(days_later(newest, 1 - DAYS), newest)
    measured = {numbers.ds: numbers for numbers in monitoring.recorded_days(spec, newest, DAYS)}
    marks: dict[str, set[Mark]] = defaultdict(set)
    for day, mark in happened:
        marks[day].add(mark)
    for asked in ledger.entries(model_records.RetrainRequested, pipeline=name, subject=model, days=span):
        marks[asked.days.first].add(Mark(asked.kind, ", ".join(asked.record.causes)))
    for held in ledger.entries(records.Held, pipeline=name, days=span):
        for day in held.days:
            marks[day].add(Mark(held.kind, held.subject))
    losses = _losses(spec, span)
    days = [_day(spec, ds, measured.get(ds), sorted(marks[ds]), losses.get(ds, {})) for ds in span]
    auc, lead = means([day for day in days if day.counts], spec)
    off = spec.monitoring.calibration.day
    limits = {
        CALIBRATION: (-off, off),
        DRIFT: (None, spec.monitoring.shift_warn),
        LOSS: (None, 1.0),
        OFF: (-1.0, 1.0),
    }
    compared = [day for day in days if day.counts and day.reference_lead is not None]
    beside = {name: _mean(compared, name, spec) for name in ("reference_lead", "reference_brier")}
    return Realised(
        days,
        auc,
        lead,
        sum(day.counts for day in days),
        needed,
        limits=limits,
        compared=len(compared),
        **beside,
    )


def _losses(spec: Pipeline, span: Partition) -> dict[str, dict[str, float | None]]:
    """What had added up to each day, LOSS and OFF, by its newest decision."""
    newest: dict[str, dict[str, float | None]] = {}
    for entry in ledger.entries(
        model_records.Decided, pipeline=spec.pipeline, subject=spec.model.name, days=span
    ):
        sums = entry.record.numbers.get("sums") or {}
        low, high = sums.get("scores_too_low"), sums.get("scores_too_high")
        # The larger of the two; below zero where the scores are too high, as in CALIBRATION.
        off = None if low is None or high is None else low if low >= high else -high
        newest.setdefault(entry.partition or "", {LOSS: sums.get("performance"), OFF: off})
    return newest


def _day(
    spec: Pipeline,
    ds: str,
    numbers: DayNumbers | None,
    marks: Sequence[Mark],
    losses: dict[str, float | None],
) -> Day:
    from sluice_ml.cumulated import calibration_gap, over_reference
    from sluice_ml.findings import says_something
    from sluice_ml.scoring import BASELINE

    if numbers is None:
        return Day(ds, "", 0, 0, None, None, False, marks)
    known = numbers.auc is not None and numbers.baseline_auc is not None
    by_a_model = numbers.model_version != BASELINE
    enough = numbers.labelled >= spec.monitoring.min_rows
    counts = known and by_a_model and enough and says_something(numbers)
    measured = {
        CALIBRATION: calibration_gap(numbers) if counts else None,
        DRIFT: numbers.shift if by_a_model and says_something(numbers) else None,
        **losses,
    }
    ahead = over_reference(numbers)
    return Day(
        ds=ds,
        version=numbers.model_version,
        labelled=numbers.labelled,
        rows=numbers.rows,
        auc=numbers.auc,
        baseline_auc=numbers.baseline_auc,
        counts=counts,
        marks=marks,
        unknown="" if known else _why_unknown(numbers),
        estimated_auc=numbers.estimated_auc,
        reference="" if ahead is None else numbers.reference_version,
        reference_auc=None if ahead is None else numbers.reference_auc,
        reference_lead=ahead,
        reference_brier=over_reference(numbers, "brier"),
        measured={name: value for name, value in measured.items() if value is not None},
    )


def _why_unknown(numbers: DayNumbers) -> str:
    if numbers.made_late:
        return "made late, and in no measure of the model"
    if not numbers.labelled:
        return "its outcomes are not known yet"
    return (
        "its outcomes are all of one kind" if numbers.auc is None else "the baseline's AUC was not recorded"
    )


def means(days: Sequence[Day], spec: Pipeline) -> tuple[Estimate | None, Estimate | None]:
    """The mean AUC of days that count, and their mean lead over the baseline; None where they are too few."""
    return _mean(days, "auc", spec), _mean(days, "baseline_lead", spec)


def _mean(days: Sequence[Day], name: str, spec: Pipeline) -> Estimate | None:
    """The mean of what each day says by a name, with Student's interval; None where the days are too few."""
    import numpy as np

    from sluice_ml.metrics import mean_of_days

    if len(days) < spec.model.promotion.comparison_days:
        return None
    values = np.array([getattr(day, name) for day in days], dtype="float64")
    return mean_of_days(values, spec.model.promotion.confidence)
