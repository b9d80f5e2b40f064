"""What became of the predictions, day by day, and whether that calls for a new model.

A day is reported on twice: on its own morning, when only its inputs can be compared, and when its outcomes have
landed; and again where they were corrected. Which days are due is read from the tables and the ledger
(`sluice.models.due`); how many of them one run measures is declared (`monitoring.days_per_run`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import BatchDamagedError, BatchUnknownError
from sluice.core.links import MONITOR
from sluice.core.partitions import Partition, days_from, days_later
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import evidence
from sluice.ledger import model_records
from sluice.models import (
    challenger,
    custom_checks,
    due,
    monitoring_table,
    reference,
    scorer,
    training_history,
    waived,
)
from sluice.models.config import model_config, monitoring_config

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.models.due import DueDay
    from sluice.models.reference import Reference
    from sluice_ml.monitored_day import DayNumbers
    from sluice_ml.monitoring import MonitorDecision
    from sluice_ml.registry import LoadedModel


def report_days(spec: Pipeline, run_day: str, run: Run) -> dict[str, str]:
    """Report on the predictions of `run_day`, and on earlier ones whose outcomes have landed or were corrected since.

    Returns: day to its page, by its name as evidence.
    Raises:
        TableMissingError: the day has no published predictions.
    """
    from sluice_ml import monitored_day_page
    from sluice_ml.reports import measure

    champion = scorer.choose(spec).model
    model, config = model_config(spec), monitoring_config(spec)
    frozen = reference.load(spec)
    measured: list[str] = []
    budget = custom_checks.Budget(custom_checks.RUN_SECONDS / 2)
    found = due.days(spec, run_day)
    earlier = [day for day in found if day.ds != run_day][: spec.monitoring.days_per_run]
    for day in (*earlier, *(day for day in found if day.ds == run_day)):
        about: dict[str, Any] = {
            "pipeline": spec.pipeline,
            "subject": spec.model.name,
            "partition": day.ds,
            "run": run.run_id,
        }
        try:
            rows, said = _assemble(spec, day, frozen)
        except (BatchUnknownError, BatchDamagedError) as error:
            if day.ds == run_day:
                raise
            # It would be due for ever, and in the way of others.
            why = [f"{day.ds} cannot be measured: {error.what}"]
            ledger.append(model_records.NotMeasured(measured=day.as_dict(), reasons=why), **about)
            continue
        with evidence.folder(_folder(spec, day.ds)) as folder:
            numbers = measure(
                rows,
                _reference(spec, day.ds, champion),
                model=model,
                config=config,
                folder=folder,
                importance=champion.model.gains() if champion else {},
                maturity_days=days_from(day.ds, run_day),
                recent=_recent(spec, day.ds),
                detector=champion.model.meta.outliers if champion else None,
                compared=_compared(spec, day.ds, rows, folder) if day.ds != run_day else None,
            )
        if day.ds == run_day:
            # Whatever the earlier days took.
            budget.seconds = max(budget.seconds, 0.0) + custom_checks.RUN_SECONDS / 2
        rests_on = waived.of_monitored_day(spec, day.ds)
        numbers = replace(
            numbers,
            released=tuple(one.released for one in rests_on),
            has_outcomes=day.outcomes is not None,
            made_late=day.made_late,
            custom_checks=custom_checks.run(spec, day.ds, budget),
            **said,
        )
        ledger.append(model_records.Monitored(**numbers.as_dict(), measured=day.as_dict()), **about)
        measured.append(day.ds)
    pages = {}
    for ds in measured:
        history = recorded_days(spec, ds)
        with evidence.folder(_folder(spec, ds)) as folder:
            written = monitored_day_page.page(
                history[-1],
                _decision(spec, ds, champion),
                history=history,
                model=model,
                question=spec.model.question,
                champion_lead=_champion_lead(champion),
                folder=folder,
            )
        pages[ds] = f"{_folder(spec, ds)}/{written.name}"
    monitoring_table.publish_or_warn(spec, run_day, run)
    return pages


def _folder(spec: Pipeline, day: str) -> str:
    """The evidence of a monitored day."""
    return f"{spec.pipeline}/{MONITOR}/{day}"


def decide(spec: Pipeline, run_day: str, run: Run) -> dict[str, Any]:
    """Decide from the recorded numbers, and record the decision: nothing, warn or retrain."""
    choice = scorer.choose(spec)
    if not recorded_days(spec, run_day):
        # The first days of a pipeline were empty, or nobody has scored them: nothing was predicted yet.
        return _record_decision(
            spec,
            run_day,
            run,
            {
                "action": "warn" if choice.problems else "nothing",
                "reasons": [choice.sentence or "There was nothing to predict yet."],
                "numbers": {},
                "person": "",
            },
        )
    decision = _decision(spec, run_day, choice.model)
    action, reasons = decision.action, list(decision.reasons)
    if choice.problems:
        action = "warn" if action == "nothing" else action
        reasons.append(choice.sentence)
    if not_measured := _not_measured(spec, run):
        action = "warn" if action == "nothing" else action
        reasons += not_measured
    waiting = _waiting(spec, run_day)
    if waiting:
        reasons.append(
            f"{len(waiting)} earlier day(s) wait to be measured, from {waiting[0]}; the next run goes on with them."
        )
    numbers = {**decision.numbers, "days_waiting": len(waiting)}
    outcome = {
        "action": action,
        "reasons": reasons,
        "numbers": numbers,
        "wanted": list(decision.wanted),
        "person": decision.person,
        "person_since": decision.person_since,
    }
    return _record_decision(spec, run_day, run, outcome)


def _record_decision(spec: Pipeline, run_day: str, run: Run, outcome: dict[str, Any]) -> dict[str, Any]:
    ledger.append(
        model_records.Decided(**outcome),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run.run_id,
    )
    return outcome


def record_request(spec: Pipeline, run_day: str, run: Run) -> dict[str, Any]:
    """Record that a new model was asked for; the task's asset event starts the training."""
    decided = ledger.entries(
        model_records.Decided, pipeline=spec.pipeline, subject=spec.model.name, partition=run_day, limit=1
    )
    entry = ledger.append(
        model_records.RetrainRequested(causes=decided[0].record.wanted if decided else ()),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run.run_id,
        once=f"retrain_requested:{spec.pipeline}:{run_day}:{run.run_id}",
    )
    return {"as_of": run_day, "ledger": entry.seq}


