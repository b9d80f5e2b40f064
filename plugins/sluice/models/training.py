"""A candidate crosses to champion: staged in the registry, audited on held-out days, promoted or refused."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

from sluice import ledger
from sluice.core.errors import (
    HistoryRewrittenError,
    PromotionRefusedError,
    VerdictMissingError,
    WaiverExpiredError,
)
from sluice.core.runs import Run
from sluice.core.settings import settings
from sluice.core.version import code_version, lock_hash
from sluice.lake import rewrites
from sluice.lake.rewrites import Pinned
from sluice.ledger import model_records, records
from sluice.models import challenger, roles, scorer, trainset, waived
from sluice.models.config import load_version, model_config, registry

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice.ledger.store import Filters
    from sluice_ml.checks import Finding
    from sluice_ml.promotion import Champion


def stage_candidate(spec: Pipeline, run_day: str, run: Run, *, asked_by: str = "") -> int:
    """Train on what was known on the morning of `run_day`, and register the candidate; returns its version.

    The snapshots that the training set was read from are tagged in the tables, so that they are never expired.

    Args:
        asked_by: who triggered the training; "" where monitoring asked for it.

    Raises:
        TableMissingError: there are no features or no outcomes.
        RowsUnusableError: too few days, or only one class.
        RowsLeakError, FeaturesUnsoundError: the rows or columns are not what a model should learn from; all are named.
        HistoryRewrittenError: a published partition is not what was published; nothing is fitted.
        WaiverExpiredError: a published partition rests on a waiver that is over; nothing is fitted.
    """
    from sluice_ml.artifacts import sha256
    from sluice_ml.coverage import unsupported
    from sluice_ml.training import fit

    declared = spec.model
    pinned = pin(spec, run_day, run.run_id)
    snapshots = dict(pinned.snapshots)
    on_waivers = require_sound(spec, run_day, pinned)
    # The champion is compared on the candidate's held-out rows: they need what it was trained on, also where that is declared no more.
    champion, _ = _champion(spec, roles.current(spec).champion)
    chosen = trainset.read(spec, run_day, snapshots, also=champion.features if champion else ())
    config = model_config(spec)
    rows = chosen.rows
    models = registry()
    tags = {
        "as_of": run_day,
        "code": code_version(),
        "lock_sha256": lock_hash(),
        "dag_run": run.run_id,
        "rows_content_sha256": content_hash(rows),
        "waivers": waived.named(on_waivers),
        "rows_left_out": ", ".join(f"{name}: {count:,}" for name, count in chosen.left_out.items()),
        **{f"snapshot.{table}": str(snapshot) for table, snapshot in snapshots.items()},
    }
    with models.training(declared.name, tags) as mlflow_run:
        findings = trainset.require_sound(spec, rows, run_day, run, config)
        candidate = fit(rows, config)
        version = models.log(mlflow_run, candidate)
    ledger.append(
        model_records.Trained(
            version=version,
            sha256=candidate.sha256,
            meta_sha256=sha256(candidate.meta.to_json().encode()),
            algorithm=candidate.meta.algorithm,
            recipe_sha256=candidate.meta.recipe_sha256,
            snapshots=snapshots,
            rows=rows.num_rows,
            splits=candidate.meta.splits,
            metrics=candidate.meta.metrics,
            findings=findings,
            waivers=on_waivers,
            unmatched=chosen.unmatched,
            left_out=chosen.left_out,
            unsupported=unsupported(candidate.meta.coverage),
            capped=candidate.meta.capped,
            mlflow_run=mlflow_run,
            code=code_version(),
            **({"asked_by": asked_by} if asked_by else {}),
        ),
        pipeline=spec.pipeline,
        subject=declared.name,
        partition=run_day,
        run=run.run_id,
    )
    roles.set_aliases(spec)
    return version


def require_sound(spec: Pipeline, run_day: str, pinned: Pinned) -> list[dict[str, Any]]:
    """Refuse to rely on what a training reads where it was rewritten, or rests on a waiver that is over; returns the waivers."""
    declared = spec.model
    # Features look back further than the days that are trained on, and those end where outcomes are known: what the features
    # were built from must be intact too.
    days = declared.training_days + spec.history_days + spec.lag_days(declared.outcomes_table)
    rewrites.require_intact(spec, days, until=run_day, pinned=pinned)
    return waived.require_valid(spec, days, until=run_day, snapshots=pinned.snapshots)


def trained(spec: Pipeline, version: int) -> ledger.Entry[model_records.Trained] | None:
    """The newest training that gave a version; None where none is recorded."""
    found = ledger.entries(model_records.Trained, pipeline=spec.pipeline, subject=spec.model.name)
    return next((one for one in found if one.record.version == version), None)


def no_longer_sound(spec: Pipeline, version: int) -> str:
    """Why a version that passed must not become champion all the same, by what is known now, in a sentence; "" where it may.

    Its files must be whole, what it scores by among the newest features, and what it was trained on as it was then, without a
    waiver that has ended since.
    """
    from sluice.lake import tables
    from sluice_ml.errors import ModelDamagedError, ModelUnknownError, RowsUnusableError

    found, newest = trained(spec, version), tables.last_publication(spec.pipeline, spec.model.features_table)
    try:
        scorer.usable(spec, version, list(newest.columns) if newest else None)
        if found is not None:
            require_sound(spec, str(found.partition), Pinned(found.record.snapshots, pinned_at(spec, found)))
    except (
        ModelDamagedError,
        ModelUnknownError,
        RowsUnusableError,
        HistoryRewrittenError,
        WaiverExpiredError,
    ) as error:
        return f"What version {version} rests on does not hold any more: {error.what}"
    return ""


def audit_candidate(
    spec: Pipeline,
    version: int,
    run_day: str,
    run: Run,
    *,
    replayed: Finding | None = None,
    served: Finding | None = None,
) -> model_records.Choice:
    """Decide whether a candidate may become champion; the decision and its numbers go to the ledger either way.

    A champion that is damaged, or that needs a column which was never published for the held-out days, is compared by the scores that it
    had published; where these are too few the decision says so, and rests on the other comparisons. Of a version that is champion already the decision stands that made it so.

    Args:
        replayed: what the replay of past days found (`sluice.transform.replay`); None where it is not declared.
        served: what `sluice.models.parity` found; None where it is not declared.

    Raises:
        ModelDamagedError: the candidate's file is not the one that was registered.
    """
    from sluice_ml.promotion import decide
    from sluice_ml.usage import measure

    models, name = registry(), spec.model.name
    now = roles.current(spec)
    if now.champion == version and (stands := _decision(spec, version)) and stands.kind == "audited":
        return stands.record
    candidate = models.candidate(name, version)
    champion, problem = _rival(spec, now.champion, candidate.test)
    settings().work.mkdir(parents=True, exist_ok=True)
    decision = decide(
        candidate,
        champion,
        model_config(spec),
        not_compared=problem,
        replayed=replayed,
        served=served,
        usage=partial(measure, candidate, batch_rows=spec.model.score_batch_rows, work=settings().work),
    )
    # With a shadow, an experiment ends when that does.
    ends = decision.promote and spec.model.criticality == "experiment" and not spec.model.shadow_days
    promote = decision.promote and not ends
    record = (model_records.Audited if promote else records.Refused)(
        version=version,
        champion=now.champion,
        promote=promote,
        reasons=[*decision.reasons, challenger.EXPERIMENT] if ends else decision.reasons,
        numbers=decision.numbers,
        outcome="experiment" if ends else decision.outcome,
    )
    ledger.append(record, pipeline=spec.pipeline, subject=name, partition=run_day, run=run.run_id)
    tagged = record.entry_kind if decision.outcome != "insufficient_data" else "insufficient data"
    models.tag(name, version, {"decision": tagged, "decision_reasons": " ".join(record.reasons)})
    return record


def promote_candidate(spec: Pipeline, version: int, run_day: str, run: Run) -> dict[str, Any]:
    """Make an audited candidate champion or, with `model.shadow_days`, let it score in shadow first; repeating it changes nothing.

    Returns: `in_shadow`, beside the version and the number of the entry, says which.

    Raises:
        VerdictMissingError: the newest decision about this version is not that it may be promoted.
        PromotionRefusedError: that decision has acted already, or is about another champion than there is now, or the model has
            been declared an experiment since.
    """
    decided = _decision(spec, version, run_day)
    if decided is None or decided.kind != "audited":
        raise VerdictMissingError(
            f"Version {version} of {spec.model.name} has no decision that allows promoting it.",
            where=f"{spec.pipeline} {run_day}",
            todo="run audit_candidate of this run",
        )
    is_new = roles.current(spec).champion != version
    in_shadow = spec.model.shadow_days > 0 and is_new
    if is_new and not in_shadow and spec.model.criticality == "experiment":
        raise PromotionRefusedError(
            f"Version {version} passed before `model.criticality` was experiment, and must not become champion.",
            where=f"{spec.pipeline} {run_day}",
            allowed="a model that is declared normal, or critical",
            todo="nothing, if that is right; run audit_candidate of this run again to have it recorded",
        )
    entry = (challenger.begin if in_shadow else roles.promote)(spec, decided, run)
    roles.set_aliases(spec)
    return {"version": version, "ledger": entry.seq, "in_shadow": in_shadow}


def _decision(spec: Pipeline, version: int, run_day: str | None = None) -> ledger.Entry | None:
    """The newest decision about a version, of the day or of any."""
    found = ledger.entries(pipeline=spec.pipeline, subject=spec.model.name, partition=run_day)
    decided = (entry for entry in found if entry.kind in ("audited", "refused"))
    return next((entry for entry in decided if entry.record.version == version), None)


def _champion(spec: Pipeline, version: int | None) -> tuple[Champion | None, str]:
    """The champion's model, or why there is none to compare with although there is a champion."""
    from sluice_ml.errors import ModelDamagedError, ModelUnknownError
    from sluice_ml.promotion import Champion

    if version is None:
        return None, ""
    try:
        model = load_version(spec.model.name, version).model
        return Champion.of(model), ""
    except (ModelDamagedError, ModelUnknownError) as error:
        return None, error.what


