"""From what went wrong to an event: a verdict that does not publish, an exception, a model that was refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sluice.core import clock
from sluice.core.dag_ids import DECLARATION_TASK
from sluice.core.errors import (
    DatabaseUnavailableError,
    DeliveryMissingError,
    LakeUnreachableError,
    LandingUnreachableError,
    LedgerEntryInvalidError,
    LedgerTamperedError,
    NotPublishedError,
    RunKeyInvalidError,
    SluiceError,
    SpecInvalidError,
)
from sluice.core.links import evidence_url, page_url
from sluice.core.partitions import Partition
from sluice.declare.spec import Pipeline
from sluice.gates import policy
from sluice.gates.verdict import RuleResult, Verdict
from sluice.lake import batches
from sluice.ledger.records import EndsWith
from sluice.notify import privacy, reader_impact, steps
from sluice.notify.events import Event, FailedRule, FailingRow
from sluice.notify.model_events import (
    of_approval,
    of_refusal,
    of_roll_back,
    of_rollback_request,
    of_stuck_model,
)
from sluice.notify.watcher_events import (
    of_broken_declaration,
    of_broken_ledger,
    of_damaged_model,
    of_missed_deadline,
    of_rewritten,
    of_unexpected_files,
    of_waiver_expired,
)

if TYPE_CHECKING:
    pass

__all__ = [
    "of_approval",
    "of_broken_declaration",
    "of_broken_ledger",
    "of_damaged_model",
    "of_exception",
    "of_missed_deadline",
    "of_refusal",
    "of_rewritten",
    "of_roll_back",
    "of_rollback_request",
    "of_stuck_model",
    "of_unexpected_files",
    "of_verdict",
    "of_waiver_expired",
]

# What differs between two tellings of the same cause: days, numbers, hashes.
_VARIABLE = re.compile(r"\b[0-9a-f]{8,}\b|\d+")

# What a mail about an outage is about, instead of the task that met it.
_SHARED: dict[type, str] = {
    LandingUnreachableError: "landing",
    LakeUnreachableError: "warehouse",
    DatabaseUnavailableError: "database",
    LedgerEntryInvalidError: "ledger",
}


def of_verdict(spec: Pipeline, verdict: Verdict, *, task_url: str) -> Event:
    """A batch that its gate held, or a gate that broke.

    The same rules holding batches of the same table are one fault, whatever the partition.
    """
    table, label = verdict.table, str(verdict.days)
    held = verdict.outcome == "HOLD"
    hidden = privacy.hidden_columns(spec, table)
    rules = tuple(_failed(rule, hidden) for rule in verdict.failed)
    holding = sorted(rule.rule for rule in verdict.failed if rule.holds) or sorted(r.rule for r in rules)
    sample = verdict.sample if privacy.shows_rows(spec, table) else ()
    manifest = batches.load(spec.pipeline, table, verdict.batch_id)
    return Event(
        kind="held_batch" if held else "broken_gate",
        pipeline=spec.pipeline,
        subject=table,
        partition=label,
        run_day=_other_day(spec, table, verdict.partitions),
        cause=",".join(holding) or _normalised("; ".join(verdict.reasons)),
        occurrence=manifest.content_hash,
        ends_with=EndsWith.of("published", table),
        batch_id=verdict.batch_id,
        owner=spec.owner_of(table),
        effect=reader_impact.waiting(spec, table, verdict.partitions),
        probable_kind=verdict.cause.kind if verdict.cause and verdict.cause.is_clear else "",
        probable_cause=verdict.cause.sentence if verdict.cause else "",
        summary=_reasons(verdict, hidden=bool(hidden)),
        rows=verdict.rows,
        rules=rules,
        rules_total=len(verdict.rules),
        sample=tuple(FailingRow(rules=one.rules, row=privacy.strike(one.row, hidden)) for one in sample),
        facts={
            "Rests on": "; ".join(one.released for one in manifest.waived_inputs),
            "Made without": "; ".join(one.named for one in manifest.missing_history),
        },
        not_published=steps.not_published(spec, table),
        next_steps=steps.after_verdict(
            spec,
            table,
            verdict.partitions,
            held=held,
            shows_rows=bool(sample),
            lacks_rows=bool(verdict.empty) and not verdict.failed,
        ),
        commands=steps.commands(spec, table, label, release=held),
        links={
            "Evidence": evidence_url(verdict.report),
            "Partition": page_url("partition", spec.pipeline, table, verdict.partitions[0]),
            "Task": task_url,
            **steps.operate_links(spec, table, label, release=held),
        },
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
    dag_id: str = "",
) -> Event:
    """A task that finally failed: for a verdict that does not publish, or for another reason.

    Args:
        partition: the run's day, or its range `first..last`; None where it has none.
    """
    if isinstance(exception, NotPublishedError) and exception.verdict is not None:
        return of_verdict(spec, exception.verdict, task_url=task_url)
    task = task_id.rsplit(".", 1)[-1]
    if isinstance(exception, RunKeyInvalidError):
        # What it names is no partition of anything.
        partition = None
    if isinstance(exception, SpecInvalidError) and task == DECLARATION_TASK:
        return of_broken_declaration(spec.pipeline, exception, owner=spec.owner, task_url=task_url)
    if isinstance(exception, LedgerTamperedError):
        return of_broken_ledger(spec, exception, task=task, task_url=task_url)
    table = next((name for name in spec.tables if task.split("_", 1)[-1] == name), None)
    data_days = _data_days(spec, table, partition) if table else ()
    if isinstance(exception, DeliveryMissingError) and table in spec.sources and data_days:
        absent = [spec.data_day(table, day) for day in exception.run_days]
        return of_missed_deadline(
            spec,
            table,
            str(Partition.of(absent or data_days)),
            run_day=partition or "",
            why=str(exception),
            task_url=task_url,
        )
    # What many tasks share fails many tasks: they are one fault.
    shared = _SHARED.get(type(exception), "")
    ends_with = _ends_with(spec, task, table, dag_id) if partition else EndsWith.of("succeeded", task)
    return Event(
        kind="failed_task",
        pipeline=spec.pipeline,
        subject=shared or task,
        partition=str(Partition.of(data_days)) if data_days else partition,
        run_day=partition if data_days and partition != str(Partition.of(data_days)) else None,
        task=task if shared else "",
        table=table or "",
        cause=_cause(exception),
        occurrence=run_id if partition is None else "",
        ends_with=ends_with,
        owner=spec.owner_of(table) if table else spec.owner,
        effect=reader_impact.failing(
            spec, table, data_days, partition, day_waits=ends_with.how == "completed"
        ),
        summary=_summary(spec, table, exception),
        not_published=steps.not_published(spec, table) if table else (),
        next_steps=steps.after_failure(exception),
        commands=steps.commands(spec, table, str(Partition.of(data_days))) if table and data_days else {},
        links={**_evidence(exception), "Task": task_url},
        occurred_at=clock.utc_now(),
    )


def _evidence(exception: BaseException | None) -> dict[str, str]:
    """A link to the page that an error's evidence is on, where it has one."""
    report = exception.report if isinstance(exception, SluiceError) else ""
    return {"Evidence": evidence_url(report)} if report else {}