def _assemble(spec: Pipeline, day: DueDay, frozen: Reference) -> tuple[pa.Table, dict[str, Any]]:
    """The rows to measure, scored by the frozen reference, too; and what is said of that."""
    import pyarrow as pa

    from sluice.lake import batches
    from sluice_ml.monitored_day import REFERENCE_SCORE, assemble, places

    def read(table: str, batch_id: str) -> pa.Table:
        return batches.read(batches.load(spec.pipeline, table, batch_id), day.ds)

    outcomes = read(spec.model.outcomes_table, day.outcomes) if day.outcomes else None
    features = due.features(spec, day)
    rows = assemble(features, read(PREDICTIONS, day.predictions), outcomes, model_config(spec))
    scores, said = frozen.score(features, day.ds)
    if scores is not None:
        scored = pa.array(scores).take(places(rows, features, spec.model.key))
        rows = rows.append_column(REFERENCE_SCORE, scored)
    return rows, said


def _not_measured(spec: Pipeline, run: Run) -> list[str]:
    """Why days could not be measured by this run, a sentence each, in the order of days."""
    found = ledger.entries(model_records.NotMeasured, pipeline=spec.pipeline, subject=spec.model.name)
    mine = {entry.partition or "": entry.record.reasons for entry in found if entry.run == run.run_id}
    return [reason for day in sorted(mine) for reason in mine[day]]


def _waiting(spec: Pipeline, run_day: str) -> list[str]:
    """Earlier days that are due still, because one run measures only so many."""
    return [day.ds for day in due.earlier(spec, run_day)]


