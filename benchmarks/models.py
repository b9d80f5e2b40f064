"""Training a model and scoring with it, against bare fits and predictions on a prepared matrix: 1,000,000 and 3,000,000 rows of features (repeated).

Training. Measured: `sluice_ml.training.fit`, as the train DAG calls it: rounds over rolling blocks, the linear model and the boosted one on the
days before the held-out ones, both judged, and the refit. Floor: one fit of the kind that was chosen on the float32 matrix of all rows,
by `sluice_ml.boosting.fit` (one `xgboost.train` with the rounds that were chosen) or `sluice_ml.linear.fit`.

Scoring. Measured: `sluice_ml.scoring.score` in batches, as the score DAG calls it: columns to numbers, categories to codes, predict,
and a prediction row with id, model, snapshot and run for each. Floor: one `inplace_predict` of the same model on the matrix of the same
rows, which is what no scoring can be faster than. Both must give the same scores, bit by bit. Models have 20 and 200 trees: what a row costs
beside its trees is the same, so that the ratio falls with them.

Reading the features is left out of both.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

from benchmarks.day import HISTORY
from benchmarks.day import prepare as prepare_history
from benchmarks.measure import Clock, Figure, Lab
from sluice.declare import spec

if TYPE_CHECKING:
    import xgboost

    from sluice_ml.config import ModelConfig

SIZES, QUICK = (1_000_000, 3_000_000), (300_000,)
TREES = (20, 200)


def run(lab: Lab) -> list[Figure]:
    prepare_history(lab)
    figures = []
    for rows in QUICK if lab.quick else SIZES:
        lab.say(f"models: repeating features to {rows:,} rows, and fitting models of {TREES} trees")
        given: dict[str, Any] = {"folder": str(lab.base)}
        lab.call("benchmarks.models:prepare", rows=rows, **given)
        figures.append(_training(lab, rows, given))
        figures += [_scoring(lab, rows, trees, given) for trees in TREES]
    return figures


def _training(lab: Lab, rows: int, given: dict[str, Any]) -> Figure:
    (measured,) = lab.alternate(f"training, {rows:,} rows", 1, ("benchmarks.models:train", given))
    found = measured[0].found
    bare = {**given, "algorithm": found["algorithm"], "rounds": found["rounds"]}
    (floor,) = lab.alternate(f"bare training, {rows:,} rows", 3, ("benchmarks.models:train_bare", bare))
    chosen = "linear" if found["rounds"] is None else f"boosted, {found['rounds']} rounds"
    return Figure(
        f"training, {rows:,} rows / one bare fit of the kind that was chosen",
        measured,
        floor,
        f"{chosen}; {_each_second(rows, measured[0].seconds)}",
    )


def _scoring(lab: Lab, rows: int, trees: int, given: dict[str, Any]) -> Figure:
    calls = [(f"benchmarks.models:{side}", {**given, "trees": trees}) for side in ("score", "score_bare")]
    name = f"scoring, {rows:,} rows, {trees} trees"
    measured, floor = lab.alternate(name, 3 if lab.quick else 5, *calls)
    if len({sample.found["scores"] for sample in (*measured, *floor)}) != 1:
        raise RuntimeError(f"{name}: the scores of sluice_ml.scoring and of the bare model differ")
    cpu = [median(sample.found["cpu"] for sample in side) for side in (measured, floor)]
    seconds = median(sample.seconds for sample in measured)
    says = f"identical scores, {_each_second(rows, seconds)}; CPU {cpu[0]:.2f} s / {cpu[1]:.2f} s"
    return Figure(f"{name} / bare `inplace_predict`", measured, floor, says)


def _each_second(rows: int, seconds: float) -> str:
    return f"{rows / seconds:,.0f} rows a second"


def prepare(folder: str, rows: int) -> None:
    """Child: write the rows of a training with their matrix and label, and a model of each number of trees."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sluice.core.partitions import days_later
    from sluice.lake import tables
    from sluice.models import trainset
    from sluice_ml import boosting
    from sluice_ml.model import encode
    from sluice_ml.splits import label_of, labelled, vocabulary_of

    flights, config = _declared()
    names = (flights.model.features_table, flights.model.outcomes_table)
    snapshots = {name: tables.snapshot_id("flights", name) or 0 for name in names}
    known, _ = labelled(trainset.read(flights, days_later(*HISTORY), snapshots).rows, config)
    copies = -(-rows // known.num_rows)
    table = pa.concat_tables([known] * copies).slice(0, rows)
    # A key comes once.
    key = pa.array([f"{one}|{place}" for place, one in enumerate(table[config.key].to_pylist())])
    table = (
        table.set_column(table.column_names.index(config.key), config.key, key).sort_by("ds").combine_chunks()
    )
    pq.write_table(table, Path(folder) / "rows.parquet")
    vocabulary = vocabulary_of(table, config)
    matrix, label = encode(table, config.numeric, config.categorical, vocabulary), label_of(table, config)
    np.save(Path(folder) / "matrix.npy", matrix)
    np.save(Path(folder) / "label.npy", label)
    for trees in TREES:
        (Path(folder) / f"{trees}.ubj").write_bytes(boosting.fit(matrix, label, config, trees))


def train(folder: str) -> dict[str, Any]:
    """Child: train as the train DAG does, and keep the description of what was trained."""
    import pyarrow.parquet as pq
    import xgboost  # noqa: F401 - paid before the clock starts

    from sluice_ml import training

    _, config = _declared()
    rows = pq.read_table(Path(folder) / "rows.parquet")
    with Clock() as clock:
        candidate = training.fit(rows, config)
    (Path(folder) / "model.json").write_text(candidate.meta.to_json())
    return clock.sample(algorithm=candidate.meta.algorithm, rounds=candidate.meta.rounds)


def train_bare(folder: str, algorithm: str, rounds: int | None) -> dict[str, Any]:
    """Child: one fit of a kind of model on the matrix as it is."""
    import numpy as np

    from sluice_ml import boosting, linear
    from sluice_ml.model import LINEAR

    _, config = _declared()
    matrix, label = np.load(Path(folder) / "matrix.npy"), np.load(Path(folder) / "label.npy")
    sizes = [int(codes) + 1 for codes in np.nanmax(matrix[:, len(config.numeric) :], axis=0)]
    with Clock() as clock:
        if algorithm == LINEAR:
            linear.fit(matrix, label, config, sizes)
        else:
            boosting.fit(matrix, label, config, rounds or 0)
    return clock.sample()


def score(folder: str, trees: int) -> dict[str, Any]:
    """Child: score the features in batches."""
    import pyarrow.compute  # noqa: F401 - paid before the clock starts
    import pyarrow.parquet as pq

    from sluice_ml.model import ModelMeta, load
    from sluice_ml.scoring import score as score_rows
    from sluice_ml.splits import vocabulary_of

    flights, config = _declared()
    rows = pq.read_table(Path(folder) / "rows.parquet")
    trained = ModelMeta.from_json((Path(folder) / "model.json").read_text())
    meta = replace(
        trained, algorithm="boosted", rounds=trees, vocabulary=vocabulary_of(rows, config), rare={}
    )
    model = load((Path(folder) / f"{trees}.ubj").read_bytes(), meta, threads=config.threads)
    with Clock() as clock:
        spent = process_time()
        predictions = score_rows(
            rows.to_batches(max_chunksize=flights.model.score_batch_rows),
            model,
            key=flights.model.key,
            name=flights.model.name,
            version=1,
            meta=meta,
            feature_snapshot_id=1,
            run_id="benchmark",
            scored_at=datetime.now(UTC),
        )
        spent = process_time() - spent
    return clock.sample(scores=_hash(predictions["score"].to_numpy()), cpu=spent)


def score_bare(folder: str, trees: int) -> dict[str, Any]:
    """Child: predict on the matrix as it is."""
    import numpy as np

    booster = _booster(Path(folder) / f"{trees}.ubj")
    matrix = np.load(Path(folder) / "matrix.npy")
    with Clock() as clock:
        spent = process_time()
        scores = booster.inplace_predict(matrix)
        spent = process_time() - spent
    return clock.sample(scores=_hash(scores.astype("float64")), cpu=spent)


def _declared() -> tuple[spec.Pipeline, ModelConfig]:
    from sluice.models.config import model_config

    flights = spec.load("flights")
    return flights, model_config(flights)


def _booster(path: Path) -> xgboost.Booster:
    import xgboost

    from sluice.core.settings import settings

    booster = xgboost.Booster({"nthread": settings().threads})
    booster.load_model(path)
    return booster


def _hash(scores: Any) -> str:
    return hashlib.sha256(scores.tobytes()).hexdigest()
