"""Rows in, a candidate out: the same rows give the same bytes, whatever their order.

Days are never mixed. Rolling blocks of days, each predicted from the days before it, choose the rounds and the kind of model;
that recipe is fitted on all days before the test days and judged on those, as it would have been used; then it is fitted
once more with the same rounds on all days up to the last, and this one serves: a model that learned nothing of the last
weeks is old when it is born. Having learned the test days, it must fit them at least as well as the judged one. Beside the candidate stand the rule that it has to be worth
replacing, and each kind of model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sluice_ml import boosting, linear, outliers
from sluice_ml.config import ModelConfig
from sluice_ml.coverage import measure
from sluice_ml.errors import RowsUnusableError
from sluice_ml.influence import cap
from sluice_ml.leakage import require_apart
from sluice_ml.metrics import METRICS, Ranked, compare, concordance, daily, daily_auc, interval, mean_of_days
from sluice_ml.model import ALGORITHMS, BOOSTED, FORMAT, LINEAR, BaselineModel, ModelMeta, encode, load
from sluice_ml.recipe import LIBRARIES, digest
from sluice_ml.splits import Parts, days_of, label_of, labelled, rare_of, split, vocabulary_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


@dataclass(frozen=True)
class Candidate:
    """A trained model and what is known of it.

    `content` is the file of the model that serves, `sha256` its hash. `test` holds all columns of the held-out rows and
    `score_candidate`, `score_baseline`, `score_linear`, `score_boosted` (float64) of the judged models, so that another model
    can be scored on the very same rows.
    """

    content: bytes
    sha256: str
    meta: ModelMeta
    test: pa.Table


def fit(rows: pa.Table, config: ModelConfig) -> Candidate:
    """Train the candidate of `config` on labelled rows.

    Args:
        rows: the key, `ds` (date32), the label (bool, null where it will never be known) and all features. Of more than
            `training_days` days only the last are used.

    Raises:
        RowsUnusableError: columns, days or classes are missing, or a key is there twice.
        RowsLeakError: test rows are copies of rows that the model learns from.
    """
    import pyarrow as pa

    known, unlabelled = labelled(rows, config)
    parts = split(known, config)
    require_apart(parts.learn, parts.test, config)
    valid = pa.concat_tables([block for _, block in parts.blocks])
    named = {"train": parts.learn, "valid": valid, "test": parts.test, "refit": parts.used}
    for name, part in named.items():
        _require_both_classes(name, part, config)
    rounds, chosen_by = _search(Blocks(parts, config), config)
    algorithm = simplest(chosen_by, config.simpler_margin)
    learned, relearned = _Learned(parts.learn, config), _Learned(parts.used, config)
    description = ModelMeta(
        format=FORMAT,
        name=config.name,
        numeric=config.numeric,
        categorical=config.categorical,
        vocabulary=relearned.vocabulary,
        rare=rare_of(relearned.rows, config),
        coverage=measure(relearned.rows, relearned.label, config),
        capped=relearned.capped,
        algorithm=algorithm,
        rounds=rounds if algorithm == BOOSTED else None,
        chosen_by=chosen_by,
        splits={name: _describe(part, config) for name, part in named.items()},
        unlabelled_rows=unlabelled,
        rows_sha256=relearned.fingerprint,
        recipe_sha256=digest(config),
        metrics={},
        config=config.as_dict(),
        libraries=LIBRARIES,
    )
    files = {kind: _fit(kind, learned, config, rounds) for kind in ALGORITHMS}
    judged = {
        kind: load(
            content,
            replace(description, vocabulary=learned.vocabulary, algorithm=kind),
            threads=config.threads,
        )
        for kind, content in files.items()
    }
    scores = {kind: model.score(parts.test) for kind, model in judged.items()}
    scores = {
        "candidate": scores[algorithm],
        "baseline": BaselineModel(config.baseline, config.baseline_default).score(parts.test),
        **scores,
    }
    on_learned = mean_of_days(
        daily(label_of(parts.learn, config), judged[algorithm].score(parts.learn), _day(parts.learn)),
        config.confidence,
    )
    content = _fit(algorithm, relearned, config, rounds)
    served = load(content, description, threads=config.threads).score(parts.test)
    label = label_of(parts.test, config)
    meta = replace(
        description,
        metrics=_measure(parts.test, label, scores, config),
        judged_sha256=_hash(files[algorithm]),
        agreement=concordance(scores["candidate"], served),
        refit_loss_change=_log_loss(label, served) - _log_loss(label, scores["candidate"]),
        learned_daily_auc=on_learned.value if on_learned else None,
        outliers=outliers.fit(parts.learn, parts.test, config),
    )
    test = parts.test
    for name, score in scores.items():
        test = test.append_column(f"score_{name}", [score])
    return Candidate(content, _hash(content), meta, test)


class _Learned:
    """The rows that a model learns from, capped, as numbers."""

    def __init__(self, rows: pa.Table, config: ModelConfig) -> None:
        self.rows, self.capped = cap(rows, config)
        self.vocabulary = vocabulary_of(self.rows, config)
        self.label = label_of(self.rows, config)
        self.matrix = self.encode(self.rows, config)

    def encode(self, rows: pa.Table, config: ModelConfig) -> np.ndarray:
        return encode(rows, config.numeric, config.categorical, self.vocabulary)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the numbers that decided the model, in order."""
        return _hash(self.matrix.tobytes() + self.label.tobytes())


