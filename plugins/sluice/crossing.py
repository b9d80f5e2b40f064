"""The crossing: stage, audit, publish or hold. Every table of every pipeline is written by these three steps.

Nothing else publishes. `publish` asks the ledger for the batch's verdict and refuses without one that allows it, so
a task that runs out of order, twice, or by hand cannot show unaudited rows to a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.errors import BatchHeldError, GateBrokenError, VerdictMissingError
from sluice.spec import PREDICTIONS, partition_label

if TYPE_CHECKING:
    from sluice.gates.verdict import Verdict
    from sluice.lake.batches import Manifest
    from sluice.lake.tables import Publication
    from sluice.spec import Pipeline


def stage(spec: Pipeline, table: str, run_days: Sequence[str], run: dict[str, str]) -> Manifest:
    """Write the batch of `table` for the runs of `run_days` where no reader looks.

    Args:
        run_days: partition keys (YYYY-MM-DD), in order and without gaps; more than one for history.
        run: what identifies the run in the manifest: dag_id, run_id, try.

    Raises:
        SluiceError: the inputs are missing, damaged or break their contract; nothing was staged.
    """
    if table in spec.sources:
        from sluice.ingest.stage import stage_source

        manifest = stage_source(spec, table, run_days, run)
    elif table in spec.derived:
        from sluice.transform.stage import stage_derived

        manifest = stage_derived(spec, table, run_days, run)
    elif table == PREDICTIONS:
        from sluice.modelling.scoring import stage_predictions

        manifest = stage_predictions(spec, run_days, run)
    else:
        spec.source(table)  # raises, and names what is declared
        raise AssertionError(table)
    ledger.append(
        "staged",
        pipeline=spec.pipeline,
        subject=table,
        partition=partition_label(manifest.partitions),
        run=run.get("run_id"),
        data={
            "batch_id": manifest.batch_id,
            "received": manifest.received,
            "rows": manifest.rows,
            "dropped": manifest.dropped,
            "content_hash": manifest.content_hash,
        },
    )
    return manifest


def audit(spec: Pipeline, table: str, batch_id: str, run: dict[str, str]) -> Verdict:
    """Run the gate over a staged batch and record its verdict, whatever it is.

    Raises:
        BatchUnknownError: no such batch was staged.
    """
    from sluice import gates
    from sluice.lake import batches

    manifest = batches.load(spec.pipeline, table, batch_id)
    verdict = gates.run(spec, manifest)
    ledger.append(
        "verdict" if verdict.publishes else "held",
        pipeline=spec.pipeline,
        subject=table,
        partition=partition_label(manifest.partitions),
        run=run.get("run_id"),
        data=verdict.model_dump(mode="json"),
    )
    return verdict


def require_publishable(verdict: Verdict) -> None:
    """Raise unless the verdict publishes.

    Raises:
        BatchHeldError: the verdict is HOLD.
        GateBrokenError: the verdict is ERROR.
    """
    if verdict.publishes:
        return
    error = (BatchHeldError if verdict.outcome == "HOLD" else GateBrokenError)(
        f"{verdict.outcome}: {'; '.join(verdict.reasons)}",
        where=f"{verdict.pipeline}.{verdict.table} {partition_label(verdict.partitions)}, batch {verdict.batch_id}",
        todo=f"read the evidence ({verdict.report}), deliver a corrected file or correct the rule, "
        "then start the run of this partition again",
    )
    error.verdict = verdict
    raise error


def publish(spec: Pipeline, table: str, batch_id: str, run: dict[str, str]) -> Publication:
    """Make an audited batch visible in one atomic commit; a repetition changes nothing.

    Raises:
        BatchUnknownError: no such batch was staged.
        VerdictMissingError: its newest verdict does not allow it, or there is none.
        BatchSupersededError: a newer batch of the same partition is published already.
    """
    from sluice.lake import batches, tables

    manifest = batches.load(spec.pipeline, table, batch_id)
    partition = partition_label(manifest.partitions)
    verdict_id = _allowing_verdict(spec, table, partition, batch_id)
    publication = tables.publish(manifest, verdict_id=verdict_id)
    ledger.append(
        "published",
        pipeline=spec.pipeline,
        subject=table,
        partition=partition,
        run=run.get("run_id"),
        once=f"published:{spec.pipeline}.{table}:{batch_id}",
        data={
            "batch_id": batch_id,
            "verdict_id": verdict_id,
            "snapshot_id": publication.snapshot_id,
            "rows": manifest.rows,
            "received": manifest.received,
            "dropped": manifest.dropped,
        },
    )
    return publication


def _allowing_verdict(spec: Pipeline, table: str, partition: str, batch_id: str) -> str:
    found = "none is recorded"
    for entry in ledger.entries(pipeline=spec.pipeline, subject=table, partition=partition):
        if entry.kind in ("verdict", "held") and entry.data["batch_id"] == batch_id:
            if entry.kind == "verdict":
                return entry.data["verdict_id"]
            found = f"the newest is {entry.data['outcome']}"
            break
    raise VerdictMissingError(
        f"Batch {batch_id} has no verdict that allows publishing it: {found}.",
        where=f"{spec.pipeline}.{table} {partition}",
        allowed="PASS or WARN",
        todo=f"run the task audit_{table} of this run",
    )