def _reference(spec: Pipeline, day: str, champion: LoadedModel | None) -> pa.Table:
    """What a day is compared with: the days that the champion learned from, or, without one, the days before."""
    from sluice.lake import tables

    declared = spec.model
    columns = ["ds", *declared.features.numeric, *declared.features.categorical]
    if champion is not None:
        learned = champion.meta.fitted_on
        first, last = learned["first"], learned["last"]
        snapshot = int(champion.registered.tags[f"snapshot.{declared.features_table}"])
    else:
        first, last = days_later(day, -spec.history_days), days_later(day, -1)
        snapshot = None
    rows = tables.scan(
        spec.pipeline, declared.features_table, first, last, columns=columns, snapshot_id=snapshot
    )
    # The very first day of a pipeline has no past: it is its own reference, and nothing can have drifted.
    return (
        rows
        if rows.num_rows
        else tables.scan(spec.pipeline, declared.features_table, day, day, columns=columns)
    )


def _recent(spec: Pipeline, day: str) -> pa.Table:
    """The features of the days before a day, by which a shift is told to be new, to go on, or to be weekly."""
    from sluice.lake import tables

    declared, back = spec.model, 2 * spec.monitoring.trailing_days
    columns = ["ds", *declared.features.numeric, *declared.features.categorical]
    first, last = days_later(day, -back), days_later(day, -1)
    return tables.scan(spec.pipeline, declared.features_table, first, last, columns=columns)


def _decision(spec: Pipeline, day: str, champion: LoadedModel | None) -> MonitorDecision:
    from sluice_ml.monitoring import decide

    trained = champion.registered.tags["as_of"] if champion else None
    return decide(
        recorded_days(spec, day),
        monitoring_config(spec),
        champion_lead=_champion_lead(champion),
        champion_days=_champion_days(champion),
        model_age_days=days_from(trained, day) if trained else None,
        past=training_history.read(spec),
        not_asked=_not_asked(spec),
        run_day=day,
    )


def _not_asked(spec: Pipeline) -> str:
    """Why no model is asked for, whatever calls for one; "" where one may be."""
    if spec.model.learning == "paused":
        return "No model is asked for, because training is paused (`model.learning` in the pipeline's YAML)."
    if beside := challenger.current(spec):
        return f"No model is asked for, because version {beside.record.version} is in shadow and will be decided on first."
    return ""


def _champion_lead(champion: LoadedModel | None) -> float | None:
    """How much the champion's AUC of a day was above the baseline's, on its held-out days."""
    return champion.meta.lead if champion else None


def _champion_days(champion: LoadedModel | None) -> int:
    """How many held-out days the champion was measured on; 0 without one."""
    return champion.meta.splits["test"]["days"] if champion else 0


def recorded_days(spec: Pipeline, day: str, back: int | None = None) -> list[DayNumbers]:
    """The newest record of each monitored day to `day`, from `back` days before it, in the order of days.

    Without `back`, those that a decision may look back on.
    """
    from sluice_ml.monitored_day import DayNumbers
    from sluice_ml.monitoring import HISTORY_DAYS

    newest: dict[str, model_records.Monitored] = {}
    first = days_later(day, -(HISTORY_DAYS if back is None else back))
    for entry in ledger.entries(
        model_records.Monitored, pipeline=spec.pipeline, subject=spec.model.name, days=Partition(first, day)
    ):
        newest.setdefault(entry.record.ds, entry.record)
    return [DayNumbers.from_dict(newest[ds].stored()) for ds in sorted(newest)]


def _compared(spec: Pipeline, day: str, rows: pa.Table, folder: Path) -> DayNumbers | None:
    """The day's earlier numbers, if its reports stand and are about the very same predictions."""
    from sluice_ml import snapshots

    if not {snapshots.DRIFT, snapshots.SUMMARY} <= set(
        snapshots.kept(path.name for path in folder.iterdir())
    ):
        return None
    found = [numbers for numbers in recorded_days(spec, day) if numbers.ds == day]
    version = rows["model_version"][0].as_py()
    age = rows["input_age_days"][0].as_py()
    now = (version, rows.num_rows, age)
    if not found or (found[-1].model_version, found[-1].rows, found[-1].input_age_days) != now:
        return None
    # Numbers of an earlier version lack what is measured now.
    return found[-1] if found[-1].shift is not None else None