class Blocks:
    """The rolling blocks of days, as numbers; `label` and `day` are those of all their rows, in the blocks' order."""

    def __init__(self, parts: Parts, config: ModelConfig) -> None:
        import numpy as np

        self.learned = [_Learned(before, config) for before, _ in parts.blocks]
        for each in self.learned:
            _require_both_classes("train", each.rows, config)
        self.folds = [
            ((each.matrix, each.label), (each.encode(block, config), label_of(block, config)))
            for each, (_, block) in zip(self.learned, parts.blocks, strict=True)
        ]
        self.label = np.concatenate([label_of(block, config) for _, block in parts.blocks])
        self.day = np.concatenate([_day(block) for _, block in parts.blocks])

    def daily(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """The AUC of each day, of the scores of each block."""
        import numpy as np

        return daily(self.label, np.concatenate(scores), self.day)

    def linear(self, config: ModelConfig) -> list[np.ndarray]:
        """The scores of each block by a linear model of the days before it."""
        return [
            linear.predict(json.loads(_linear(each, config)), matrix)
            for each, (_, (matrix, _)) in zip(self.learned, self.folds, strict=True)
        ]


def _search(blocks: Blocks, config: ModelConfig) -> tuple[int, dict[str, float | None]]:
    """The rounds, and the mean daily AUC of each kind of model over the blocks; None where no two days have one."""
    rounds, boosted = boosting.search(blocks.folds, config)
    found = {
        kind: mean_of_days(blocks.daily(scores), config.confidence)
        for kind, scores in ((LINEAR, blocks.linear(config)), (BOOSTED, boosted))
    }
    return rounds, {kind: estimate.value if estimate else None for kind, estimate in found.items()}


def simplest(chosen_by: Mapping[str, float | None], margin: float) -> str:
    """The first kind of ALGORITHMS that is at most `margin` behind each one after it, or that nothing is known of."""
    for place, kind in enumerate(ALGORITHMS):
        mine = chosen_by[kind]
        others = [value for other in ALGORITHMS[place + 1 :] if (value := chosen_by[other]) is not None]
        if mine is None or all(mine >= value - margin for value in others):
            return kind
    raise AssertionError("the last kind has none after it")


def _fit(kind: str, learned: _Learned, config: ModelConfig, rounds: int) -> bytes:
    if kind == LINEAR:
        return _linear(learned, config)
    return boosting.fit(learned.matrix, learned.label, config, rounds)


def _linear(learned: _Learned, config: ModelConfig) -> bytes:
    sizes = [len(learned.vocabulary[name]) for name in config.categorical]
    return linear.fit(learned.matrix, learned.label, config, sizes)


def _measure(
    test: pa.Table, label: np.ndarray, scores: dict[str, np.ndarray], config: ModelConfig
) -> dict[str, dict[str, dict[str, float]]]:
    """Model to metric to {value, low, high}: the METRICS over all test days, and `daily_auc`."""
    day = _day(test)
    metrics = {}
    compared = compare(label, scores, day, resamples=config.resamples, seed=config.seed)
    for name, (values, samples) in compared.items():
        metrics[name] = {
            metric: asdict(interval(values[place], samples[:, place], config.confidence))
            for place, metric in enumerate(METRICS)
        }
        each = daily_auc(label, scores[name], day, confidence=config.confidence)
        if each is not None:
            metrics[name]["daily_auc"] = asdict(each)
    return metrics


def _log_loss(label: np.ndarray, score: np.ndarray) -> float:
    return Ranked(label, score).measure()[METRICS.index("log_loss")]


def _require_both_classes(name: str, rows: pa.Table, config: ModelConfig) -> None:
    label = label_of(rows, config)
    if label.all() or not label.any():
        raise RowsUnusableError(
            f"All {len(label)} {name} rows have the same label.",
            where=f"{config.label}, days {days_of(rows)[0]} to {days_of(rows)[-1]}",
            todo="train on more days, or look at how the label is built",
        )


def _describe(rows: pa.Table, config: ModelConfig) -> dict[str, Any]:
    days = days_of(rows)
    return {
        "first": days[0].isoformat(),
        "last": days[-1].isoformat(),
        "days": len(days),
        "rows": rows.num_rows,
        "label_rate": float(label_of(rows, config).mean()),
    }


def _day(rows: pa.Table) -> np.ndarray:
    import pyarrow.compute as pc

    return pc.cast(rows["ds"], "int32").to_numpy()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
