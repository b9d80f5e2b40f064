"""Replay: the same crossing again, after the data, the rule or the mapping was corrected.

It stages what is there now, which is the held batch itself unless something about its making has changed, and lets the
gate judge it again. What is too old to be of use is given up instead: it counts as expired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sluice import crossing, ledger
from sluice.core.errors import (
    BatchUnknownError,
    ContractBrokenError,
    DeliveryUnreadableError,
    NotPublishedError,
    ReplayRefusedError,
    SluiceError,
)
from sluice.core.partitions import Partition
from sluice.core.runs import Run
from sluice.declare.spec import Pipeline
from sluice.holds.listing import Hold, find, open_holds
from sluice.lake import batches, inputs, quarantine
from sluice.ledger import records

if TYPE_CHECKING:
    from sluice.gates.verdict import Verdict


@dataclass(frozen=True)
class Plan:
    """What a replay is about, noted before it begins, as plain JSON values."""

    table: str
    partition: str
    run_days: tuple[str, ...]
    kind: str
    batch_id: str | None
    # What was held then; None where the delivery could not be read.
    rows: int | None
    # It is older than the pipeline's `hold_days`.
    overdue: bool
    # The newest entry of the ledger when it was planned.
    seq: int
    dag_id: str | None
    run_id: str | None
    # Of a delivery that was refused: the files that were there.
    files: tuple[str, ...] = ()

    @property
    def days(self) -> Partition:
        return Partition.parse(self.partition)


@dataclass(frozen=True)
class Outcome:
    """What became of the rows that were held."""

    repaired: int
    still_held: int
    expired: int
    # Why what is still held is held.
    reason: str = ""

    def __str__(self) -> str:
        held = "the delivery" if self.reason and not self.still_held else self.still_held
        said = f"repaired {self.repaired}, still held {held}, expired {self.expired}"
        return f"{said}: {self.reason}" if self.reason else said


def plan(spec: Pipeline, table: str, day: str) -> Plan:
    """What a replay of a day (YYYY-MM-DD) of a table's data would work on; nothing is touched.

    Raises:
        SourceUnknownError, DayInvalidError: the pipeline has no such table, or there is no such day.
        ReplayRefusedError: nothing of it is held, or it was replayed already.
    """
    hold = require_held(spec, table, day)
    return Plan(
        table=table,
        partition=hold.partition,
        run_days=hold.run_days,
        kind=hold.kind,
        batch_id=hold.batch_id,
        rows=hold.rows,
        overdue=hold.overdue,
        seq=ledger.entries(pipeline=spec.pipeline, limit=1)[0].seq,
        dag_id=hold.dag_id,
        run_id=hold.run_id,
        files=hold.files,
    )


def require_held(spec: Pipeline, table: str, day: str) -> Hold:
    """The open hold that a day (YYYY-MM-DD) of a table's data belongs to.

    Raises: as `plan`.
    """
    hold = find(spec, table, day)
    if hold is None:
        raise _nothing_held(spec, table, day)
    return hold


def require_run(spec: Pipeline, held: Plan | Hold) -> None:
    """Refuse what only a terminal can bring back, because there is no run of Airflow to run again.

    Raises:
        ReplayRefusedError: no run of Airflow found it.
    """
    where = f"{spec.pipeline}.{held.table} {held.partition}"
    if not held.dag_id or not held.run_id:
        raise ReplayRefusedError(
            f"{held.table} {held.partition} was not held by a run of Airflow.",
            where=where,
            allowed="a hold that a run of Airflow found",
            todo=f"use the `sluice` command, or trigger {spec.pipeline}_{spec.stage_of(held.table)} with the day's partition key",
        )


def require_as_seen(spec: Pipeline, held: Plan | Hold, seen: Mapping[str, str]) -> None:
    """Refuse what was asked for about something else than what is held now: a person decides about what he looked at.

    Args:
        seen: what the page with the form has shown: the `batch` ("" where there is none) and whether it was `overdue` ("1" or
            "0"). What is not in it is not compared: Airflow's own form shows neither.

    Raises:
        ReplayRefusedError: another batch is held now, or it has grown too old meanwhile.
    """
    now = {"batch": held.batch_id or "", "overdue": str(int(held.overdue))}
    differs = [name for name, value in now.items() if seen.get(name, value) != value]
    if not differs:
        return
    where = f"{spec.pipeline}.{held.table} {held.partition}"
    if "batch" in differs:
        what = f"Another batch is in the way: {where}, batch {held.batch_id or 'that could not be staged'}, is what is held first now."
        allowed = f"batch {seen['batch']}, which was looked at" if seen["batch"] else "what was looked at"
    elif held.overdue:
        what = f"{where} has grown older than {spec.hold_days} days: this would now give it up."
        allowed = "a hold that is young enough to be replayed"
    else:
        what = f"{where} is not too old any more: this would now replay it."
        allowed = "a hold that is too old to be replayed"
    raise ReplayRefusedError(
        what, where=where, allowed=allowed, todo="look again at what is held, and ask for it then"
    )


def replay(
    spec: Pipeline, table: str, day: str, run: Run, *, by: str = "", pseudonym_key: bytes | None = None
) -> Outcome:
    """Send what is held of a day through the same gate again, in this process, and publish it if it passes.

    Args:
        by: who asked for it.
        pseudonym_key: replaces personal data; needed for a source that has some.

    Raises:
        SourceUnknownError, ReplayRefusedError: as `plan`.
        RetryableError: the landing zone or a delivery is out of reach.
        TransformFailedError, TableMissingError: a derived table still cannot be built.
    """
    planned = plan(spec, table, day)
    if not planned.overdue:
        _cross(spec, planned, run, pseudonym_key)
    return conclude(spec, planned, run, by=by)


def _cross(spec: Pipeline, planned: Plan, run: Run, pseudonym_key: bytes | None) -> None:
    """Stage, audit and publish; where it is held or refused again, the ledger says why."""
    try:
        manifest = crossing.stage(spec, planned.table, planned.run_days, run, pseudonym_key=pseudonym_key)
    except (ContractBrokenError, DeliveryUnreadableError):
        return
    verdict = crossing.audit(spec, planned.table, manifest.batch_id, run)
    _publish(spec, planned.table, verdict, run)


def _publish(spec: Pipeline, table: str, verdict: Verdict, run: Run) -> None:
    """Publish what a verdict lets be published; what it holds stays held, and the verdict has said so."""
    try:
        crossing.require_publishable(verdict)
    except NotPublishedError:
        return
    crossing.publish(spec, table, verdict.publish_batch_id, run)


def conclude(spec: Pipeline, planned: Plan, run: Run, *, by: str = "") -> Outcome:
    """Compare what is held now with what was held when the replay was planned, and record it as `replayed` (`by` whom)."""
    if planned.overdue:
        give_up(spec, planned, run)
    hold = find(spec, planned.table, planned.days.first)
    still, reason = (hold.rows or 0, hold.reason) if hold else (0, "")
    if planned.overdue:
        outcome = Outcome(0, still, planned.rows or 0, reason)
    elif planned.kind == "quarantined":
        outcome = Outcome(max(0, (planned.rows or 0) - still), still, 0, reason)
    elif hold is None or hold.kind == "quarantined":
        outcome = Outcome(_published_rows(spec, planned), still, 0, reason)
    else:
        outcome = Outcome(0, still, 0, reason)
    ledger.append(
        records.Replayed(**asdict(outcome), kind=planned.kind, batch_id=planned.batch_id, by=by),
        pipeline=spec.pipeline,
        subject=planned.table,
        partition=planned.partition,
        run=run.run_id,
    )
    return outcome


def give_up(spec: Pipeline, held: Plan | Hold, run: Run) -> None:
    """Close a hold that has grown too old, as `expired`; a later delivery of its days is judged as ever."""
    if held.kind == "quarantined":
        first, last = held.days.first, held.days.last
        quarantine.expire(spec.pipeline, held.table, first, last, run=run, retention=spec.retention)
    ledger.append(
        records.Expired(
            kind=held.kind,
            batch_id=held.batch_id,
            rows=held.rows,
            hold_days=spec.hold_days,
            inputs=_made_from(spec, held),
            files=held.files,
        ),
        pipeline=spec.pipeline,
        subject=held.table,
        partition=held.partition,
        run=run.run_id,
    )


def _made_from(spec: Pipeline, held: Plan | Hold) -> list[dict[str, Any]]:
    try:
        return (
            inputs.identity(batches.load(spec.pipeline, held.table, held.batch_id)) if held.batch_id else []
        )
    except BatchUnknownError:  # somebody has removed it
        return []


def expire(spec: Pipeline, run: Run) -> list[Hold]:
    """Give up every hold that is older than the pipeline's `hold_days`; return them."""
    overdue = [hold for hold in open_holds(spec) if hold.overdue]
    for hold in overdue:
        give_up(spec, hold, run)
    return overdue


