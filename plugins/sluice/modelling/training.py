"""A candidate crosses to champion: staged in the registry, audited on held-out days, promoted or refused."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sluice import integrity, ledger
from sluice.errors import VerdictMissingError
from sluice.modelling import trainset, waived
from sluice.modelling.config import model_config, registry
from sluice.settings import settings
from sluice.version import code_version, lock_hash

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.spec import Pipeline


def stage_candidate(spec: Pipeline, run_day: str, run: dict[str, str]) -> int:
    """Train on what was known on the morning of `run_day`, and register the candidate; returns its version.

    The snapshots that the training set was read from are tagged in the tables, so that they are never expired.

    Raises:
        TableMissingError: there are no features or no outcomes.
        RowsUnusableError: too few days, or only one class.
        RowsLeakError, FeaturesUnsoundError: the rows or columns are not what a model should learn from; all are named.
        HistoryRewrittenError: a published partition is not what was published; nothing is fitted.
        WaiverExpiredError: a published partition rests on a waiver that is over; nothing is fitted.
    """
    from ml.coverage import unsupported
    from ml.training import fit

    declared = spec.model
    snapshots = pin(spec, run_day, run["run_id"])
    # Features look back further than the days that are trained on: what they were built from must be intact too.
    days = declared.training_days + spec.history_days
    integrity.require_intact(spec, days, until=run_day, snapshots=snapshots)
    on_waivers = waived.require_valid(spec, days, until=run_day, snapshots=snapshots)
    chosen, config = trainset.read(spec, run_day, snapshots), model_config(spec)
    rows = chosen.rows
    models = registry()
    tags = {
        "as_of": run_day,
        "code": code_version(),
        "lock_sha256": lock_hash(),
        "dag_run": run["run_id"],
        "rows_content_sha256": _content_hash(rows),
        "waivers": waived.named(on_waivers),
        **{f"snapshot.{table}": str(snapshot) for table, snapshot in snapshots.items()},
    }
    with models.training(declared.name, tags) as mlflow_run:
        findings = trainset.require_sound(spec, rows, run_day, run, config)
        candidate = fit(rows, config)
        version = models.log(mlflow_run, candidate)
        models.set_challenger(declared.name, version)
    ledger.append(
        "trained",
        pipeline=spec.pipeline,
        subject=declared.name,
        partition=run_day,
        run=run["run_id"],
        data={
            "version": version,
            "sha256": candidate.sha256,
            "snapshots": snapshots,
            "rows": rows.num_rows,
            "splits": candidate.meta.splits,
            "metrics": candidate.meta.metrics,
            "findings": findings,
            "waivers": on_waivers,
            "unmatched": chosen.unmatched,
            "left_out": chosen.left_out,
            "unsupported": unsupported(candidate.meta.coverage),
            "capped": candidate.meta.capped,
            "mlflow_run": mlflow_run,
            "code": code_version(),
        },
    )
    return version


def audit_candidate(spec: Pipeline, version: int, run_day: str, run: dict[str, str]) -> dict[str, Any]:
    """Decide whether a candidate may become champion; the decision and its numbers go to the ledger either way.

    Raises:
        ModelDamagedError: the candidate's or the champion's file is not the one that was registered.
    """
    from ml.promotion import decide

    models = registry()
    name = spec.model.name
    candidate = models.candidate(name, version)
    champion = models.load(name, threads=settings().threads)
    decision = decide(candidate, champion.model if champion else None)
    outcome = {
        "version": version,
        "champion": champion.version if champion else None,
        "promote": decision.promote,
        "reasons": list(decision.reasons),
        "numbers": decision.numbers,
    }
    entry = ledger.append(
        "audited" if decision.promote else "refused",
        pipeline=spec.pipeline,
        subject=name,
        partition=run_day,
        run=run["run_id"],
        data=outcome,
    )
    models.tag(name, version, {"decision": entry.kind, "decision_reasons": " ".join(decision.reasons)})
    return outcome


def promote_candidate(spec: Pipeline, version: int, run_day: str, run: dict[str, str]) -> dict[str, Any]:
    """Move the alias `champion` to an audited candidate; repeating it changes nothing.

    Raises:
        VerdictMissingError: the newest decision about this version is not that it may be promoted.
    """
    name = spec.model.name
    decided = next(
        (
            entry
            for entry in ledger.entries(pipeline=spec.pipeline, subject=name, partition=run_day)
            if entry.kind in ("audited", "refused") and entry.data["version"] == version
        ),
        None,
    )
    if decided is None or decided.kind != "audited":
        raise VerdictMissingError(
            f"Version {version} of {name} has no decision that allows promoting it.",
            where=f"{spec.pipeline} {run_day}",
            todo="run audit_candidate of this run",
        )
    registry().promote(name, version)
    entry = ledger.append(
        "promoted",
        pipeline=spec.pipeline,
        subject=name,
        partition=run_day,
        run=run["run_id"],
        once=f"promoted:{name}:{version}:{decided.seq}",
        data=decided.data,
    )
    return {"version": version, "ledger": entry.seq}


def pin(spec: Pipeline, run_day: str, run_id: str) -> dict[str, int]:
    """Tag the current snapshots of features and outcomes; returns table to snapshot id."""
    from sluice.lake import tables

    tag = f"train-{run_day}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    names = (spec.model.features_table, spec.model.outcomes_table)
    return {name: tables.pin(spec.pipeline, name, tag) for name in names}


def _content_hash(rows: pa.Table) -> str:
    """sha256 of the rows' content, whatever their order."""
    import numpy as np
    import pandas as pd

    hashes = np.sort(pd.util.hash_pandas_object(rows.to_pandas(), index=False).to_numpy())
    return hashlib.sha256(hashes.tobytes()).hexdigest()
