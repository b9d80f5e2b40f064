"""How good a day's predictions were, where their outcomes are known, and how good they expect to be, where not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sluice_ml.estimation import estimate
from sluice_ml.metrics import METRICS, Ranked, compare, interval
from sluice_ml.monitored_day import BASELINE_SCORE, REFERENCE_SCORE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from sluice_ml.config import ModelConfig

# What of `DayNumbers` needs outcomes.
QUALITY = (
    "label_rate",
    "expected_rate",
    "auc",
    "auc_low",
    "auc_high",
    "baseline_auc",
    "log_loss",
    "brier",
    "reference_auc",
    "reference_brier",
)


def quality(rows: pa.Table, model: ModelConfig) -> dict[str, Any]:
    """Measure one day, in the words of `DayNumbers`; what its outcomes do not allow to say is None.

    Args:
        rows: as `sluice_ml.monitored_day.assemble` returns them; with REFERENCE_SCORE, where a frozen reference scored them, too.
    """
    import numpy as np

    found: dict[str, Any] = {**dict.fromkeys(QUALITY), **estimate(rows["score"].to_numpy())}
    label, score, baseline = known(rows, model)
    if not len(label):
        return found
    found |= {"label_rate": float(label.mean()), "expected_rate": float(score.mean())}
    if label.all() or not label.any():
        return found
    numbers = np.arange(len(label))
    values, samples = compare(label, {"": score}, numbers, resamples=model.resamples, seed=model.seed)[""]
    measured = dict(zip(METRICS, (float(value) for value in values), strict=True))
    auc = interval(measured["auc"], samples[:, METRICS.index("auc")], model.confidence)
    return {
        **found,
        "auc": auc.value,
        "auc_low": auc.low,
        "auc_high": auc.high,
        "baseline_auc": Ranked(label, baseline).measure()[METRICS.index("auc")],
        "log_loss": measured["log_loss"],
        "brier": measured["brier"],
        **_of_reference(rows, label, model),
    }


def _of_reference(rows: pa.Table, label: np.ndarray, model: ModelConfig) -> dict[str, float]:
    """The same of the frozen reference, where it scored."""
    import pyarrow.compute as pc

    if REFERENCE_SCORE not in rows.column_names:
        return {}
    score = rows.filter(pc.is_valid(rows[model.label]))[REFERENCE_SCORE].to_numpy()
    measured = dict(zip(METRICS, Ranked(label, score).measure(), strict=True))
    return {f"reference_{name}": float(measured[name]) for name in ("auc", "brier")}


def known(rows: pa.Table, model: ModelConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label, score and the baseline's score of the rows whose outcome is known."""
    import pyarrow.compute as pc

    rows = rows.filter(pc.is_valid(rows[model.label]))
    return rows[model.label].to_numpy(), rows["score"].to_numpy(), rows[BASELINE_SCORE].to_numpy()