def _rival(spec: Pipeline, version: int | None, test: pa.Table) -> tuple[Champion | None, str]:
    """As `_champion`, of one that is to score these held-out rows, or by what it had published of them."""
    from sluice.models import recorded_scores

    champion, problem = _champion(spec, version)
    if champion and (lacks := sorted({*champion.features} - {*test.column_names})):
        problem = f"Version {version} needs {', '.join(lacks)}, which the held-out rows do not have."
    if version is None or not problem:
        return champion, problem
    known = trained(spec, version)
    if known and not known.record.learned_until:
        return None, f"{problem} {recorded_scores.UNKNOWN}"
    return (recorded_scores.champion(spec, known.record, test, problem) if known else None), problem


def pin(spec: Pipeline, run_day: str, run_id: str) -> Pinned:
    """Tag the current snapshots of features and outcomes; a repetition by the same run returns those of the first time."""
    from sluice.lake import tables

    tag = f"train-{run_day}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    # Before the tags: what is recorded until here is in what they name. What is published later need not be.
    entry = ledger.append(
        model_records.Pinned(tag=tag),
        pipeline=spec.pipeline,
        subject=spec.model.name,
        partition=run_day,
        run=run_id,
        once=f"pinned:{spec.pipeline}:{tag}",
    )
    names = (spec.model.features_table, spec.model.outcomes_table)
    return Pinned({name: tables.pin(spec.pipeline, name, tag) for name in names}, entry.seq)


def pinned_at(spec: Pipeline, trained: ledger.Entry[model_records.Trained]) -> int:
    """The entry with which a training fixed what it reads; its own, where none is recorded."""
    about: Filters = {"pipeline": spec.pipeline, "subject": spec.model.name, "partition": trained.partition}
    pins = ledger.entries(model_records.Pinned, **about)
    return next((one.seq for one in pins if one.run == trained.run), trained.seq)


def content_hash(rows: pa.Table) -> str:
    """sha256 of the rows' content, whatever their order."""
    import numpy as np
    import pandas as pd

    hashes = np.sort(pd.util.hash_pandas_object(rows.to_pandas(), index=False).to_numpy())
    return hashlib.sha256(hashes.tobytes()).hexdigest()
