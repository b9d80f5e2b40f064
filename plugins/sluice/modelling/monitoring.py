"""What became of the predictions, day by day, and whether that calls for a new model.

A day is reported on twice: on its own morning, when only its inputs can be compared, and when its outcomes have
landed. Which days are due is read from the tables and the ledger, so that a day whose monitoring was held up is
caught up by the next one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.errors import TableMissingError
from sluice.modelling import waived
from sluice.modelling.config import model_config, monitoring_config, registry
from sluice.settings import settings
from sluice.spec import PREDICTIONS

if TYPE_CHECKING:
    import pyarrow as pa

    from ml.monitoring import DayNumbers, MonitorDecision
    from ml.registry import LoadedModel
    from sluice.spec import Pipeline

# Newest records of monitored days that a decision may look back on; a day has two.
_RECORDS = 200


def report_days(spec: Pipeline, run_day: str, run: dict[str, str]) -> dict[str, str]:
    """Report on the predictions of `run_day`, and on earlier ones whose outcomes have landed since.

    Returns: day to its page, relative to `settings().reports`.
    Raises:
        TableMissingError: the day has no published predictions.
    """
    from ml import page
    from ml.reports import measure

    champion = registry().load(spec.model.name, threads=settings().threads)
    model, config = model_config(spec), monitoring_config(spec)
    folders = {}
    for day, rows in _due(spec, run_day).items():
        folder = settings().reports / spec.pipeline / "monitor" / day
        numbers = measure(
            rows,
            _reference(spec, day, champion),
            model=model,
            config=config,
            folder=folder,
            compared=_compared(spec, day, rows, folder) if day != run_day else None,
        )
        rests_on = waived.of_monitored_day(spec, day)
        numbers = replace(numbers, released=tuple(one.released for one in rests_on))
        ledger.append(
            "monitored",
            pipeline=spec.pipeline,
            subject=spec.model.name,
            partition=day,
            run=run["run_id"],
            data=numbers.as_dict(),
        )
        folders[day] = folder
    pages = {}
    for day, folder in folders.items():
        history = _history(spec, day)
        written = page.page(
            history[-1],
            _decision(spec, day, champion),
            history=history,
            model=model,
            question=spec.model.question,
            champion_auc=_champion_auc(champion),
            folder=folder,
        )
        pages[day] = str(Path(written).relative_to(settings().reports))
    return pages


def decide(spec: Pipeline, run_day: str, run: dict[str, str]) -> dict[str, Any]:
    """Decide from the recorded numbers, and record the decision: nothing, warn or retrain."""
    champion = registry().load(spec.model.name, threads=settings().threads)
    decision = _decision(spec, run_day, champion)
    action, reasons = decision.action, list(decision.reasons)
    asked = _last_request(spec)
    if (
        action == "retrain"
        and asked is not None
        and (date.fromisoformat(run_day) - asked).days < spec.monitoring.persistence_days
    ):
        action = "warn"
        reasons.append(f"A new model was asked for on {asked} already; its days are awaited first.")
    outcome = {"action": action, "reasons": reasons, "numbers": decision.numbers}
    ledger.append(
        "decided",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run["run_id"],
        data=outcome,
    )
    return outcome


def record_request(spec: Pipeline, run_day: str, run: dict[str, str]) -> dict[str, Any]:
    """Record that a new model was asked for; the task's asset event starts the training."""
    entry = ledger.append(
        "retrain_requested",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run["run_id"],
        once=f"retrain_requested:{spec.pipeline}:{run_day}:{run['run_id']}",
    )
    return {"as_of": run_day, "ledger": entry.seq}


