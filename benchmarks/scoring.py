"""Scoring a million rows of features against XGBoost's bare `inplace_predict` on a prepared matrix.

Measured: `sluice_ml.scoring.score` in batches, as the score DAG calls it: columns to numbers, categories to codes, predict,
and a prediction row with id, model, snapshot and run for each. Floor: one `inplace_predict` of the same model on the
float32 matrix of the same rows, which is what no scoring can be faster than. Both must give the same scores, bit by
bit. Reading the features is left out of both.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.day import prepare as prepare_history
from benchmarks.measure import Clock, Figure, Lab
from sluice.core.settings import settings
from sluice.declare import spec

ROWS = 10**6
# Times that a child does it while the clock runs: threads on a busy machine make a single time jump.
TIMES = 5


def run(lab: Lab) -> list[Figure]:
    prepare_history(lab)
    lab.say(f"scoring: repeating features to {ROWS:,} rows")
    given: dict[str, Any] = {"folder": str(lab.base)}
    trees = lab.call("benchmarks.scoring:prepare", **given)
    calls = [(f"benchmarks.scoring:{side}", given) for side in ("measured", "floor")]
    measured, floor = lab.alternate("scoring", 3 if lab.quick else 5, *calls)
    if len({sample.found["scores"] for sample in (*measured, *floor)}) != 1:
        raise RuntimeError("scoring: the scores of sluice_ml.scoring and of the bare model differ")
    says = f"{trees} trees, identical scores"
    return [Figure(f"scoring, {ROWS:,} rows / bare inplace_predict", measured, floor, says)]


def prepare(folder: str) -> int:
    """Child: write the features, their matrix and the champion; returns its number of trees."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sluice.lake import tables
    from sluice.models import scorer
    from sluice_ml.model import ScoringModel, encode

    pipeline = spec.load("flights")
    champion = scorer.choose(pipeline).model
    if champion is None:
        raise RuntimeError("the history has no champion")
    model = champion.model
    if not isinstance(model, ScoringModel):
        raise RuntimeError("the champion of the history is linear: there is no bare XGBoost to compare with")
    features = tables.scan("flights", pipeline.model.features_table, "2013-01-01", "2013-12-31")
    copies = -(-ROWS // features.num_rows)
    features = pa.concat_tables([features] * copies).slice(0, ROWS).combine_chunks()
    pq.write_table(features, Path(folder) / "features.parquet")
    meta = model.meta
    np.save(Path(folder) / "matrix.npy", encode(features, meta.numeric, meta.categorical, meta.vocabulary))
    model._booster.save_model(Path(folder) / "model.ubj")
    return int(model._booster.num_boosted_rounds())


def measured(folder: str) -> dict[str, Any]:
    """Child: score the features in batches."""
    import pyarrow.compute  # noqa: F401 - paid before the clock starts
    import pyarrow.parquet as pq

    from sluice.models import scorer
    from sluice_ml.scoring import score

    pipeline = spec.load("flights")
    champion = scorer.choose(pipeline).model
    if champion is None:
        raise RuntimeError("the history has no champion")
    features = pq.read_table(Path(folder) / "features.parquet")
    with Clock() as clock:
        for _ in range(TIMES):
            predictions = score(
                features.to_batches(max_chunksize=pipeline.model.score_batch_rows),
                champion.model,
                key=pipeline.model.key,
                name=pipeline.model.name,
                version=champion.version,
                meta=champion.meta,
                feature_snapshot_id=1,
                run_id="benchmark",
                scored_at=datetime.now(UTC),
            )
    return _each(clock.sample(scores=_hash(predictions["score"].to_numpy())))


def floor(folder: str) -> dict[str, Any]:
    """Child: predict on the matrix as it is."""
    import numpy as np
    import xgboost

    booster = xgboost.Booster({"nthread": settings().threads})
    booster.load_model(Path(folder) / "model.ubj")
    matrix = np.load(Path(folder) / "matrix.npy")
    with Clock() as clock:
        for _ in range(TIMES):
            scores = booster.inplace_predict(matrix)
    return _each(clock.sample(scores=_hash(scores.astype("float64"))))


def _each(sample: dict[str, Any]) -> dict[str, Any]:
    return {**sample, "seconds": sample["seconds"] / TIMES}


def _hash(scores: Any) -> str:
    return hashlib.sha256(scores.tobytes()).hexdigest()