def _failed(rule: RuleResult, hidden: frozenset[str]) -> FailedRule:
    return FailedRule(
        rule=rule.rule,
        severity=rule.severity,
        owner=rule.owner,
        why=rule.why,
        observed=privacy.observed(rule.observed, rule.columns, rule.failing_rows, hidden),
        columns=rule.columns,
        failing_rows=rule.failing_rows,
        holds=rule.holds,
    )


def _reasons(verdict: Verdict, *, hidden: bool) -> str:
    """The reasons that are not about a rule which the mail lists anyway; none that may quote personal data."""
    of_rules = {policy.sentence(rule) for rule in verdict.failed}
    others = [reason for reason in verdict.reasons if reason not in of_rules]
    if hidden and others and verdict.outcome == "HOLD":
        return ""
    return " ".join(others)


def _cause(exception: BaseException | None) -> str:
    if exception is None:
        return "killed"
    what = exception.what if isinstance(exception, SluiceError) else str(exception)
    return f"{type(exception).__name__} {_normalised(what)}"


def _normalised(text: str) -> str:
    """A message without what differs from day to day, so that the same cause reads the same."""
    return _VARIABLE.sub("#", text.strip().partition("\n")[0])[:300]


def _summary(spec: Pipeline, table: str | None, exception: BaseException | None) -> str:
    if exception is None:
        return "The task's process ended without saying why, or was killed."
    if not spec.may_quote(table) and not isinstance(exception, SluiceError):
        return (
            f"{type(exception).__name__}. Its message is not mailed, because the data is about persons: "
            "it is in the task's log."
        )
    if isinstance(exception, SluiceError):
        # Without its next step, which is the first of the mail's.
        parts = {"": exception.what, "Where: ": exception.where, "Allowed: ": exception.allowed}
        return "\n".join(f"{label}{text}" for label, text in parts.items() if text)
    # Another library's: a line break in it may be part of a value that it quotes.
    return " ".join(str(exception).split()) or type(exception).__name__


def _ends_with(spec: Pipeline, task: str, table: str | None, dag_id: str) -> EndsWith:
    if table:
        return EndsWith.of("published", table)
    if dag_id in (f"{spec.pipeline}_ingest", f"{spec.pipeline}_backfill"):
        return EndsWith.of("completed")
    return EndsWith.of("succeeded", task)


def _data_days(spec: Pipeline, table: str, partition: str | None) -> tuple[str, ...]:
    """The days of a table that a run writes; none where the run's partition is no day or range of days."""
    try:
        days = list(Partition.parse(partition or ""))
    except ValueError:
        return ()
    return tuple(spec.data_day(table, day) for day in days)


def _other_day(spec: Pipeline, table: str, partitions: tuple[str, ...]) -> str | None:
    """The run day of a partition, where it is not the same day."""
    day = spec.run_day(table, partitions[-1])
    return None if day == partitions[-1] or len(partitions) > 1 else day