def _published_rows(spec: Pipeline, planned: Plan) -> int:
    """Rows that readers see of the partition now."""
    day = planned.days.first
    published = ledger.entries(
        records.Published, pipeline=spec.pipeline, subject=planned.table, days=Partition(day, day), limit=1
    )
    return published[0].record.rows if published else 0


def _nothing_held(spec: Pipeline, table: str, day: str) -> SluiceError:
    where = f"{spec.pipeline}.{table} {day}"
    replayed = ledger.entries(
        records.Replayed, pipeline=spec.pipeline, subject=table, days=Partition(day, day), limit=1
    )
    said = f"It was replayed already, on {replayed[0].at:%Y-%m-%d %H:%M} UTC." if replayed else ""
    held = ", ".join(dict.fromkeys(hold.partition for hold in open_holds(spec, table))) or "nothing"
    return ReplayRefusedError(
        f"Nothing of {where} is held. {said}".strip(),
        where=where,
        allowed=f"a day of the table's data that is held; held now: {held}",
        todo=f"look at `sluice held {spec.pipeline}` and `sluice trace {spec.pipeline} {table} {day}`; for a correction of what "
        f"readers see, trigger {spec.pipeline}_{spec.stage_of(table)} with partition key {spec.run_day(table, day)}",
    )