def _due(spec: Pipeline, run_day: str) -> dict[str, pa.Table]:
    """Day to its assembled rows, oldest first: the run day, and days whose outcomes were not reported on yet."""
    from ml.monitoring import assemble
    from sluice.lake import tables

    declared = spec.model
    first = (date.fromisoformat(run_day) - timedelta(days=spec.monitoring.outcome_wait_days)).isoformat()
    predicted = tables.published(spec.pipeline, PREDICTIONS, first, run_day)
    if run_day not in predicted:
        raise TableMissingError(
            f"There are no published predictions of {run_day}.",
            where=f"{spec.pipeline}.{PREDICTIONS}",
            todo=f"run {spec.pipeline}_score for this partition first",
        )
    landed = tables.published(spec.pipeline, declared.outcomes_table, first, run_day)
    reported = {day.ds for day in _history(spec, run_day) if day.labelled}
    due = {}
    for day in sorted(predicted):
        if day != run_day and (day not in landed or day in reported):
            continue
        predictions = tables.scan(spec.pipeline, PREDICTIONS, day, day)
        features = tables.scan(
            spec.pipeline,
            declared.features_table,
            day,
            day,
            snapshot_id=predictions["feature_snapshot_id"][0].as_py(),
        )
        outcomes = tables.scan(spec.pipeline, declared.outcomes_table, day, day) if day in landed else None
        due[day] = assemble(features, predictions, outcomes, model_config(spec))
    return due


def _reference(spec: Pipeline, day: str, champion: LoadedModel | None) -> pa.Table:
    """What a day is compared with: the days that the champion learned from, or, without one, the days before."""
    from sluice.lake import tables

    declared = spec.model
    columns = ["ds", *declared.features.numeric, *declared.features.categorical]
    if champion is not None:
        train = champion.meta.splits["train"]
        first, last = train["first"], train["last"]
        snapshot = int(champion.registered.tags[f"snapshot.{declared.features_table}"])
    else:
        start = date.fromisoformat(day)
        first, last = ((start - timedelta(days=days)).isoformat() for days in (spec.history_days, 1))
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


def _decision(spec: Pipeline, day: str, champion: LoadedModel | None) -> MonitorDecision:
    from ml.monitoring import decide

    trained = date.fromisoformat(champion.registered.tags["as_of"]) if champion else None
    return decide(
        _history(spec, day),
        monitoring_config(spec),
        champion_auc=_champion_auc(champion),
        model_age_days=(date.fromisoformat(day) - trained).days if trained else None,
    )


def _champion_auc(champion: LoadedModel | None) -> float | None:
    return champion.metrics["candidate"]["daily_auc"]["value"] if champion else None


def _history(spec: Pipeline, day: str) -> list[DayNumbers]:
    """The newest record of each monitored day to `day`, in the order of days."""
    from ml.monitoring import DayNumbers

    newest: dict[str, dict[str, Any]] = {}
    for entry in ledger.entries(
        kind="monitored", pipeline=spec.pipeline, subject=spec.model.name, limit=_RECORDS
    ):
        newest.setdefault(entry.data["ds"], entry.data)
    return [DayNumbers.from_dict(newest[ds]) for ds in sorted(newest) if ds <= day]


def _compared(spec: Pipeline, day: str, rows: pa.Table, folder: Path) -> DayNumbers | None:
    """The day's earlier numbers, if its pages stand and are about the very same predictions."""
    from ml.page import DRIFT, SUMMARY

    if not all((folder / f"{name}.html").is_file() for name in (DRIFT, SUMMARY)):
        return None
    found = [numbers for numbers in _history(spec, day) if numbers.ds == day]
    version = rows["model_version"][0].as_py()
    age = rows["input_age_days"][0].as_py()
    now = (version, rows.num_rows, age)
    if found and (found[-1].model_version, found[-1].rows, found[-1].input_age_days) == now:
        return found[-1]
    return None


def _last_request(spec: Pipeline) -> date | None:
    found = ledger.entries(kind="retrain_requested", pipeline=spec.pipeline, subject=spec.model.name, limit=1)
    return date.fromisoformat(found[0].partition) if found and found[0].partition else None
