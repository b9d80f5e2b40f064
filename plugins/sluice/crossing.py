"""The crossing: stage, audit, publish or hold. Every table of every pipeline is written by these three steps.

Nothing else publishes. `publish` asks the ledger for the batch's verdict and refuses without one that allows it, so
a task that runs out of order, twice, or by hand cannot show unaudited rows to a reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice import ledger, outdated, waivers
from sluice.core.errors import (
    BatchHeldError,
    BatchSupersededError,
    GateBrokenError,
    RetryableError,
    SluiceError,
    VerdictMissingError,
)
from sluice.core.partitions import Partition
from sluice.core.runs import Run
from sluice.declare.spec import PREDICTIONS
from sluice.lake import inputs, storage
from sluice.ledger import records

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.gates.verdict import Verdict
    from sluice.lake.batches import Manifest
    from sluice.lake.tables import Publication


def stage(
    spec: Pipeline,
    table: str,
    run_days: Sequence[str],
    run: Run,
    *,
    pseudonym_key: bytes | None = None,
) -> Manifest:
    """Write the batch of `table` for the runs of `run_days` where no reader looks.

    Args:
        run_days: partition keys (YYYY-MM-DD), in order and without gaps; more than one for history.
        run: which run stages, for the manifest.
        pseudonym_key: replaces personal data; needed by a source that has some.

    Raises:
        SluiceError: the inputs are missing, damaged or break their contract; nothing was staged.
        StorageFullError: there is no space left.
    """
    with storage.space_needed(f"stage of {spec.pipeline}.{table}"):
        manifest = _staged(spec, table, run_days, run, pseudonym_key)
        ledger.append(
            records.Staged(
                batch_id=manifest.batch_id,
                dag_id=run.dag_id,
                received=manifest.received,
                rows=manifest.rows,
                dropped=manifest.dropped,
                unmatched=manifest.unmatched,
                content_hash=manifest.content_hash,
                noted=[note.model_dump(mode="json") for note in manifest.noted],
            ),
            pipeline=spec.pipeline,
            subject=table,
            partition=manifest.days,
            run=run.run_id,
        )
    return manifest


def _staged(
    spec: Pipeline, table: str, run_days: Sequence[str], run: Run, pseudonym_key: bytes | None
) -> Manifest:
    """The batch that a run of these days has to bring across: a new one, or one that waits to cross already."""
    if released := _released(spec, table, run_days):
        return released
    if table in spec.sources:
        from sluice.ingest.stage import stage_source

        with _recording_refusal(spec, table, run_days, run):
            return stage_source(spec, table, run_days, run, pseudonym_key=pseudonym_key)
    if table in spec.derived:
        from sluice.transform.stage import stage_derived

        return stage_derived(spec, table, run_days, run)
    if table == PREDICTIONS:
        from sluice.models.scoring import stage_predictions

        return stage_predictions(spec, run_days, run)
    spec.source(table)  # raises, and names what is declared
    raise AssertionError(table)


def _released(spec: Pipeline, table: str, run_days: Sequence[str]) -> Manifest | None:
    """The batch of a derived table that a person released: it crosses as it was judged, and is not built anew.

    A release is for inputs as they were: where they were corrected since, the batch is built anew, and judged. A source needs
    no such care: its batch is made of the same delivery, or of another one that is to be judged.
    """
    from sluice.lake import batches

    if table in spec.sources or table not in spec.tables:
        return None
    batch_id = waivers.awaited(spec, table, Partition.of([spec.data_day(table, day) for day in run_days]))
    released = batches.load(spec.pipeline, table, batch_id) if batch_id else None
    return released if released and outdated.is_newest(spec, released) else None


@contextmanager
def _recording_refusal(spec: Pipeline, source: str, run_days: Sequence[str], run: Run) -> Iterator[None]:
    """Record a delivery that cannot be used, as `refused`; one that is only late or out of reach may still come."""
    from sluice.ingest import deliveries

    # Before it is read: what is announced meanwhile has not been refused.
    files = deliveries.names(spec, source, run_days)
    try:
        yield
    except RetryableError:
        raise
    except SluiceError as error:
        days = [spec.data_day(source, day) for day in run_days]
        unwritten = _write_refusal(spec, source, days, error, files, run)
        ledger.append(
            records.Refused(
                dag_id=run.dag_id,
                error=type(error).__name__,
                what=error.what,
                where=error.where,
                allowed=error.allowed,
                todo=error.todo,
                files=files,
                report=error.report,
                **{"unwritten": unwritten} if unwritten else {},
            ),
            pipeline=spec.pipeline,
            subject=source,
            partition=Partition.of(days),
            run=run.run_id,
        )
        raise


def _write_refusal(
    spec: Pipeline,
    source: str,
    days: Sequence[str],
    error: SluiceError,
    files: Sequence[str],
    run: Run,
) -> str:
    """Write the evidence of a refusal and name it in the error; returns why it could not be written, or "".

    Raises:
        OSError: there is no space left: the stage is tried again.
    """
    from sluice.gates import refusal

    try:
        error.report = refusal.write(spec.pipeline, source, days, error, files=files, run=run)
    except OSError as problem:
        if storage.is_full(problem):
            raise
        return str(problem)
    return ""


def audit(spec: Pipeline, table: str, batch_id: str, run: Run) -> Verdict:
    """Run the gate over a staged batch and record its verdict, whatever it is.

    Raises:
        BatchUnknownError: no such batch was staged.
        StorageFullError: there is no space left; nothing was judged.
    """
    from sluice import gates
    from sluice.lake import batches

    # A split is never judged by itself: the full batch is, by the rules of today.
    manifest = batches.load(spec.pipeline, table, batches.full_id(batch_id))
    with storage.space_needed(f"audit of {spec.pipeline}.{table}, batch {batch_id}"):
        # Of two verdicts the one that was begun later counts, however late the other is recorded.
        begun_after = max((entry.seq for entry in ledger.entries(limit=1)), default=0)
        waiver = waivers.active(spec, table, manifest.days, manifest.content_hash)
        verdict = gates.run(spec, manifest, waiver=waiver.seq if waiver else None)
        ledger.append(
            (records.Verdict if verdict.publishes else records.Held)(
                **verdict.model_dump(mode="json"), begun_after=begun_after
            ),
            pipeline=spec.pipeline,
            subject=table,
            partition=manifest.days,
            run=run.run_id,
        )
    return verdict


def require_publishable(verdict: Verdict) -> None:
    """Raise unless the verdict publishes, or a waiver did at the time of the verdict.

    Raises:
        BatchHeldError: the verdict is HOLD.
        GateBrokenError: the verdict is ERROR, which nobody can waive.
    """
    if verdict.publishes or (verdict.outcome == "HOLD" and verdict.waiver is not None):
        return
    error = (BatchHeldError if verdict.outcome == "HOLD" else GateBrokenError)(
        verdict.sentence,
        where=f"{verdict.pipeline}.{verdict.table} {verdict.days}, batch {verdict.batch_id}",
        todo=f"read the evidence ({verdict.report}), deliver a corrected file or correct the rule, "
        "then start the run of this partition again",
    )
    error.verdict, error.report = verdict, verdict.report
    raise error


def publish(spec: Pipeline, table: str, batch_id: str, run: Run) -> Publication:
    """Make an audited batch visible in one atomic commit; a repetition changes nothing.

    What it sets aside is in the quarantine table before readers see the day without it.

    Args:
        batch_id: the batch that the verdict names as publishable.

    Raises:
        BatchUnknownError: no such batch was staged.
        VerdictMissingError: its newest verdict does not allow it, or there is none.
        BatchSupersededError: its inputs are not the newest any more, or a newer batch of the same partition is published.
        LandingUnreachableError: the landing zone of a source does not answer.
        RowsLostError: rows that were received are neither in it, nor set aside, nor dropped for a reason.
        StorageFullError: there is no space left.
    """
    with storage.space_needed(f"publish of {spec.pipeline}.{table}, batch {batch_id}"):
        return _publish(spec, table, batch_id, run)


def _publish(spec: Pipeline, table: str, batch_id: str, run: Run) -> Publication:
    from sluice.lake import batches, rewrites

    asked = batches.load(spec.pipeline, table, batch_id)
    partition = asked.days
    allowed = _permission(spec, table, partition, asked)
    manifest, verdict_id, waiver = allowed.manifest, allowed.verdict_id, allowed.waiver
    publication = _commit(spec, allowed)
    if not _recorded(spec, table, partition, manifest.batch_id, waiver):
        ledger.append(
            records.Published(
                batch_id=manifest.batch_id,
                split_of=manifest.split_of,
                verdict_id=verdict_id,
                snapshot_id=publication.snapshot_id,
                rows=manifest.rows,
                received=manifest.received,
                dropped=manifest.dropped,
                quarantined=manifest.quarantined,
                **{} if waiver is None else {"waiver": waiver},
                **_inherited(manifest),
                **rewrites.publication(spec, manifest),
            ),
            pipeline=spec.pipeline,
            subject=table,
            partition=partition,
            run=run.run_id,
            # The same batch may be released again when its release is over.
            once=f"published:{spec.pipeline}.{table}:{manifest.batch_id}:{verdict_id}"
            + (f":{waiver}" if waiver else ""),
        )
    return publication


def _inherited(manifest: Manifest) -> dict[str, Any]:
    """What the record of a publication says of its inputs: waivers that they rest on, history that they lack, their time."""
    listed = {"waived_inputs": manifest.waived_inputs, "missing_history": manifest.missing_history}
    said = {name: [one.model_dump(mode="json") for one in each] for name, each in listed.items() if each}
    return {**said, "made_late": True} if inputs.made_late(manifest) else said


def _commit(spec: Pipeline, allowed: _Permission) -> Publication:
    """First what is set aside, then what readers see; and what an older batch has set aside meanwhile is closed."""
    from sluice.lake import quarantine, splits, tables

    manifest, verdict_id, waiver = allowed.manifest, allowed.verdict_id, allowed.waiver
    try:
        outdated.require_newest(spec, manifest, strictly=waiver is not None)
        quarantined = splits.set_aside(manifest)
        splits.check_conserved(manifest, quarantined)
        quarantine.record(
            manifest, quarantined, verdict_id=verdict_id, waiver=waiver, retention=spec.retention
        )
        publication = tables.publish(
            manifest,
            verdict_id=verdict_id,
            waiver=waiver,
            empty=allowed.empty,
            retention=spec.retention,
            check=partial(outdated.require_not_behind, spec, manifest),
        )
    except BatchSupersededError:
        # It was too late, perhaps between the two: readers see a newer batch, which lacks none of these rows.
        quarantine.close_older(manifest, verdict_id=verdict_id, retention=spec.retention)
        raise
    quarantine.close_older(manifest, verdict_id=verdict_id, waiver=waiver, retention=spec.retention)
    return publication


@dataclass(frozen=True)
class _Permission:
    """What may be published for a batch, and what allows it."""

    manifest: Manifest
    verdict_id: str
    # The days of which the verdict says that they have no rows.
    empty: Sequence[str]
    # The waiver's number, where the verdict is a HOLD.
    waiver: int | None = None


def _permission(spec: Pipeline, table: str, partition: Partition, manifest: Manifest) -> _Permission:
    """What may be published for a batch.

    An audit that ran twice made two splits of the same rows. Whichever of them is asked for, the one that the newest
    verdict names is published, so that the same rows never become visible twice.
    """
    from sluice.lake import batches

    full_id = batches.full_id(manifest.batch_id)
    judged = waivers.judgement(spec, table, partition, full_id)
    named = (judged.record.publish_batch_id or full_id) if judged else ""
    if judged and named != manifest.batch_id:
        other = batches.load(spec.pipeline, table, named)
        if other.splits_like(manifest):
            manifest = other
    if judged is None:
        found = "none is recorded"
    elif named != manifest.batch_id:
        found = f"the newest is about batch {named} in its place"
    elif judged.kind == "verdict":
        return _Permission(manifest, judged.record.verdict_id, judged.record.empty)
    else:
        found = f"the newest is {judged.record.outcome}"
        full = batches.load(spec.pipeline, table, full_id)
        waiver = waivers.active(spec, table, partition, full.content_hash)
        if judged.record.outcome == "HOLD" and waiver:
            return _Permission(manifest, judged.record.verdict_id, judged.record.empty, waiver.seq)
    raise VerdictMissingError(
        f"Batch {manifest.batch_id} has no verdict that allows publishing it: {found}.",
        where=f"{spec.pipeline}.{table} {partition}",
        allowed="PASS or WARN, or a HOLD that somebody released",
        todo=f"run the task audit_{table} of this run",
    )


def _recorded(spec: Pipeline, table: str, partition: Partition, batch_id: str, waiver: int | None) -> bool:
    """Whether the ledger's last entry about a partition is that this batch was published, on the same permission."""
    for entry in ledger.entries(pipeline=spec.pipeline, subject=table, partition=partition):
        if entry.kind in ("held", "refused"):
            return False
        if entry.kind == "published":
            return (entry.record.batch_id, entry.record.waiver) == (batch_id, waiver)
    return False
