"""From what went wrong to an event: a verdict that does not publish, an exception, a model that was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sluice.errors import NotPublishedError, SluiceError
from sluice.gates.verdict import Verdict
from sluice.lake import batches
from sluice.notices.events import Event, FailedRule, FailingRow
from sluice.spec import PREDICTIONS, Pipeline, partition_label
from sluice.web import evidence_url


def of_verdict(spec: Pipeline, verdict: Verdict, *, task_url: str) -> Event:
    """A batch that its gate held, or a gate that broke.

    The same content held by the same rules is the same cause, however often it is audited; another delivery that
    fails is another.
    """
    partition = partition_label(verdict.partitions)
    content = batches.load(spec.pipeline, verdict.table, verdict.batch_id).content_hash
    rules = ",".join(rule.rule for rule in verdict.failed) or "; ".join(verdict.reasons)
    held = verdict.outcome == "HOLD"
    declared = spec.sources.get(verdict.table)
    # Rows of a source with personal data stay in the evidence's own store; they are not mailed.
    sample = () if declared and declared.pii == "direct" else verdict.sample
    return Event(
        kind="held_batch" if held else "broken_gate",
        pipeline=spec.pipeline,
        subject=verdict.table,
        partition=partition,
        cause=f"{content} {rules}",
        owner=spec.owner_of(verdict.table),
        summary=" ".join(verdict.reasons),
        rows=verdict.rows,
        rules=tuple(
            FailedRule(
                rule=rule.rule,
                severity=rule.severity,
                owner=rule.owner,
                why=rule.why,
                observed=rule.observed,
                columns=rule.columns,
                failing_rows=rule.failing_rows,
            )
            for rule in verdict.failed
        ),
        rules_total=len(verdict.rules),
        sample=tuple(FailingRow(rule=item["rule"], row=item["row"]) for item in sample),
        not_published=not_published(spec, verdict.table),
        next_steps=_next_steps(spec, verdict.table, verdict.partitions, held=held),
        links={"Evidence": evidence_url(verdict.report), "Task": task_url},
        occurred_at=verdict.evaluated_at,
    )


def of_exception(
    spec: Pipeline,
    exception: BaseException | None,
    *,
    task_id: str,
    run_id: str,
    partition: str | None,
    task_url: str,
) -> Event:
    """A task that finally failed: for a verdict that does not publish, or for another reason."""
    if isinstance(exception, NotPublishedError) and exception.verdict is not None:
        return of_verdict(spec, exception.verdict, task_url=task_url)
    task = task_id.rsplit(".", 1)[-1]
    table = next((name for name in spec.tables if task.endswith(f"_{name}")), None)
    summary = (
        str(exception)
        if exception is not None
        else "The task's process ended without saying why, or was killed."
    )
    todo = exception.todo if isinstance(exception, SluiceError) else ""
    steps = [todo[0].upper() + todo[1:] + "."] if todo else ["Read the task's log."]
    steps.append("Then clear the task, or trigger the DAG again with the same partition key.")
    return Event(
        kind="failed_task",
        pipeline=spec.pipeline,
        subject=task,
        partition=partition,
        cause=f"{type(exception).__name__ if exception is not None else 'killed'} in {run_id}",
        owner=spec.owner_of(table) if table else spec.owner,
        summary=summary,
        not_published=not_published(spec, table) if table else (),
        next_steps=tuple(steps),
        links={"Task": task_url},
        occurred_at=datetime.now(UTC),
    )


def of_refusal(
    spec: Pipeline, version: int, decision: Mapping[str, Any], *, partition: str, task_url: str
) -> Event:
    """A candidate that did not earn the place of the champion."""
    return Event(
        kind="refused_model",
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=partition,
        cause=f"version {version}",
        owner=spec.owner,
        summary=f"Candidate version {version} was refused. " + " ".join(decision["reasons"]),
        not_published=(f"{spec.model.name} version {version}",),
        next_steps=(
            "Compare the candidate with the champion in the training run's record.",
            "Train again when there is more data, or when a feature or a parameter has been changed.",
        ),
        links={"Task": task_url},
        occurred_at=datetime.now(UTC),
    )


def not_published(spec: Pipeline, table: str) -> tuple[str, ...]:
    """The tables that go without a partition because of a hold of `table`: itself, and what is built from it."""
    names = [table]
    if table in spec.sources:
        names += [*spec.derived, PREDICTIONS]
    elif table == spec.model.features_table:
        names.append(PREDICTIONS)
    return tuple(f"{spec.pipeline}.{name}" for name in names)


def _next_steps(spec: Pipeline, table: str, partitions: tuple[str, ...], *, held: bool) -> tuple[str, ...]:
    if not held:
        return (
            "Open the evidence: it names the rule or the step that broke.",
            f"Correct the suite expectations/{spec.pipeline}/{table}.json or its cause, and run `sluice check`.",
            "Clear the audit task: the same staged batch is audited again.",
        )
    if table in spec.sources:
        return (
            "Open the evidence and look at the failing rows.",
            f"Ask {spec.source(table).owner} for a corrected file, and land it: "
            f"`sluice land {spec.pipeline} {table} {partitions[-1]} FILE`.",
            f"Trigger {_again(spec, table, partitions)}.",
            "If the data is right and the rule is wrong, correct the rule and clear the audit task.",
        )
    return (
        "Open the evidence and look at the failing rows.",
        "Correct the model, the input or the rule, then clear the stage task of this run.",
    )


def _again(spec: Pipeline, table: str, partitions: tuple[str, ...]) -> str:
    """Which run lands these partitions of a source, in words."""
    lag = timedelta(days=spec.lag_days(table))
    first, last = ((date.fromisoformat(day) + lag).isoformat() for day in (partitions[0], partitions[-1]))
    if first == last:
        return f"{spec.pipeline}_ingest again with partition key {first}"
    return f"{spec.pipeline}_backfill again for {first} to {last}"
