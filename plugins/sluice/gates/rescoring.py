"""Scores of the rows that a batch of predictions was made of, computed again: by what made the batch, and by others to compare with.

The rule kept here: what scored is read from the registry as it was registered, and without it nothing is judged. What its scores
are compared with is not needed to publish: where a peer cannot be had, its comparison is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import GateBrokenError
from sluice.core.settings import settings
from sluice.core.sql import quoted
from sluice.gates import engine
from sluice.lake import inputs
from sluice.ledger import champion, model_records
from sluice_ml.errors import ModelDamagedError, ModelUnknownError

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline
    from sluice.lake.batches import Manifest
    from sluice_ml.model import ModelMeta

# Scores that are computed again, at most: of a fault in 0.2% of the rows one is among them in 99.99% of cases (1 - 0.998 ** 5000).
SAMPLE_ROWS = 5_000
# Columns with the scores of others than the model: the rule that scores without one, and the champion before.
BASELINE, PREVIOUS = "baseline", "previous"
# What draws the rows; the same batch is always judged by the same ones.
_SEED = "sluice"
_READ = "read_parquet($paths, hive_partitioning = false, can_have_nan = true)"


@dataclass(frozen=True)
class Rescored:
    """A file with `ds`, `key`, `expected`, `is_supported`, `unseen_categories` and a column for each peer; what computed `expected`, and
    the peers, in words."""

    path: str
    model: str
    peers: Mapping[str, str]


def rescore(spec: Pipeline, manifest: Manifest, files: Sequence[str], scratch: Path) -> Rescored:
    """Score up to `SAMPLE_ROWS` of the rows in `files` again.

    Raises:
        GateBrokenError: the manifest does not say what scored, or that is not what was registered.
        ConnectionError: the registry does not answer.
    """
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sluice_ml.coverage import supported, unseen
    from sluice_ml.recomputation import recompute, recompute_baseline

    made_by = next(iter(inputs.of(manifest, inputs.Model)), None)
    if made_by is None:
        raise GateBrokenError(
            f"Batch {manifest.batch_id} does not say what scored it.",
            where=f"{manifest.pipeline}.{manifest.table}, inputs of its manifest",
            todo="stage it again",
        )
    declared = spec.model
    limits: dict[str, Any] = {
        "threads": settings().threads,
        "memory_limit": engine.MEMORY,
        "temp_directory": str(scratch),
    }
    with duckdb.connect(config=limits) as con:
        there = con.sql(f"select * from {_READ} limit 0", params={"paths": list(files)}).columns  # noqa: S608
        known, previous = None, None
        if made_by.version is not None:
            try:
                known = _registered(made_by.name, made_by.version)
            except (ModelDamagedError, ModelUnknownError) as error:
                raise GateBrokenError(error.what, where=error.where, todo=error.todo) from error
            previous = _previous(spec, made_by, there)
        models = [model for model in (known, previous[1] if previous else None) if model]
        wanted = [name for meta, _ in models for name in (*meta.numeric, *meta.categorical)]
        if known:
            wanted += known[0].coverage
        if known is None or declared.baseline in there:
            wanted.append(declared.baseline)
        listed = ", ".join(map(quoted, dict.fromkeys(["ds", declared.key, *wanted])))
        query = (
            f"select {listed} from {_READ}"  # noqa: S608 - quoted names
            f" order by hash('{_SEED}' || {quoted(declared.key)}), {quoted(declared.key)} limit {SAMPLE_ROWS}"
        )
        rows = con.sql(query, params={"paths": list(files)}).to_arrow_table()
    by_rule = (
        recompute_baseline(rows, declared.baseline, declared.baseline_default)
        if declared.baseline in rows.column_names
        else None
    )
    scores = {"expected": recompute(rows, *known) if known else by_rule}
    peers = {}
    if known and by_rule:
        scores[BASELINE], peers[BASELINE] = by_rule, f"the baseline, {declared.baseline}"
    if previous:
        version, model = previous
        scores[PREVIOUS], peers[PREVIOUS] = recompute(rows, *model), f"version {version}, champion before it"
    path = scratch / "scores.parquet"
    found = {name: pa.array(values, pa.float64()) for name, values in scores.items()}
    # As scoring says it (`sluice_ml.scoring.score`): a rule supports all rows and has seen no categories.
    found["is_supported"] = supported(rows, known[0]) if known else pa.repeat(True, len(rows))
    found["unseen_categories"] = unseen(rows, known[0]) if known else pa.nulls(len(rows), pa.string())
    pq.write_table(pa.table({"ds": rows["ds"], "key": rows[declared.key], **found}), path)
    model_name = f"version {made_by.version}" if known else f"the baseline, {declared.baseline},"
    return Rescored(str(path), model_name, peers)


def _registered(name: str, version: int) -> tuple[ModelMeta, bytes]:
    from sluice_ml.registry import Registry

    return Registry(settings().mlflow_url).content(name, version)


def _previous(
    spec: Pipeline, made_by: inputs.Model, there: Sequence[str]
) -> tuple[int, tuple[ModelMeta, bytes]] | None:
    """The champion in whose place the one that scored was promoted; None where it was not promoted, or that cannot score these rows.

    After a roll-back there is none: the one before was rolled back for a reason.
    """
    moves = champion.decisions(spec.pipeline, made_by.name)
    move = next((one.record for one in moves if one.seq == made_by.promoted), None)
    if not isinstance(move, model_records.Promoted) or move.version != made_by.version or not move.previous:
        return None
    try:
        meta, content = _registered(made_by.name, move.previous)
    except (ModelDamagedError, ModelUnknownError):
        return None  # nobody scores with it, and a model that is damaged is told of where it is used
    return (move.previous, (meta, content)) if {*meta.numeric, *meta.categorical} <= set(there) else None
